//! What is said of files that don't compile.

use super::SMALL;
use crate::compile::compile;

/// Replaces text in the small product, and compares the problems without the file's name.
#[track_caller]
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(SMALL.contains(from), "{from}");
    let source = SMALL.replacen(from, to, 1);
    let problems = compile("p.toml", &source).err().unwrap_or_default();
    let found: Vec<String> =
        problems.iter().map(|problem| problem.to_string().replacen("p.toml:", "", 1)).collect();
    assert_eq!(found, expected, "{to}");
}

#[test]
fn a_small_product_needs_little() {
    check("city", "city", &[]);
}

#[test]
fn every_problem_is_reported_at_once_with_its_line() {
    let source = SMALL
        .replace("time = \"ts\"", "tiem = \"ts\"")
        .replace("scale = 2", "scale = 9")
        .replace("from = \"readings\"", "from = \"reading\"")
        .replace("view = \"hours\"", "view = \"hour\"");
    let problems = compile("p.toml", &source).unwrap_err();
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "p.toml:5: dataset.readings has no 'time'; write time = \"ts\"",
            "p.toml:7: dataset.readings has no key 'tiem'; did you mean 'time'?",
            "p.toml:12: 'scale' is larger than 'precision'; write a smaller one",
            "p.toml:16: there is no dataset 'reading'; did you mean 'readings'?",
            "p.toml:24: there is no view 'hour'; did you mean 'hours'?",
        ]
    );
}

#[test]
fn broken_toml_is_reported_by_line() {
    check(
        "key = [\"id\"]",
        "key = [\"id\"",
        &["7: this is not TOML: missing comma between array elements, expected `,`"],
    );
}

#[test]
fn products_need_a_name_and_a_version() {
    check(
        "name = \"air\"",
        "name = \"air-quality\"",
        &[
            "2: 'air-quality' is no name; write a lower-case letter, then at most 47 lower-case letters, digits and '_'",
        ],
    );
    check(
        "name = \"air\"",
        "name = \"jobs\"",
        &["2: 'jobs' is reserved; write another name, such as 'jobs_'"],
    );
    check("name = \"air\"\n", "", &["1: product has no 'name'; write name = \"air\""]);
    check("\"1.0.0\"", "\"1.0\"", &["3: '1.0' is no version; write MAJOR.MINOR.PATCH"]);
    check(
        "\"1.0.0\"",
        "1",
        &["3: product.version is a whole number; write a string: version = \"1.0.0\""],
    );
    check(
        "version = \"1.0.0\"",
        "version = \"1.0.0\"\ntimezone = \"CET\"",
        &["4: time zones are not supported by this build; write timezone = \"UTC\""],
    );
}

#[test]
fn features_of_later_builds_are_refused_as_such() {
    check(
        "key = [\"id\"]",
        "key = [\"id\"]\nmode = \"upsert\"\nversion = \"ts\"\ndelete = \"city == 'oslo'\"",
        &[
            "7: mode = \"upsert\" is not supported by this build; write mode = \"append\"",
            "8: 'version' is not supported by this build; remove it",
            "9: 'delete' is not supported by this build; remove it",
        ],
    );
    check(
        "id = { type = \"string\" }",
        "id = { type = \"string\", pii = \"hash\", ref = \"x.y\" }",
        &[
            "9: 'pii' is not supported by this build; remove it",
            "9: 'ref' is not supported by this build; remove it",
        ],
    );
    check(
        "avg = \"avg(value)\"",
        "p95 = \"quantile(value, 0.95)\"",
        &["19: quantile() is not supported by this build; known are count, sum, avg, min, max"],
    );
    check(
        "view = \"hours\"",
        "view = \"hours\"\ntoken_filter = { city = \"claims.cities\" }",
        &["25: 'token_filter' is not supported by this build; remove it"],
    );
}

#[test]
fn datasets_are_checked() {
    check(
        "key = [\"id\"]",
        "key = [\"note\"]",
        &["6: key column 'note' is nullable; remove nullable"],
    );
    check(
        "key = [\"id\"]",
        "key = [\"idd\"]",
        &["6: there is no column 'idd'; did you mean 'id'?"],
    );
    check(
        "key = [\"id\"]",
        "key = \"id\"",
        &["6: dataset.readings.key is a string; write a list of strings: key = [\"id\"]"],
    );
    check(
        "time = \"ts\"",
        "time = \"value\"",
        &[
            "7: time column 'value' must be a timestamp that is not nullable; write value = { type = \"timestamp\" }",
        ],
    );
    check(
        "time = \"ts\"",
        "time = \"ts\"\nretention = \"1 year\"\nmax_body = \"2GB\"\nmax_batch_rows = 0\non_error = \"drop\"",
        &[
            "8: '1 year' is no span; write retention = \"400d\" (ms, s, m, h or d)",
            "9: '2GB' is no size up to 256MiB; write max_body = \"16MiB\" (B, KiB or MiB)",
            "10: 'max_batch_rows' is out of range; write a whole number from 1 to 1000000",
            "11: on_error can't be 'drop'; write on_error = \"quarantine\" or \"reject\"",
        ],
    );
    check(
        "time = \"ts\"",
        "time = \"ts\"\nretention = \"1d\"\nlate_after = \"2d\"",
        &["9: 'late_after' is longer than 'retention'; rows that late are not taken in"],
    );
}

#[test]
fn columns_are_checked() {
    check(
        "scale = 2",
        "scale = 0, min = -9223372036854775808",
        &["12: '-9223372036854775808' does not fit decimal(8, 0); write a number within ±99999999"],
    );
    check(
        "type = \"enum\"",
        "type = \"enumm\"",
        &[
            "10: there is no type 'enumm'; did you mean 'enum'?; write one of string, enum, uuid, int, decimal, timestamp, bool, float",
        ],
    );
    check("\"rome\"", "\"oslo\"", &["10: 'oslo' stands twice; remove one"]);
    check(
        "note =",
        "_note =",
        &[
            "13: '_note' is no name; write a lower-case letter, then at most 47 lower-case letters, digits and '_'",
        ],
    );
    check(
        "note =",
        "bucket =",
        &["13: 'bucket' is reserved; write another name, such as 'bucket_'"],
    );
    check(
        "nullable = true",
        "since = \"1.0.1\"",
        &["13: 'since' is later than the product's version 1.0.0; raise 'version' in [product]"],
    );
    check(
        "nullable = true",
        "pattern = \"^[a-z\"",
        &["13: the pattern is wrong: unclosed character class"],
    );
    check(
        "nullable = true",
        "patern = \"^[a-z]$\"",
        &["13: dataset.readings.columns.note has no key 'patern'; did you mean 'pattern'?"],
    );
    check(
        "scale = 2",
        "scale = 2, min = 5, max = 1",
        &["12: 'max' is smaller than 'min'; no value would pass"],
    );
    check(
        "scale = 2",
        "scale = 2, max = 0.001",
        &["12: '0.001' does not fit decimal(8, 2); write a number within ±999999.99"],
    );
    check(
        "{ type = \"timestamp\" }",
        "{ type = \"timestamp\", not_after = \"soon\" }",
        &["11: 'soon' is no time; write RFC 3339, or not_after = \"now+5m\""],
    );
}

#[test]
fn expressions_are_checked_with_their_place() {
    let with = |line: &str| format!("[dataset.readings.transform]\n{line}\n\n[view.hours]");
    check(
        "[view.hours]",
        &with("city = \"lower(citty)\""),
        &["16: there is no column 'citty'; did you mean 'city'? (character 7 of the expression)"],
    );
    check(
        "[view.hours]",
        &with("value = \"len(note)\""),
        &[
            "16: the transform of 'value' yields an int; the column holds a decimal with 2 digits after the point",
        ],
    );
    let with = |expr: &str| {
        format!("[[dataset.readings.check]]\nname = \"c\"\nexpr = \"{expr}\"\n\n[view.hours]")
    };
    check(
        "[view.hours]",
        &with("city != 'olso'"),
        &["17: 'olso' is no value of city; did you mean 'oslo'? (character 9 of the expression)"],
    );
    check(
        "[view.hours]",
        &with("value + 1"),
        &[
            "17: this yields a decimal with 2 digits after the point; write a condition such as value <= 800",
        ],
    );
}

#[test]
fn views_are_checked() {
    check(
        "group_by = [\"city\"]",
        "group_by = [\"citi\"]",
        &["17: there is no column 'citi'; did you mean 'city'?"],
    );
    check(
        "group_by = [\"city\"]",
        "group_by = [\"city\", \"note\"]",
        &[
            "17: 'note' is nullable and can't name a group; remove nullable and write note = \"coalesce(note, 'none')\" under transform",
        ],
    );
    check(
        "group_by = [\"city\"]",
        "group_by = [\"city\", \"value\"]",
        &["17: 'value' can't name a group: it is a measured number; use it in measures"],
    );
    check(
        "every = \"1h\"",
        "every = \"7h\"",
        &["18: a bucket is a part or a multiple of a day, from 1s to 366d; write every = \"1h\""],
    );
    check(
        "avg(value)",
        "average(value)",
        &["19: there is no measure 'average'; known are count, sum, avg, min, max"],
    );
    check(
        "avg(value)",
        "avg(city)",
        &["19: avg() needs an int, decimal or float; 'city' is neither"],
    );
    check("avg(value)", "avg()", &["19: avg() needs a column; write avg(COLUMN)"]);
    check("avg =", "city =", &["19: measure 'city' has the name of a dimension; rename it"]);
    check(
        "tags = [\"city\"]",
        "tags = [\"value\"]",
        &["20: tag 'value' is not in group_by; tags are dimensions of the view"],
    );
}

#[test]
fn what_names_rows_groups_and_tags_is_short() {
    check(
        "id = { type = \"string\" }",
        "id = { type = \"string\", max_len = 9000 }",
        &["6: a key could have 9000 bytes, most are 8192; write a smaller max_len for its columns"],
    );
    check(
        "tags = [\"city\"]",
        "tags = [\"city\"]\n[view.ids]\nfrom = \"readings\"\ngroup_by = [\"id\"]\ntags = [\"id\"]\n\
         measures = { n = \"count()\" }",
        &["24: tag 'id' could have 4096 bytes; write id = { …, max_len = 256 } or less"],
    );
}

#[test]
fn endpoints_are_checked() {
    let with = |line: &str| format!("view = \"hours\"\n{line}");
    check(
        "/cities/{city}",
        "/cities/{town}",
        &[
            "22: the path has '{town}', which is nothing to select by; known are city, from, to, at, step",
        ],
    );
    check(
        "/cities/{city}",
        "/views/{city}",
        &["23: paths below '/views' are the api's own; write another path"],
    );
    check(
        "/cities/{city}",
        "cities",
        &["23: a path begins with '/' and a segment; write path = \"/worst\""],
    );
    check(
        "view = \"hours\"",
        &with("params.town = { type = \"string\" }"),
        &["25: parameter 'town' has nothing to select by; known are city, from, to, at, step"],
    );
    check(
        "view = \"hours\"",
        &with("params.city = { type = \"int\" }"),
        &["25: parameter 'city' must be of type enum with values of city: oslo, rome"],
    );
    check(
        "view = \"hours\"",
        &with("params.step = { type = \"enum\", values = [\"90m\"] }"),
        &[
            "25: parameter 'step' must be of type enum of multiples of the view's bucket, such as values = [\"1h\", \"1d\"]",
        ],
    );
    check(
        "view = \"hours\"",
        &with("params.from = { type = \"timestamp\", default = \"yesterday\" }"),
        &[
            "25: the default of 'from' must be an RFC 3339 time such as 2026-11-22T10:00:00Z, or now-24h",
        ],
    );
}

#[test]
fn answers_and_policies_of_endpoints_are_checked() {
    let with = |line: &str| format!("view = \"hours\"\n{line}");
    check(
        "view = \"hours\"",
        &with("select = [\"n\", \"p95\"]"),
        &["25: there is no field 'p95'; known are city, bucket, n, avg"],
    );
    check(
        "view = \"hours\"",
        &with("order = [\"n\"]"),
        &["25: rows come in the order [\"bucket\", \"city\"]; write this or its beginning"],
    );
    check(
        "view = \"hours\"",
        &with("top = { by = \"n\" }"),
        &[
            "22: 'top' compares the groups of one bucket; write params.at = { type = \"timestamp\", default = \"now\" }",
        ],
    );
    check(
        "view = \"hours\"",
        &with("cache = { ttl = \"1.5s\" }"),
        &["25: '1.5s' is no span; write ttl = \"30s\" (ms, s, m, h or d)"],
    );
    check(
        "view = \"hours\"",
        &with("cache = { ttl = \"1s\", swr = \"1s\", refresh = \"edge\" }"),
        &["25: 'edge' refreshes nothing; write refresh = \"api\" or \"worker\""],
    );
    check(
        "view = \"hours\"",
        &with("cache = { ttl = \"1s\", refresh = \"worker\" }"),
        &["25: workers refresh what is served stale; write swr = \"5m\" beside it"],
    );
    check(
        "view = \"hours\"",
        &with("cache = { tags = [\"note\"] }"),
        &[
            "25: view 'hours' is tagged by [city]; write cache.tags with just these, or change the view's tags",
        ],
    );
    check(
        "view = \"hours\"",
        &with("rate = \"fast\"\nscope = \"all\"\nformats = [\"xml\"]"),
        &[
            "25: 'fast' is no rate; write rate = \"100/s\"",
            "26: 'all' is no scope; write scope = \"public\" or scope = \"read:air\"",
            "27: there is no format 'xml'; write json, ndjson or csv",
        ],
    );
    check(
        "view = \"hours\"",
        &with("dataset = \"readings\""),
        &["25: an endpoint reads a view or a dataset; remove one of them"],
    );
    check(
        "view = \"hours\"",
        "view = \"hours\"\n[endpoint.again]\npath = \"/cities/{city}\"\nview = \"hours\"",
        &["25: 'again' has the path of endpoint 'series'; write another"],
    );
}

#[test]
fn a_purge_that_could_not_be_narrow_is_refused() {
    let optional =
        "path = \"/all\"\nparams.city = { type = \"string\" }\ncache = { tags = [\"city\"] }";
    check(
        "path = \"/cities/{city}\"",
        optional,
        &[
            "25: cache.tags needs a value of 'city' in every request; write params.city with required = true or a default",
        ],
    );
}
