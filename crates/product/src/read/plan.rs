//! A bound request to a bounded query.

use std::time::Duration;

use tidegate_core::clock::{parse_span, span_text};
use tidegate_core::param::{ParamError, ParamKind, ParamPlan, ParamValue};

use super::{GroupsPlan, Order, ReadPlan, RowsPlan, column_value, cursor};
use crate::contract::{Binding, Contract, Endpoint, GroupPart, Source, align_down};
use crate::fold::Value;

/// Makes a query from the values that [`bind`](tidegate_core::param::bind) found for
/// [`Endpoint::params`], which hold the page's `limit` and `cursor` too.
///
/// Buckets are taken if they overlap the range: `from` is aligned down to the bucket. With a wider
/// step the first and the last one hold what lies within the range.
///
/// # Errors
/// Two parameters contradict each other, or the cursor belongs to another request.
pub fn plan(
    contract: &Contract,
    endpoint: &Endpoint,
    values: &[Option<ParamValue>],
) -> Result<ReadPlan, ParamError> {
    let request = Request { contract, endpoint, values };
    match endpoint.source {
        Source::View(view) => request.groups(view).map(ReadPlan::Groups),
        Source::Dataset(dataset) => request.rows(dataset).map(ReadPlan::Rows),
    }
}

struct Request<'a> {
    contract: &'a Contract,
    endpoint: &'a Endpoint,
    values: &'a [Option<ParamValue>],
}

impl<'a> Request<'a> {
    fn groups(&self, position: usize) -> Result<GroupsPlan, ParamError> {
        let view = &self.contract.views[position];
        let dataset = self.contract.dataset_of(view);
        let every_us = view.bucket.map_or(1, |bucket| bucket.every_us);
        let mut equals = Vec::new();
        for (_, binding, value) in self.given() {
            if let Binding::Part(part) = binding {
                let value = match (part, value) {
                    (GroupPart::Dim(dim), value) => {
                        column_value(dataset.columns[view.group_by[dim]].kind, value)
                    }
                    (GroupPart::Bucket, ParamValue::Time(at)) => {
                        Value::Int(align_down(at.0, every_us))
                    }
                    (GroupPart::Bucket, other) => {
                        column_value(crate::contract::ColumnKind::Int, other)
                    }
                };
                equals.push((part, value));
            }
        }
        let range = self.range()?.map(|(from, to)| (align_down(from, every_us), to));
        let step_us = self.step(every_us)?;
        let merged = step_us.map_or(1, |step| usize::try_from(step / every_us).unwrap_or(1));
        let (order, limit) = match self.endpoint.top {
            Some(top) => {
                (Order::Top(top.by), self.number(Binding::K).unwrap_or(top.k).min(top.k_max))
            }
            None => (Order::Group, self.endpoint.max_rows.saturating_mul(merged).saturating_add(1)),
        };
        Ok(GroupsPlan { view: position, equals, range, step_us, order, limit })
    }

    fn rows(&self, position: usize) -> Result<RowsPlan, ParamError> {
        let dataset = &self.contract.datasets[position];
        let mut equals = Vec::new();
        for (_, binding, value) in self.given() {
            if let Binding::Column(column) = binding {
                equals.push((column, column_value(dataset.columns[column].kind, value)));
            }
        }
        let after = match self.find(Binding::Cursor) {
            Some((param, ParamValue::Text(text))) => {
                let after = cursor::rows_after(dataset, self.endpoint, &equals, text);
                Some(after.map_err(|reason| error(param, reason))?)
            }
            _ => None,
        };
        let page = self.endpoint.page;
        let limit = self.number(Binding::Limit).unwrap_or(page.size).min(page.max);
        let range = self.range()?;
        Ok(RowsPlan { dataset: position, equals, range, after, limit: limit + 1 })
    }

    /// Reads `from` and `to`; an end that is not given is open.
    fn range(&self) -> Result<Option<(i64, i64)>, ParamError> {
        let (from, to) = (self.time(Binding::From), self.time(Binding::To));
        if let (Some((param, from)), Some((_, to))) = (from, to)
            && from > to
        {
            return Err(error(param, "must not be later than 'to'"));
        }
        for (param, _) in [from, to].into_iter().flatten() {
            let ParamKind::Timestamp { max_span_us: Some(max_span), .. } = param.kind else {
                continue;
            };
            let span = match (from, to) {
                (Some((_, from)), Some((_, to))) => to.saturating_sub(from),
                _ => i64::MAX,
            };
            if span > max_span {
                let longest = span_text(Duration::from_micros(max_span.unsigned_abs()));
                return Err(error(param, format!("must be at most {longest} from the other end")));
            }
        }
        let start = from.map(|(_, at)| at);
        let end = to.map(|(_, at)| at);
        let open = start.is_none() && end.is_none();
        Ok((!open).then(|| (start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX))))
    }

    fn step(&self, every_us: i64) -> Result<Option<i64>, ParamError> {
        let Some((param, ParamValue::Text(text))) = self.find(Binding::Step) else {
            return Ok(None);
        };
        // The words were checked when the contract was compiled.
        let step = parse_span(text).and_then(|span| i64::try_from(span.as_micros()).ok());
        let step = step.ok_or_else(|| error(param, "must be a span such as 1d"))?;
        Ok((step > every_us).then_some(step))
    }

    fn given(&self) -> impl Iterator<Item = (&'a ParamPlan, Binding, &'a ParamValue)> {
        let params = self.endpoint.params.iter().zip(&self.endpoint.bindings);
        params
            .zip(self.values)
            .filter_map(|((param, binding), value)| Some((param, *binding, value.as_ref()?)))
    }

    fn find(&self, wanted: Binding) -> Option<(&'a ParamPlan, &'a ParamValue)> {
        let mut given = self.given();
        given.find(|(_, binding, _)| *binding == wanted).map(|(param, _, value)| (param, value))
    }

    fn time(&self, wanted: Binding) -> Option<(&'a ParamPlan, i64)> {
        match self.find(wanted)? {
            (param, ParamValue::Time(at)) => Some((param, at.0)),
            _ => None,
        }
    }

    fn number(&self, wanted: Binding) -> Option<usize> {
        match self.find(wanted)? {
            (_, ParamValue::Int(number)) => usize::try_from(*number).ok(),
            _ => None,
        }
    }
}

fn error(param: &ParamPlan, reason: impl Into<String>) -> ParamError {
    ParamError { name: param.name.clone(), reason: reason.into() }
}
