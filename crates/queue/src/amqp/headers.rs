//! The headers of a message.

use std::collections::BTreeMap;

use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;

/// What our headers are called.
pub(super) mod name {
    pub(crate) const KIND: &str = "x-job-kind";
    pub(crate) const SCHEMA: &str = "x-job-version";
    pub(crate) const ATTEMPT: &str = "x-attempt";
    pub(crate) const GENERATION: &str = "x-generation";
    pub(crate) const ENQUEUED_AT: &str = "x-first-enqueued-at";
    pub(crate) const PUBLISHED_AT: &str = "x-published-at";
    pub(crate) const DEADLINE: &str = "x-deadline";
    pub(crate) const TENANT: &str = "x-tenant";
    pub(crate) const PRODUCT: &str = "x-product";
    pub(crate) const RELEASE: &str = "x-tidegate-release";
    pub(crate) const COHORT: &str = "x-tidegate-cohort";
    pub(crate) const TRACEPARENT: &str = "traceparent";
    pub(crate) const LANE: &str = "x-tidegate-lane";
    pub(crate) const REASON: &str = "x-tidegate-reason";
    pub(crate) const DIED_AT: &str = "x-tidegate-died-at";
    pub(crate) const PUBLISHER: &str = "x-tidegate-publisher";
    pub(crate) const NUMBER: &str = "x-tidegate-number";
}

/// Headers that the broker writes.
pub(super) const DEATHS: &str = "x-death";

/// Deepest header read for a person: the broker's own are tables in an array in a table.
const MAX_DEPTH: usize = 4;

/// Returns the headers of a job that is published at `now`.
pub(super) fn of_job(job: &Job, now: Timestamp) -> FieldTable {
    let mut headers = BTreeMap::new();
    let mut put = |name: &str, value| headers.insert(name.into(), value);
    let text = |text: &str| AMQPValue::LongString(text.as_bytes().to_vec().into());
    put(name::KIND, text(&job.kind));
    put(name::SCHEMA, AMQPValue::LongLongInt(job.schema.into()));
    put(name::ATTEMPT, AMQPValue::LongLongInt(job.attempt.into()));
    put(name::GENERATION, AMQPValue::LongLongInt(job.generation.into()));
    put(name::ENQUEUED_AT, AMQPValue::LongLongInt(job.enqueued_at.0));
    put(name::PUBLISHED_AT, AMQPValue::LongLongInt(now.0));
    put(name::TENANT, text(&job.tenant));
    put(name::PRODUCT, text(&job.product));
    if let Some(deadline) = job.deadline {
        put(name::DEADLINE, AMQPValue::LongLongInt(deadline.0));
    }
    if let Some(release) = &job.release {
        put(name::RELEASE, text(release));
    }
    if let Some(cohort) = job.cohort {
        put(name::COHORT, AMQPValue::LongLongInt(cohort.into()));
    }
    if let Some(traceparent) = &job.traceparent {
        put(name::TRACEPARENT, text(traceparent));
    }
    headers.into()
}

/// Returns the headers without the broker's marks.
pub(super) fn ours(headers: Option<&FieldTable>) -> FieldTable {
    let broker = |name: &str| {
        name.starts_with("x-death")
            || name.starts_with("x-first-death")
            || name == "x-delivery-count"
    };
    let kept = headers.into_iter().flatten().filter(|(name, _)| !broker(name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect::<BTreeMap<_, _>>().into()
}

pub(super) fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Brokers and other clients choose among the types of numbers as they like.
pub(super) fn number(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::ShortShortInt(number) => Some(number.into()),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::ShortInt(number) => Some(number.into()),
        AMQPValue::ShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => Some(number.into()),
        AMQPValue::LongUInt(number) => Some(number.into()),
        AMQPValue::LongLongInt(number) => Some(number),
        AMQPValue::Timestamp(seconds) => i64::try_from(seconds).ok(),
        _ => None,
    }
}

/// Returns headers for a person to read.
pub(super) fn readable(headers: Option<&FieldTable>) -> Value {
    headers.map_or_else(|| Value::Object(Map::new()), |headers| table(headers, MAX_DEPTH))
}

fn table(headers: &FieldTable, depth: usize) -> Value {
    let value = |(name, value): (&lapin::types::ShortString, &AMQPValue)| {
        (name.to_string(), readable_value(value, depth))
    };
    Value::Object(headers.into_iter().map(value).collect())
}

fn readable_value(value: &AMQPValue, depth: usize) -> Value {
    if let Some(number) = number(value) {
        return number.into();
    }
    if let Some(text) = text(value) {
        return text.into();
    }
    match value {
        AMQPValue::Boolean(value) => (*value).into(),
        AMQPValue::Float(value) => (*value).into(),
        AMQPValue::Double(value) => (*value).into(),
        AMQPValue::FieldTable(inner) if depth > 0 => table(inner, depth - 1),
        AMQPValue::FieldArray(inner) if depth > 0 => {
            inner.as_slice().iter().map(|value| readable_value(value, depth - 1)).collect()
        }
        _ => Value::Null,
    }
}
