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

fn rendered(seconds: u64) -> Began {
    Began::Rendered(NOW.after(Duration::from_secs(seconds)))
}

#[test]
fn what_was_rendered_elsewhere_about_a_missed_purge_needs_proof_that_it_saw_it() {
    let tags = Tags::new();
    tags.invalidate_all(NOW);
    let link = |seq, began| tags.link(&response("a", Some(&at("k", seq))), began).map(|_| ());
    assert_eq!(link(7, rendered(1)), Err(Refused::Outdated));
    // Long enough afterwards for any two clocks.
    assert_eq!(link(7, rendered(2)), Ok(()));
    // No older than what was asked for afterwards.
    assert_eq!(link(8, tags.begin()), Ok(()));
    assert_eq!(link(7, rendered(0)), Err(Refused::Outdated));
    assert_eq!(link(8, rendered(0)), Ok(()));
    tags.invalidate_product(&space("k"), NOW);
    assert_eq!(link(9, rendered(0)), Err(Refused::Outdated));
}

#[test]
fn what_was_rendered_elsewhere_tells_of_no_new_incarnation() {
    let tags = Tags::new();
    let link = |incarnation, began| tags.link(&response("a", Some(&at(incarnation, 7))), began);
    let stored = link("k2", tags.begin()).unwrap();
    // A late message of the store before its restore.
    assert_eq!(link("k1", rendered(9)).map(|_| ()), Err(Refused::Outdated));
    assert!(!tags.is_purged(&stored));
    assert!(link("k2", tags.begin()).is_ok());
}

#[test]
fn what_was_rendered_elsewhere_without_a_position_is_refused() {
    let tags = Tags::new();
    let linked = tags.link(&response("a", None), rendered(9)).map(|_| ());
    assert_eq!(linked, Err(Refused::Unreadable));
}

#[test]
fn a_doubt_outranks_what_is_older_until_something_newer_comes() {
    let tags = Tags::new();
    let link = |seq| tags.link(&response("a", Some(&at("k", seq))), tags.begin()).unwrap();
    let stored = link(4);
    assert!(!tags.doubt(&stored, &at("k", 4)) && !stored.is_doubted());
    assert!(!tags.doubt(&stored, &at("k9", 6)) && !stored.is_doubted());
    assert!(tags.doubt(&stored, &at("k", 6)) && stored.is_doubted());
    assert!(stored.outranks(&link(5)));
    assert!(!stored.outranks(&link(6)));
    assert!(!tags.is_purged(&stored));
}

#[test]
fn positions_of_a_space_that_is_over_count_for_nothing() {
    let tags = Tags::new();
    let link = |seq| tags.link(&response("a", Some(&at("k", seq))), tags.begin()).unwrap();
    let (before, also_before) = (link(9), link(3));
    assert!(before.outranks(&also_before));
    tags.invalidate_product(&space("k"), NOW);
    let after = link(5);
    assert!(!before.outranks(&after));
    // It was on its way when the product was invalidated.
    assert!(after.outranks(&before));
}
