//! Between jobs and messages: what stands in properties and headers, and what in the body.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Job, Lane};

use super::headers::{self, name};
use super::names::{self, Names};
use crate::{MAX_MESSAGE, QueueError};

/// Delivery mode of a message that the broker keeps on disk.
const PERSISTENT: u8 = 2;

/// A message on its way to the broker.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

/// A message from the broker, as far as it must be known to settle it.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    /// The key it was published with first.
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

// === impl Outgoing ===

impl Outgoing {
    /// Returns the message of a job that is published now.
    pub(super) fn job(job: &Job, names: &Names, now: Timestamp) -> Result<Self, QueueError> {
        let body = serde_json::to_vec(job)?;
        if body.len() > MAX_MESSAGE {
            return Err(QueueError::TooLarge { job: job.id, bytes: body.len() });
        }
        let exchange = match job.arm {
            Arm::Canary if job.release.is_some() => names.canary_jobs(),
            Arm::Canary | Arm::Stable => names.jobs(),
        };
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(job.id.to_string().into())
            .with_timestamp(now.seconds().unsigned_abs())
            .with_headers(headers::of_job(job, now));
        Ok(Self { exchange, key: names::job_key(job)?, properties, body })
    }

    /// Returns what tells a message from others that are under way.
    pub(super) fn id(&self) -> &str {
        id(&self.properties)
    }
}

// === impl Incoming ===

impl Incoming {
    /// Reads the job. The header counts attempts, and the queue says whose job it is.
    pub(super) fn job(&self, arm: Arm) -> Result<Job, serde_json::Error> {
        let job: Job = serde_json::from_slice(&self.body)?;
        Ok(Job { attempt: self.attempts().unwrap_or(job.attempt), arm, ..job })
    }

    pub(super) fn attempts(&self) -> Option<u32> {
        self.number(name::ATTEMPT).and_then(|attempt| u32::try_from(attempt).ok())
    }

    pub(super) fn published_at(&self) -> Option<Timestamp> {
        self.number(name::PUBLISHED_AT).map(Timestamp)
    }

    pub(super) fn text(&self, header: &str) -> Option<String> {
        headers::text(self.headers()?.inner().get(header)?)
    }

    pub(super) fn number(&self, header: &str) -> Option<i64> {
        headers::number(self.headers()?.inner().get(header)?)
    }

    pub(super) fn headers(&self) -> Option<&FieldTable> {
        self.properties.headers().as_ref()
    }

    /// Returns the copy that is handed out to stable workers, after so many more failures.
    pub(super) fn again(&self, failures: u32, exchange: ShortString, key: ShortString) -> Outgoing {
        let attempt = self.attempts().unwrap_or(0).saturating_add(failures);
        self.copy(exchange, key, [(name::ATTEMPT, AMQPValue::LongLongInt(attempt.into()))])
    }

    /// Returns the copy that moves to stable workers untouched.
    pub(super) fn moved(&self, exchange: ShortString) -> Outgoing {
        self.copy(exchange, self.key.clone(), [])
    }

    /// Returns the copy that is kept aside.
    pub(super) fn dead(
        &self,
        exchange: ShortString,
        lane: Lane,
        reason: &str,
        now: Timestamp,
    ) -> Outgoing {
        let text = |text: &str| AMQPValue::LongString(text.as_bytes().to_vec().into());
        let headers = [
            (name::LANE, text(lane.as_str())),
            (name::REASON, text(reason)),
            (name::DIED_AT, AMQPValue::LongLongInt(now.0)),
        ];
        self.copy(exchange, self.key.clone(), headers)
    }

    /// Keeps all headers, also those of a newer release, but not the broker's own marks: a copy has
    /// not died yet.
    fn copy<const N: usize>(
        &self,
        exchange: ShortString,
        key: ShortString,
        changed: [(&str, AMQPValue); N],
    ) -> Outgoing {
        let mut headers = headers::ours(self.headers());
        for (header, value) in changed {
            headers.insert(header.into(), value);
        }
        let properties =
            self.properties.clone().with_delivery_mode(PERSISTENT).with_headers(headers);
        Outgoing { exchange, key, properties, body: self.body.clone() }
    }
}

/// Returns the id of the message with these properties.
pub(super) fn id(properties: &BasicProperties) -> &str {
    properties.message_id().as_ref().map_or("", ShortString::as_str)
}
