//! Tables for RFC 9111 section 4.2 and RFC 5861.

use http::HeaderValue;

use super::*;

const DATE_TEXT: &str = "Sat, 22 Nov 2025 10:15:00 GMT";
const DATE_AT: Timestamp = Timestamp(1_763_806_500_000_000);

fn at(seconds: u64) -> Timestamp {
    DATE_AT.after(Duration::from_secs(seconds))
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn measure_as(status: u16, plan: CachePlan, fields: &[(&str, &str)]) -> Metadata {
    let mut headers = headers(fields);
    if !headers.contains_key(DATE) {
        headers.insert(DATE, HeaderValue::from_static(DATE_TEXT));
    }
    let control = ResponseControl::parse(&headers);
    let exchange = Exchange { request_time: DATE_AT, response_time: DATE_AT };
    Metadata::measure(StatusCode::from_u16(status).unwrap(), &headers, &control, exchange, plan)
}

fn measure(fields: &[(&str, &str)]) -> Metadata {
    measure_as(200, CachePlan::Respect, fields)
}

#[track_caller]
fn lifetime_is(fields: &[(&str, &str)], expected: u64, basis: Basis) {
    let metadata = measure(fields);
    assert_eq!((metadata.lifetime.as_secs(), metadata.basis), (expected, basis), "{fields:?}");
}

#[test]
fn the_lifetime_is_s_maxage_then_max_age_then_expires_then_a_tenth_of_the_age() {
    let expires = ("expires", "Sat, 22 Nov 2025 10:16:00 GMT");
    let modified = ("last-modified", "Sat, 22 Nov 2025 09:15:00 GMT");
    let both = ("cache-control", "max-age=10, s-maxage=20");
    lifetime_is(&[both, expires, modified], 20, Basis::Explicit);
    lifetime_is(&[("cache-control", "max-age=10"), expires, modified], 10, Basis::Explicit);
    lifetime_is(&[expires, modified], 60, Basis::Explicit);
    lifetime_is(&[modified], 360, Basis::Heuristic);
    lifetime_is(&[], 0, Basis::Nothing);
}

#[test]
fn invalid_freshness_is_stale_and_does_not_fall_through() {
    let expires = ("expires", "Sat, 22 Nov 2025 10:16:00 GMT");
    lifetime_is(&[("cache-control", "max-age=x"), expires], 0, Basis::Explicit);
    for invalid in ["0", "-1", "", "soon", "Sat, 22 Nov 2025 10:16:00 CET"] {
        let modified = ("last-modified", "Sat, 22 Nov 2025 09:15:00 GMT");
        lifetime_is(&[("expires", invalid), modified], 0, Basis::Explicit);
    }
}

#[test]
fn heuristics_need_a_status_that_allows_them_or_public() {
    let modified = ("last-modified", "Sat, 22 Nov 2025 09:15:00 GMT");
    let basis = |status, fields: &[_]| measure_as(status, CachePlan::Respect, fields).basis();
    assert_eq!(basis(404, &[modified]), Basis::Heuristic);
    assert_eq!(basis(302, &[modified]), Basis::Nothing);
    assert_eq!(basis(302, &[modified, ("cache-control", "public")]), Basis::Heuristic);
    let old = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    lifetime_is(&[old], 86_400, Basis::Heuristic);
}

#[test]
fn age_is_the_larger_of_apparent_age_and_age_value_plus_delay() {
    let age = |fields: &[(&str, &str)], request_time, response_time| {
        let headers = headers(fields);
        let exchange = Exchange { request_time, response_time };
        let control = ResponseControl::default();
        let plan = CachePlan::Respect;
        Metadata::measure(StatusCode::OK, &headers, &control, exchange, plan)
            .age(response_time)
            .as_secs()
    };
    let date = ("date", DATE_TEXT);
    assert_eq!(age(&[date], at(0), at(0)), 0);
    assert_eq!(age(&[date], at(30), at(30)), 30);
    assert_eq!(age(&[date, ("age", "100")], at(30), at(32)), 102);
    assert_eq!(age(&[date, ("age", "7, 100")], at(0), at(0)), 7);
    assert_eq!(age(&[date, ("age", "-7")], at(0), at(0)), 0);
    assert_eq!(age(&[date, ("age", "1.5")], at(0), at(0)), 0);
    assert_eq!(age(&[date, ("age", "99999999999999999999999")], at(0), at(0)), u64::from(u32::MAX));
    // A clock ahead of the origin's makes no negative age.
    let ahead = Timestamp(DATE_AT.0 - 5_000_000);
    assert_eq!(age(&[date], ahead, ahead), 0);
}

#[track_caller]
fn check(control: &str, age: u64, expected: Freshness) {
    let metadata = measure(&[("cache-control", control)]);
    assert_eq!(metadata.freshness(at(age)), expected, "{control} after {age} s");
}

#[test]
fn a_response_is_fresh_while_its_lifetime_exceeds_its_age() {
    check("max-age=10", 9, Freshness::Fresh);
    check("max-age=10", 10, Freshness::MustValidate);
    check("max-age=0", 0, Freshness::MustValidate);
    check("no-cache, max-age=10", 0, Freshness::MustValidate);
    check("no-cache=\"x-a\", max-age=10", 0, Freshness::Fresh);
}

#[test]
fn stale_windows_of_rfc_5861_follow_each_other_and_end() {
    let control = "max-age=10, stale-while-revalidate=5, stale-if-error=20";
    check(control, 10, Freshness::StaleWhileRevalidate);
    check(control, 14, Freshness::StaleWhileRevalidate);
    check(control, 15, Freshness::StaleIfError);
    check(control, 29, Freshness::StaleIfError);
    check(control, 30, Freshness::MustValidate);
    check("s-maxage=10, stale-while-revalidate=5", 10, Freshness::StaleWhileRevalidate);
    check("max-age=10, stale-while-revalidate=x", 10, Freshness::MustValidate);
}

#[test]
fn revalidation_directives_close_the_windows() {
    for directive in ["must-revalidate", "proxy-revalidate", "no-cache"] {
        let control =
            format!("max-age=10, stale-while-revalidate=5, stale-if-error=20, {directive}");
        check(&control, 12, Freshness::MustValidate);
        let metadata = measure(&[("cache-control", &control)]);
        assert!(!metadata.covers_failure(OriginFailure::Disconnected, false, at(12)));
    }
}

#[test]
fn failures_are_covered_within_the_declared_window_also_after_a_purge() {
    let metadata = measure(&[("cache-control", "max-age=10, stale-if-error=20")]);
    for purged in [false, true] {
        assert!(metadata.covers_failure(OriginFailure::Error, purged, at(5)));
        assert!(metadata.covers_failure(OriginFailure::Error, purged, at(29)));
        assert!(!metadata.covers_failure(OriginFailure::Error, purged, at(30)));
    }
}

#[test]
fn an_unreachable_origin_is_covered_for_a_while_unless_the_origin_forbade_it() {
    let covers = |control: &str, failure, purged, age| {
        measure(&[("cache-control", control)]).covers_failure(failure, purged, at(age))
    };
    assert!(covers("max-age=10", OriginFailure::Disconnected, false, 100));
    assert!(!covers("max-age=10", OriginFailure::Disconnected, false, 10_000));
    assert!(!covers("max-age=10", OriginFailure::Disconnected, true, 5));
    assert!(!covers("max-age=10", OriginFailure::Error, false, 100));
    assert!(!covers("s-maxage=10", OriginFailure::Disconnected, false, 100));
}

#[test]
fn a_plan_that_overrides_ignores_what_the_origin_said() {
    let plan = CachePlan::Override { ttl_s: 10, swr_s: 5, sie_s: 0 };
    let metadata = measure_as(200, plan, &[("cache-control", "no-cache, max-age=999")]);
    assert_eq!(metadata.freshness(at(9)), Freshness::Fresh);
    assert_eq!(metadata.freshness(at(14)), Freshness::StaleWhileRevalidate);
    assert_eq!(metadata.freshness(at(15)), Freshness::MustValidate);
}

#[test]
fn a_clock_that_steps_back_makes_nothing_stale() {
    let metadata = measure(&[("cache-control", "max-age=10")]);
    assert_eq!(metadata.freshness(DATE_AT.before(Duration::from_secs(60))), Freshness::Fresh);
}

#[test]
fn a_worker_has_as_long_as_the_response_may_be_served_stale() {
    let control = ("cache-control", "s-maxage=60, stale-while-revalidate=300");
    let metadata = measure(&[control]);
    for (now, left) in [(0, 300), (60, 300), (70, 290), (360, 0), (999, 0)] {
        assert_eq!(metadata.revalidation_window(at(now)).as_secs(), left, "{now}");
    }
}

#[test]
fn of_two_responses_the_one_that_was_right_later_is_younger() {
    let new = measure(&[("cache-control", "s-maxage=60")]);
    let old = measure(&[("cache-control", "s-maxage=60"), ("age", "5")]);
    assert!(new.is_younger_than(&old));
    assert!(!old.is_younger_than(&new) && !new.is_younger_than(&new));
}
