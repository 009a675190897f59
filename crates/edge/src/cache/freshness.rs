//! Whether a stored response may be reused: a pure function of stored times and `now`.
//!
//! RFC 9111 section 4.2 (freshness, age), RFC 5861 (stale-while-revalidate, stale-if-error).

use std::time::Duration;

use http::StatusCode;
use http::header::{AGE, DATE, EXPIRES, HeaderMap, HeaderName, LAST_MODIFIED};
use tidegate_core::clock::Timestamp;
use tidegate_core::edge_plan::CachePlan;

use super::control::{Fields, ResponseControl};
use super::date;

/// A heuristic lifetime is this part of the time since the last modification
/// (RFC 9111 section 4.2.2).
const HEURISTIC_PART: u32 = 10;

/// Longest heuristic lifetime: nobody declared it.
const HEURISTIC_MAX: Duration = Duration::from_secs(86_400);

/// How long after its lifetime a response may stand in for an origin that can't be reached, if
/// nothing the origin said forbids it (RFC 9111 section 4.2.4).
const DISCONNECTED_MAX: Duration = Duration::from_secs(3_600);

/// Statuses that may be stored without explicit freshness (RFC 9110 section 15.1), less 206.
const HEURISTIC_STATUSES: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// When a response was asked for and when its head came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) request_time: Timestamp,
    pub(crate) response_time: Timestamp,
}

/// What freshness is computed from; kept with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    response_time: Timestamp,
    /// `corrected_initial_age` of RFC 9111 section 4.2.3.
    initial_age: Duration,
    lifetime: Duration,
    basis: Basis,
    strictness: Strictness,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
}

/// Where a lifetime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// A directive, `Expires` or the plan.
    Explicit,
    /// The last modification.
    Heuristic,
    /// Nothing: it is stale from the start.
    Nothing,
}

/// What the origin says of reuse after the lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strictness {
    /// Nothing.
    Lenient,
    /// `s-maxage` forbids it (RFC 9111 section 5.2.2.10), except as RFC 5861 directives in the
    /// same field allow: an origin that sends both means both.
    Declared,
    /// `must-revalidate` or `proxy-revalidate`: never.
    Never,
    /// `no-cache`: not even before the end of the lifetime.
    Always,
}

/// What may be done with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Reuse it.
    Fresh,
    /// Reuse it and validate it in the background.
    StaleWhileRevalidate,
    /// Validate it; reuse it if the origin fails.
    StaleIfError,
    /// Validate it before any reuse.
    MustValidate,
}

/// How an origin failed to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OriginFailure {
    /// It answered with a server error, or too late.
    Error,
    /// It could not be reached, or closed without an answer.
    Disconnected,
}

// === impl Metadata ===

impl Metadata {
    /// Measures a response.
    pub(crate) fn measure(
        status: StatusCode,
        headers: &HeaderMap,
        control: &ResponseControl,
        exchange: Exchange,
        plan: CachePlan,
    ) -> Self {
        let date = date_field(headers, &DATE, exchange.response_time);
        let date = date.unwrap_or(exchange.response_time);
        let common = |lifetime, basis, strictness, windows: (Duration, Duration)| Self {
            response_time: exchange.response_time,
            initial_age: initial_age(headers, date, exchange),
            lifetime,
            basis,
            strictness,
            stale_while_revalidate: windows.0,
            stale_if_error: windows.1,
        };
        if let CachePlan::Override { ttl_s, swr_s, sie_s } = plan {
            let windows = (seconds(swr_s), seconds(sie_s));
            return common(seconds(ttl_s), Basis::Explicit, Strictness::Lenient, windows);
        }
        let (lifetime, basis) = lifetime(status, headers, control, date);
        let window = |delta: Option<super::control::Delta>| {
            seconds(delta.map_or(0, super::control::Delta::seconds))
        };
        let windows = (window(control.stale_while_revalidate), window(control.stale_if_error));
        common(lifetime, basis, strictness(control), windows)
    }

    /// Returns where the lifetime comes from.
    pub(crate) fn basis(&self) -> Basis {
        self.basis
    }

    /// Says whether the response could ever be reused without a validator.
    pub(crate) fn is_reusable_unvalidated(&self) -> bool {
        let windows = self.stale_while_revalidate.max(self.stale_if_error);
        self.strictness != Strictness::Always
            && (!self.lifetime.is_zero() || (self.may_outlive() && !windows.is_zero()))
    }

    /// Returns `current_age` of RFC 9111 section 4.2.3.
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        self.initial_age.saturating_add(now.since(self.response_time))
    }

    /// Says whether less time has passed since the response was right than for `other`.
    pub(crate) fn is_younger_than(&self, other: &Self) -> bool {
        let later = self.response_time.max(other.response_time);
        self.age(later) < other.age(later)
    }

    /// Returns what is left of the time in which the response may be served while it is validated.
    pub(crate) fn revalidation_window(&self, now: Timestamp) -> Duration {
        let stale_for = self.age(now).saturating_sub(self.lifetime);
        self.stale_while_revalidate.saturating_sub(stale_for)
    }

    /// Returns what is left of the lifetime in seconds, negative once it is stale.
    pub(crate) fn ttl_seconds(&self, now: Timestamp) -> i64 {
        let whole = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        whole(self.lifetime).saturating_sub(whole(self.age(now)))
    }

    /// Decides what may be done with the response.
    pub(crate) fn freshness(&self, now: Timestamp) -> Freshness {
        let age = self.age(now);
        if self.strictness == Strictness::Always {
            return Freshness::MustValidate;
        }
        // RFC 9111 section 4.2: fresh while the lifetime exceeds the age.
        if self.lifetime > age {
            return Freshness::Fresh;
        }
        if !self.may_outlive() {
            return Freshness::MustValidate;
        }
        let stale_for = age.saturating_sub(self.lifetime);
        if stale_for < self.stale_while_revalidate {
            Freshness::StaleWhileRevalidate
        } else if stale_for < self.stale_if_error {
            Freshness::StaleIfError
        } else {
            Freshness::MustValidate
        }
    }

    /// Says whether the response may stand in for an answer the origin failed to give. It may
    /// have been purged: only a declared window allows that.
    pub(crate) fn covers_failure(
        &self,
        failure: OriginFailure,
        purged: bool,
        now: Timestamp,
    ) -> bool {
        if !self.may_outlive() {
            return false;
        }
        let stale_for = self.age(now).saturating_sub(self.lifetime);
        let undeclared = failure == OriginFailure::Disconnected
            && self.strictness == Strictness::Lenient
            && !purged
            && stale_for < DISCONNECTED_MAX;
        stale_for < self.stale_if_error || undeclared
    }

    fn may_outlive(&self) -> bool {
        matches!(self.strictness, Strictness::Lenient | Strictness::Declared)
    }
}

/// Says whether a response of this status may be stored without explicit freshness.
pub(crate) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    HEURISTIC_STATUSES.contains(&status.as_u16())
}

/// RFC 9111 section 4.2.1: the first of these that is present counts, even if it is invalid.
fn lifetime(
    status: StatusCode,
    headers: &HeaderMap,
    control: &ResponseControl,
    date: Timestamp,
) -> (Duration, Basis) {
    if let Some(delta) = control.s_maxage.or(control.max_age) {
        return (seconds(delta.seconds()), Basis::Explicit);
    }
    if headers.contains_key(EXPIRES) {
        // RFC 9111 section 5.3: an invalid date, "0" above all, lies in the past.
        let expires = date_field(headers, &EXPIRES, date).unwrap_or(date);
        return (expires.since(date), Basis::Explicit);
    }
    match date_field(headers, &LAST_MODIFIED, date) {
        Some(modified) if is_heuristically_cacheable(status) || control.public => {
            let lifetime = (date.since(modified) / HEURISTIC_PART).min(HEURISTIC_MAX);
            (lifetime, Basis::Heuristic)
        }
        _ => (Duration::ZERO, Basis::Nothing),
    }
}

fn strictness(control: &ResponseControl) -> Strictness {
    if control.no_cache == Fields::All {
        Strictness::Always
    } else if control.must_revalidate || control.proxy_revalidate {
        Strictness::Never
    } else if control.s_maxage.is_some() {
        Strictness::Declared
    } else {
        Strictness::Lenient
    }
}

/// RFC 9111 section 4.2.3.
fn initial_age(headers: &HeaderMap, date: Timestamp, exchange: Exchange) -> Duration {
    let Exchange { request_time, response_time } = exchange;
    // Dates have whole seconds; counting the fraction would age every response.
    let apparent = response_time.seconds().saturating_sub(date.seconds());
    let apparent = Duration::from_secs(u64::try_from(apparent).unwrap_or(0));
    apparent.max(age_field(headers).saturating_add(response_time.since(request_time)))
}

/// RFC 9111 section 5.1: the first member counts, what is no number is ignored.
fn age_field(headers: &HeaderMap) -> Duration {
    let first = headers.get(AGE).and_then(|value| value.to_str().ok());
    let first = first.and_then(|text| text.split(',').next()).map_or("", str::trim);
    if first.is_empty() || !first.bytes().all(|byte| byte.is_ascii_digit()) {
        return Duration::ZERO;
    }
    Duration::from_secs(first.parse().unwrap_or(u64::from(u32::MAX)).min(u64::from(u32::MAX)))
}

/// Returns the date in the first line of `name`.
pub(crate) fn date_field(
    headers: &HeaderMap,
    name: &HeaderName,
    now: Timestamp,
) -> Option<Timestamp> {
    date::parse(headers.get(name)?.to_str().ok()?, now)
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

#[cfg(test)]
mod tests;
