//! The guard against stale fills, step by step.

use http::HeaderValue;

use super::*;

const NOW: Timestamp = Timestamp(1_763_806_500_000_000);

fn space(incarnation: &str) -> Space {
    Space { incarnation: incarnation.into(), tenant: "acme".into(), product: "air".into() }
}

fn at(incarnation: &str, seq: u64) -> DataSeq {
    DataSeq { space: space(incarnation), seq }
}

fn response(tags: &'static str, at: Option<&DataSeq>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(tag::HEADER, HeaderValue::from_static(tags));
    if let Some(at) = at {
        headers.insert(seq::HEADER, HeaderValue::from_str(&at.to_string()).unwrap());
    }
    headers
}

fn purge(tags: &Tags, at: &DataSeq, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    tags.purge(at, &names);
}

#[test]
fn a_purge_invalidates_what_carries_the_tag_and_was_read_before_it() {
    let tags = Tags::new();
    let old = tags.link(&response("a b", Some(&at("k", 4))), tags.begin()).unwrap();
    let other = tags.link(&response("c", Some(&at("k", 4))), tags.begin()).unwrap();
    let same = tags.link(&response("a", Some(&at("k", 5))), tags.begin()).unwrap();
    purge(&tags, &at("k", 5), &["a"]);
    assert!(tags.is_purged(&old));
    assert!(!tags.is_purged(&other));
    assert!(!tags.is_purged(&same));
}

#[test]
fn a_response_read_before_the_last_purge_of_a_tag_is_refused() {
    let tags = Tags::new();
    let began = tags.begin();
    purge(&tags, &at("k", 5), &["a"]);
    let link = |names, seq| tags.link(&response(names, Some(&at("k", seq))), began).map(|_| ());
    assert_eq!(link("a", 4), Err(Refused::Outdated));
    assert_eq!(link("a", 5), Ok(()));
    assert_eq!(link("b", 4), Ok(()));
}

#[test]
fn without_a_sequence_the_order_of_arrival_decides() {
    let tags = Tags::new();
    let before = tags.begin();
    purge(&tags, &at("k", 1), &["a"]);
    assert_eq!(tags.link(&response("a", None), before).map(|_| ()), Err(Refused::Outdated));
    let links = tags.link(&response("a", None), tags.begin()).unwrap();
    assert!(!tags.is_purged(&links));
    purge(&tags, &at("k", 2), &["a"]);
    assert!(tags.is_purged(&links));
}

#[test]
fn a_new_incarnation_invalidates_the_product_and_a_past_one_is_not_believed() {
    let tags = Tags::new();
    let old = tags.link(&response("a", Some(&at("k1", 900))), tags.begin()).unwrap();
    let new = tags.link(&response("b", Some(&at("k2", 1))), tags.begin()).unwrap();
    assert!(tags.is_purged(&old));
    let late = tags.link(&response("a", Some(&at("k1", 901))), tags.begin());
    assert_eq!(late.map(|_| ()), Err(Refused::Outdated));
    purge(&tags, &at("k1", 902), &["b"]);
    assert!(!tags.is_purged(&new));
}

#[test]
fn after_missed_notices_nothing_stored_or_in_flight_counts() {
    let tags = Tags::new();
    let links = tags.link(&response("a", Some(&at("k", 4))), tags.begin()).unwrap();
    let untagged = tags.link(&HeaderMap::new(), tags.begin()).unwrap();
    let in_flight = tags.begin();
    tags.invalidate_all(NOW);
    assert!(tags.is_purged(&links) && tags.is_purged(&untagged));
    let refused = tags.link(&response("a", Some(&at("k", 9))), in_flight).map(|_| ());
    assert_eq!(refused, Err(Refused::Outdated));
    assert!(tags.link(&response("a", Some(&at("k", 4))), tags.begin()).is_ok());
}

#[test]
fn a_gap_in_one_product_leaves_the_others() {
    let tags = Tags::new();
    let other = DataSeq { space: Space { tenant: "umbrella".into(), ..space("k") }, seq: 1 };
    let links = tags.link(&response("a", Some(&at("k", 4))), tags.begin()).unwrap();
    let foreign = tags.link(&response("a", Some(&other)), tags.begin()).unwrap();
    tags.invalidate_product(&space("k"), NOW);
    assert!(tags.is_purged(&links));
    assert!(!tags.is_purged(&foreign));
}

#[test]
fn what_could_never_be_purged_is_refused() {
    let tags = Tags::new();
    let mut headers = response("a", None);
    headers.insert(seq::HEADER, HeaderValue::from_static("nonsense"));
    assert_eq!(tags.link(&headers, tags.begin()).map(|_| ()), Err(Refused::Unreadable));
    let many: String = (0..=MAX_TAGS).map(|number| format!("{number} ")).collect();
    headers = HeaderMap::new();
    headers.insert(tag::HEADER, HeaderValue::from_str(&many).unwrap());
    assert_eq!(tags.link(&headers, tags.begin()).map(|_| ()), Err(Refused::Unreadable));
}

#[test]
fn a_repeated_check_within_a_generation_reads_no_mark() {
    let tags = Tags::new();
    let links = tags.link(&response("a", Some(&at("k", 4))), tags.begin()).unwrap();
    assert!(!tags.is_purged(&links));
    // Changed behind the generation's back, so only a reader of marks would notice.
    links.marks[0].store(9, Ordering::Relaxed);
    assert!(!tags.is_purged(&links));
    purge(&tags, &at("k", 5), &["b"]);
    assert!(tags.is_purged(&links));
}
