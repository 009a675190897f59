//! What `up` prints once everything is ready.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tidegate_core::clock::Timestamp;
use tidegate_product::contract::Contract;

use crate::settings::Settings;
use crate::up::data::DataDir;
use crate::up::ports::Ports;
use crate::up::project::Project;
use crate::up::seed::{Minted, Seeded};
use crate::up::tier::Tier;

/// Everything that is ready.
pub(crate) struct Shown<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) project: &'a Project,
    pub(crate) ports: &'a Ports,
    pub(crate) seeded: &'a Seeded,
    pub(crate) data: &'a DataDir,
}

/// The first line of `up --json`.
#[derive(Debug, Serialize)]
pub(crate) struct ReadyEvent<'a> {
    event: &'static str,
    https: &'a str,
    http: &'a str,
    control: &'a str,
    ca: &'a Path,
    admin_token: &'a str,
}

/// Makes the line for programs.
pub(crate) fn event(settings: &Settings) -> ReadyEvent<'_> {
    ReadyEvent {
        event: "ready",
        https: &settings.https,
        http: &settings.http,
        control: &settings.control,
        ca: &settings.ca,
        admin_token: &settings.token,
    }
}

/// Makes the text for a person; `now` dates the row of the example.
pub(crate) fn text(shown: &Shown<'_>, now: Timestamp) -> String {
    let contract = shown.seeded.product.as_ref().map(|stored| &stored.contract);
    let product = contract.map_or_else(
        || "no product yet".to_owned(),
        |contract| format!("product {} {}", contract.name, contract.version),
    );
    let title = format!(
        "\nTidegate is ready: project {}, {product}, data in {}\n\n",
        shown.project.profile.name,
        shown.data.root().display()
    );
    let next = match contract {
        Some(contract) => example(shown, contract, now),
        None => format!(
            "\nNext, apply a product:\n\n  tidegate product apply product.toml --data {}\n",
            quoted(shown.data.root())
        ),
    };
    [title, table(&listeners(shown)), secrets(shown), next, "\nCtrl-C stops it.".to_owned()]
        .concat()
}

/// Who, where, what for.
fn listeners(shown: &Shown<'_>) -> Vec<[String; 3]> {
    let tiers = &shown.project.profile.tiers;
    let row = |name: &str, url: String, what: &str| [name.to_owned(), url, what.to_owned()];
    let private = |tier| format!("http://{}", shown.ports.private(tier));
    vec![
        row(&tiers.edge, shown.settings.https.clone(), "rows in, answers out"),
        row("", shown.settings.http.clone(), "the same without TLS"),
        row("", private(Tier::Edge), "/metrics, /readyz"),
        row(&tiers.api, private(Tier::Api), "/metrics, /readyz"),
        row(&tiers.worker, private(Tier::Worker), "/metrics, /readyz"),
        row("control", shown.settings.control.clone(), "/v1/status, /v1/routing"),
        row("", private(Tier::Control), "/metrics, /readyz"),
    ]
}

/// Lines up three columns.
fn table(rows: &[[String; 3]]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    rows.iter()
        .map(|[name, url, what]| format!("  {name:first$}  {url:second$}  {what}\n"))
        .collect()
}

fn secrets(shown: &Shown<'_>) -> String {
    let kept = Settings::path(shown.data.root());
    let token = match shown.seeded.minted {
        Minted::Now => format!("{} (shown once; kept in {})", shown.settings.token, kept.display()),
        Minted::Before => format!("kept in {}", kept.display()),
    };
    format!("\n  authority    {}\n  admin token  {token}\n", shown.settings.ca.display())
}

/// Lines to paste into a shell.
fn example(shown: &Shown<'_>, contract: &Contract, now: Timestamp) -> String {
    let Some(dataset) = contract.datasets.first() else { return String::new() };
    let curl =
        format!("curl --cacert {} -H \"Authorization: Bearer $TOKEN\"", quoted(&shown.settings.ca));
    let base = format!("{}/v1/{}", shown.settings.https, contract.name);
    let (row, read) = match contract.name.as_str() {
        "air" => (air_row(now), format!("  {curl} {base}/cities/oslo/series\n")),
        _ => ("@rows.ndjson".to_owned(), String::new()),
    };
    format!(
        "\nTry it:\n\n  TOKEN=$(sed -n 's/^token = \"\\(.*\\)\"$/\\1/p' {})\n  {curl} -H 'Prefer: wait=5' \
         -H 'Content-Type: application/x-ndjson' --data-binary '{row}' {base}/datasets/{}/rows\n{read}",
        quoted(&Settings::path(shown.data.root())),
        dataset.name
    )
}

/// A row that the endpoints answer with at once: it lies in the last full hour.
fn air_row(now: Timestamp) -> String {
    let at = now.before(Duration::from_secs(3600)).align_down(Duration::from_secs(1));
    format!(
        "{{\"reading_id\":\"r-{}\",\"station\":\"oslo-1\",\"city\":\"oslo\",\"pollutant\":\"pm25\",\
         \"ts\":\"{}\",\"value\":12.5}}",
        at.seconds(),
        at.to_rfc3339()
    )
}

/// Quotes a path for a shell where it needs it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let rows = [row(["edge-a", "https://h:1", "in"]), row(["", "http://h:22", "out"])];
        assert_eq!(table(&rows), "  edge-a  https://h:1  in\n          http://h:22  out\n");
    }

    #[test]
    fn paths_are_safe_to_paste() {
        assert_eq!(quoted(Path::new("/data/cli.toml")), "/data/cli.toml");
        assert_eq!(quoted(Path::new("/my data/it's")), r"'/my data/it'\''s'");
    }

    #[test]
    fn the_example_row_lies_in_the_last_full_hour() {
        let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00.5Z").unwrap();
        assert!(air_row(now).contains("\"ts\":\"2026-11-22T09:00:00Z\""), "{}", air_row(now));
    }
}
