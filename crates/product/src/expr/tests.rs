//! Types, values and laws of expressions.

use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use super::{Expr, Outcome, Type};
use crate::contract::{Column, Contract};
use crate::fixture::{parse, rows};
use crate::rows::Rows;

const PRODUCT: &str = r#"
[product]
name = "p"
version = "1.0.0"
[dataset.d]
key = ["id"]
time = "at"
[dataset.d.columns]
id = { type = "string" }
at = { type = "timestamp" }
name = { type = "string", nullable = true }
kind = { type = "enum", values = ["a", "b"] }
n = { type = "int", nullable = true }
price = { type = "decimal", precision = 8, scale = 2 }
ratio = { type = "float" }
ok = { type = "bool" }
"#;

const ROW: &str = r#"{"id":"x","at":"2026-01-02T00:00:00Z","name":" Ada ","kind":"a","n":7,"price":12.34,"ratio":0.5,"ok":true}"#;
const NULLS: &str =
    r#"{"id":"x","at":"2026-01-02T00:00:00Z","kind":"b","price":0,"ratio":0,"ok":false}"#;

fn contract() -> Contract {
    crate::compile("p.toml", PRODUCT).unwrap()
}

fn columns(contract: &Contract) -> &[Column] {
    &contract.datasets[0].columns
}

fn row(contract: &Contract, json: &str) -> Rows {
    rows(&contract.datasets[0], &[json.to_owned()])
}

/// Evaluates a condition for the row, and for the row with nulls.
#[track_caller]
fn check(source: &str, expected: (bool, bool)) {
    let contract = contract();
    let expr = Expr::parse(source, columns(&contract)).unwrap();
    assert_eq!(expr.kind, Type::Bool, "{source}");
    let (full, nulls) = (row(&contract, ROW), row(&contract, NULLS));
    assert_eq!((expr.is_true(&full, 0), expr.is_true(&nulls, 0)), expected, "{source}");
}

#[track_caller]
fn check_error(source: &str, at: usize, message: &str) {
    let error = Expr::parse(source, columns(&contract())).unwrap_err();
    assert_eq!((error.at, error.message.as_str()), (at, message), "{source}");
}

#[test]
fn comparisons_are_exact_across_scales() {
    check("price == 12.34", (true, false));
    check("price == 12.340", (true, false));
    check("price < 12.341", (true, true));
    check("price >= n", (true, false));
    check("n * 2 == 14", (true, false));
    check("price * price == 152.2756", (true, false));
    check("price + n == 19.34", (true, false));
    check("n - price == -5.34", (true, false));
    check("-n < 0", (true, false));
    check("ratio == 0.5", (true, false));
    check("ratio + 1 > price", (false, true));
}

#[test]
fn a_null_is_seen_by_is_null_alone() {
    check("name is null", (false, true));
    check("name is not null", (true, false));
    check("n == 7", (true, false));
    check("n != 8", (true, false));
    check("!(n == 8)", (true, true));
    check("n + 1 == 8", (true, false));
    check("n in (7, 8)", (true, false));
    check("coalesce(n, 0) == 0", (false, true));
    check("len(coalesce(name, '')) == 0", (false, true));
    check("lower(name) == lower(name)", (true, false));
}

#[test]
fn text_times_and_conditions_compare() {
    check("trim(name) == 'Ada'", (true, false));
    check("upper(trim(name)) == 'ADA'", (true, false));
    check("len(name) == 5", (true, false));
    check("kind in ('a')", (true, false));
    check("at < '2026-01-02T01:00:00+00:30'", (true, true));
    check("ok", (true, false));
    check("ok == false", (false, true));
    check("!ok || kind == 'a' && n == 7", (true, true));
    check("(!ok || kind == 'a') && n == 7", (true, false));
    check("'it''s' == 'it''s'", (true, true));
}

#[test]
fn mistakes_are_found_when_the_file_is_checked() {
    check_error("nam == 'x'", 0, "there is no column 'nam'; did you mean 'name'?");
    check_error("n == 'x'", 5, "an int and text don't go together");
    check_error("kind == 'c'", 8, "'c' is no value of kind");
    check_error("n + ok > 1", 4, "an int and a condition don't go together");
    check_error("n && ok", 0, "this is an int; it must be a condition");
    check_error("ok < true", 0, "conditions have no order; write '==' or '!='");
    check_error("at > 'noon'", 5, "a time is compared with a time such as '2026-01-01T00:00:00Z'");
    check_error(
        "lowr(name)",
        0,
        "there is no function 'lowr'; did you mean 'lower'?; known are lower, upper, trim, len, coalesce",
    );
    check_error("lower(n) == 'x'", 6, "this is an int; it must be text");
    check_error("n in (price)", 6, "only literals may stand in a list");
    check_error("n = 1", 2, "'=' is not an operator; write '=='");
    check_error("n / 2 == 1", 2, "there is no division; compare with a product instead");
    check_error("n == ", 5, "expected a column, a literal or '(', found the end");
    check_error("(n == 1", 7, "expected ')', found the end");
    check_error("n == 1 n", 7, "expected an operator or the end of the expression, found 'n'");
    check_error("name == 'x", 8, "the text has no closing quote");
    check_error("n == 1.2.3", 5, "'1.2.3' is not a number with at most 18 digits");
    check_error("coalesce(name, n) == 'x'", 15, "this is an int; it must be text");
}

#[test]
fn size_and_depth_are_bounded() {
    let deep = format!("{}n == 1{}", "(".repeat(33), ")".repeat(33));
    check_error(&deep, 32, "the expression is nested deeper than 32");
    let wide = ["ok"; 400].join(" || ");
    check_error(&wide, 1539, "the expression has more than 512 words and symbols");
    let long = format!("name == '{}'", "x".repeat(5_000));
    check_error(&long, 0, "the expression is longer than 4096 bytes");
    check(&format!("{}ok", "!".repeat(101)), (false, true));
}

#[test]
fn arithmetic_that_leaves_its_range_is_null() {
    let product = ["n"; 60].join(" * ");
    check(&format!("{product} is null"), (true, true));
    check(&format!("{product} >= 0"), (false, false));
}

#[test]
fn spacing_is_no_part_of_an_expression() {
    let contract = contract();
    let canonical = |source: &str| Expr::parse(source, columns(&contract)).unwrap().canonical;
    assert_eq!(canonical("n==1&&name=='a  b'"), canonical(" n  == 1\n&& name == 'a  b' "));
    assert_ne!(canonical("name == 'a b'"), canonical("name == 'a  b'"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_an_expression_or_an_error(source in "[a-z0-9_'()<>=!&|+*,. -]{0,60}") {
        let contract = contract();
        if let Ok(expr) = Expr::parse(&source, columns(&contract)) {
            let value = row(&contract, ROW);
            // Evaluating ends, and a condition is a condition.
            let outcome = expr.value(&value, 0);
            if expr.kind == Type::Bool {
                let condition = matches!(outcome, Outcome::Bool(_) | Outcome::Int(_) | Outcome::Null);
                assert!(condition, "{source}: {outcome:?}");
            }
        }
    }

    #[test]
    fn order_is_total_and_negation_is_its_complement(n in any::<i32>(), limit in any::<i32>()) {
        let contract = contract();
        let dataset = &contract.datasets[0];
        let json = ROW.replace("\"n\":7", &format!("\"n\":{n}"));
        let rows = parse(dataset, &json).rows;
        let holds = |operator: &str| {
            let source = format!("n {operator} {limit}");
            Expr::parse(&source, columns(&contract)).unwrap().is_true(&rows, 0)
        };
        prop_assert_eq!(holds("<"), n < limit);
        prop_assert_eq!(holds("<="), !holds(">"));
        prop_assert_eq!(holds("=="), holds("<=") && holds(">="));
        prop_assert_eq!(holds("!="), !holds("=="));
    }
}
