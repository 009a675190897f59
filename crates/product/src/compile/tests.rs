//! What a contract is compiled to.

mod guesses;
mod problems;

use proptest::prelude::{ProptestConfig, any, proptest};

use super::compile;
use crate::contract::{Contract, GroupPart};
use crate::fixture::{AIR, air, air_with};

const SMALL: &str = r#"[product]
name = "air"
version = "1.0.0"

[dataset.readings]
key = ["id"]
time = "ts"
[dataset.readings.columns]
id = { type = "string" }
city = { type = "enum", values = ["oslo", "rome"] }
ts = { type = "timestamp" }
value = { type = "decimal", precision = 8, scale = 2 }
note = { type = "string", nullable = true }

[view.hours]
from = "readings"
group_by = ["city"]
bucket = { column = "ts", every = "1h" }
measures = { n = "count()", avg = "avg(value)" }
tags = ["city"]

[endpoint.series]
path = "/cities/{city}"
view = "hours"
"#;

#[test]
fn scopes_default_to_reading_the_product() {
    let scope = |line: &str| {
        let source = SMALL.replace("view = \"hours\"", &format!("view = \"hours\"\n{line}"));
        compile("p.toml", &source).unwrap().endpoints[0].scope.clone()
    };
    assert_eq!(scope("").as_deref(), Some("read:air"));
    assert_eq!(scope("scope = \"admin:air\"").as_deref(), Some("admin:air"));
    assert_eq!(scope("scope = \"public\""), None);
}

#[test]
fn the_hash_is_of_what_a_contract_means() {
    let hash = |source: &str| compile("p.toml", source).unwrap().hash;
    let start = hash(SMALL);
    let spaced = SMALL.replace(" = ", "   =  ").replace('\n', "  # why\n");
    assert_eq!(hash(&spaced), start);
    let reordered = SMALL.replace("key = [\"id\"]\ntime = \"ts\"", "time = \"ts\"\nkey = [\"id\"]");
    assert_eq!(hash(&reordered), start);
    for (from, to) in [
        ("1.0.0", "1.0.1"),
        ("\"rome\"", "\"bern\""),
        ("every = \"1h\"", "every = \"2h\""),
        ("avg(value)", "max(value)"),
        ("nullable = true", "nullable = true, max_len = 9"),
        ("view = \"hours\"", "view = \"hours\"\ncache = { ttl = \"1s\" }"),
    ] {
        assert_ne!(hash(&SMALL.replace(from, to)), start, "{to}");
    }
}

fn hashes(contract: &Contract) -> Vec<(&str, &str)> {
    let hashes = contract.endpoints.iter();
    hashes.map(|endpoint| (endpoint.name.as_str(), endpoint.hash.as_str())).collect()
}

/// Compares the names of the endpoints whose hash a change changes.
#[track_caller]
fn check_changed(from: &str, to: &str, expected: &[&str]) {
    let (before, after) = (air(), air_with(from, to));
    let pairs = hashes(&before).into_iter().zip(hashes(&after));
    let changed: Vec<&str> = pairs.filter(|(a, b)| a != b).map(|((name, _), _)| name).collect();
    assert_eq!(changed, expected, "{to}");
}

#[test]
fn an_endpoint_changes_with_what_it_reads_and_nothing_else() {
    check_changed("every = \"1d\"", "every = \"12h\"", &["station_days"]);
    check_changed("min = \"min(value)\"", "min = \"sum(value)\"", &["city_series", "worst"]);
    check_changed("ttl = \"15s\"", "ttl = \"16s\"", &[]);
    check_changed("rate = \"100/s\"", "rate = \"10/s\"", &[]);
    check_changed("max_len = 200", "max_len = 201", &[]);
    check_changed("k_max = 100", "k_max = 50", &["worst"]);
    check_changed(
        "precision = 8, scale = 2",
        "precision = 8, scale = 3",
        &["city_series", "worst", "station_days", "raw"],
    );
}

#[test]
fn the_first_reader_shapes_the_primary_key() {
    let contract = air();
    let (dim, bucket) = (GroupPart::Dim, GroupPart::Bucket);
    let (_, cities) = contract.view("city_hour").unwrap();
    assert_eq!(cities.access_paths, [vec![dim(0), dim(1), bucket], vec![dim(1), bucket, dim(0)]]);
    let (_, stations) = contract.view("station_day").unwrap();
    assert_eq!(stations.access_paths, [vec![dim(0), dim(1), bucket]]);
    let unread = SMALL.replace("/cities/{city}", "/cities");
    let contract = compile("p.toml", &unread).unwrap();
    assert_eq!(contract.views[0].access_paths, [vec![bucket, dim(0)]]);
}

#[test]
fn files_made_to_hurt_are_refused() {
    let message = |source: &str| compile("p.toml", source).unwrap_err().remove(0).message;
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(message(&deep).starts_with("this is not TOML"));
    let dotted = format!("a{} = 1", ".a".repeat(100_000));
    assert!(!message(&dotted).is_empty());
    let long = "#".repeat((1 << 20) + 1);
    assert_eq!(message(&long), "the file is larger than 1048576 bytes");
    let views: String = (0..501).map(|n| format!("[view.v{n}]\n")).collect();
    assert_eq!(
        compile("p.toml", &format!("{SMALL}{views}")).unwrap_err()[0].message,
        "a product has at most 500 of [view.NAME]"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_file_makes_the_compiler_panic(
        cuts in proptest::collection::vec((any::<u16>(), 0usize..40, "[ -~\n]{0,12}"), 1..6),
    ) {
        let mut source = AIR.to_owned();
        for (at, len, text) in cuts {
            let start = source.floor_char_boundary(usize::from(at) % (source.len() + 1));
            let end = source.floor_char_boundary((start + len).min(source.len())).max(start);
            source.replace_range(start..end, &text);
        }
        if let Err(problems) = compile("air.toml", &source) {
            assert!(!problems.is_empty());
        }
    }

    #[test]
    fn no_words_swapped_make_the_compiler_panic(
        swaps in proptest::collection::vec((any::<u16>(), any::<u16>()), 1..8),
    ) {
        let mut words: Vec<&str> = AIR.split_inclusive(|c: char| " \n,\"".contains(c)).collect();
        for (a, b) in swaps {
            let (a, b) = (usize::from(a) % words.len(), usize::from(b) % words.len());
            words.swap(a, b);
        }
        if let Err(problems) = compile("air.toml", &words.concat()) {
            assert!(!problems.is_empty());
        }
    }
}
