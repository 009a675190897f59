//! One mistake hides no other: what was probably meant stands in for what is wrong.

use super::SMALL;
use crate::compile::compile;

/// Makes the replacements in the small product, and compares the problems without the file's name.
#[track_caller]
fn check(replaced: &[(&str, &str)], expected: &[&str]) {
    let mut source = SMALL.to_owned();
    for (from, to) in replaced {
        assert!(source.contains(from), "{from}");
        source = source.replacen(from, to, 1);
    }
    let problems = compile("p.toml", &source).err().unwrap_or_default();
    let found: Vec<String> =
        problems.iter().map(|problem| problem.to_string().replacen("p.toml:", "", 1)).collect();
    assert_eq!(found, expected, "{replaced:?}");
}

/// A mistake in what reads the view.
const LATER: (&str, &str) = ("view = \"hours\"", "view = \"hours\"\nselect = [\"avgg\"]");
const SAID: &str =
    "25: there is no field 'avgg'; did you mean 'avg'?; known are city, bucket, n, avg";

#[test]
fn a_wrong_column_does_not_hide_what_is_wrong_with_views_and_endpoints() {
    check(
        &[("type = \"enum\"", "type = \"enumm\""), LATER],
        &[
            "10: there is no type 'enumm'; did you mean 'enum'?; write one of string, enum, uuid, int, decimal, timestamp, bool, float",
            SAID,
        ],
    );
    check(
        &[("scale = 2", "scale = 9"), LATER],
        &["12: 'scale' is larger than 'precision'; write a smaller one", SAID],
    );
}

#[test]
fn neither_key_nor_time_is_needed_to_judge_the_rest() {
    check(
        &[("key = [\"id\"]\n", ""), ("time = \"ts\"", "time = \"tss\""), ("hours\"", "hour\"")],
        &[
            "5: dataset.readings has no 'key'; write key = [\"id\"]",
            "6: there is no column 'tss'; did you mean 'ts'?",
            "23: there is no view 'hour'; did you mean 'hours'?",
        ],
    );
}

#[test]
fn a_wrong_view_is_blamed_itself_and_not_what_reads_it() {
    let read = (
        "view = \"hours\"",
        "view = \"hours\"\nselect = [\"bucket\", \"avg\"]\nparams.from = { type = \"timestamp\" }\n\
         params.step = { type = \"enum\", values = [\"1h\", \"1d\"] }",
    );
    check(
        &[("every = \"1h\"", "every = \"7h\""), ("avg(value)", "mean(value)"), read],
        &[
            "18: a bucket is a part or a multiple of a day, from 1s to 366d; write every = \"1h\"",
            "19: there is no measure 'mean'; known are count, sum, avg, min, max",
        ],
    );
    check(
        &[("[\"city\"]", "[\"citty\"]"), ("from = \"readings\"", "from = \"reading\""), LATER],
        &[
            "16: there is no dataset 'reading'; did you mean 'readings'?",
            "17: there is no column 'citty'; did you mean 'city'?",
            SAID,
        ],
    );
}
