//! `tidegate demo air`, judged by its own totals and by the stock database shell.

use e2e::Stack;
use serde_json::Value;
use tokio::process::Command;

/// Runs the demo against a stack; returns its report.
pub(crate) async fn demo(stack: &Stack, rows: u64, seed: u64) -> (i32, Value, String) {
    let (rows, seed) = (rows.to_string(), seed.to_string());
    let words = ["demo", "air", "--rows", &rows, "--seed", &seed, "--json"];
    let finished = stack.command(&words).await;
    let report = serde_json::from_str(&finished.stdout).unwrap_or_default();
    (finished.code, report, finished.stderr)
}

#[tokio::test]
async fn every_group_of_every_view_matches_the_generator_s_totals() {
    let stack = Stack::start().await;
    let (code, report, stderr) = demo(&stack, 60_000, 7).await;
    assert_eq!(code, 0, "{report}\n{stderr}");
    let counts = &report["counts"];
    let sum: u64 = ["new", "duplicate", "late", "rejected"]
        .iter()
        .map(|name| counts[*name].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 60_000, "{report}");
    for name in ["duplicate", "late", "rejected"] {
        assert!(
            counts[name].as_u64().unwrap() > 0,
            "the generator must make {name} rows: {report}"
        );
    }

    // The same totals from outside: no line of this project reads them.
    let store = stack.data().join("store.db");
    let tables =
        sqlite3(&store, "select name from sqlite_master where name like 'v_air_city_hour_%'").await;
    let table = tables.lines().next().expect("the view has a table");
    let from_view =
        sqlite3(&store, &format!("select sum(_rows), sum(_sum_value) from {table}")).await;
    let from_rows = sqlite3(&store, "select count(*), sum(value) from d_air_readings").await;
    assert_eq!(from_view, from_rows);
    let applied = counts["new"].as_u64().unwrap() + counts["late"].as_u64().unwrap();
    assert!(from_view.starts_with(&format!("{applied}|")), "{from_view} {report}");
}

#[tokio::test]
async fn the_same_run_again_is_all_duplicates_and_still_matches() {
    let stack = Stack::start().await;
    let (code, first, _) = demo(&stack, 20_000, 3).await;
    assert_eq!(code, 0, "{first}");
    let (code, second, stderr) = demo(&stack, 20_000, 3).await;
    assert_eq!(code, 0, "{second}\n{stderr}");
    assert_eq!(second["counts"]["new"], 0, "{second}");
    let (code, other, stderr) = demo(&stack, 20_000, 4).await;
    assert_eq!(code, 0, "{other}\n{stderr}");
    assert!(other["counts"]["new"].as_u64().unwrap() > 0, "{other}");
}

#[tokio::test]
async fn a_view_that_was_tampered_with_is_found() {
    let stack = Stack::start().await;
    let (code, ..) = demo(&stack, 10_000, 5).await;
    assert_eq!(code, 0);
    let store = stack.data().join("store.db");
    let tables =
        sqlite3(&store, "select name from sqlite_master where name like 'v_air_city_hour_%'").await;
    let table = tables.lines().next().expect("the view has a table");
    let one = format!("(select city, _bucket, pollutant from {table} limit 1)");
    sqlite3(
        &store,
        &format!(
            "pragma busy_timeout=5000; update {table} set _sum_value = _sum_value + 1 \
         where (city, _bucket, pollutant) in {one}"
        ),
    )
    .await;
    // Other rows on top: the baseline holds the wrong cell, so only what this run adds is compared.
    let (code, report, _) = demo(&stack, 10_000, 5).await;
    assert_eq!(code, 1, "{report}");
}

async fn sqlite3(store: &std::path::Path, statement: &str) -> String {
    let output = Command::new("sqlite3").arg(store).arg(statement).output().await;
    let output = output.expect("the Debian package sqlite3 must be installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
