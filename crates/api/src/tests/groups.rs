//! The listing of a view's groups.

use insta::assert_snapshot;

use super::fixture::{Fixture, row};

const GROUPS: &str = "/v1/air/views/city_hour/groups";

#[tokio::test]
async fn every_group_is_listed_page_by_page() {
    let api = Fixture::new().await;
    let rows: String = (0..5).map(|n| row(&format!("r-{n}"), &format!("city-{n}"), "1")).collect();
    api.ingest("acme-writer", &rows).await;

    let mut path = format!("{GROUPS}?limit=2");
    let mut cities = Vec::new();
    while !path.is_empty() {
        let page = api.get("acme-reader", &path).await.expect(200);
        assert_eq!(page.header("content-type"), "application/x-ndjson");
        for line in page.text().lines() {
            let group: serde_json::Value = serde_json::from_str(line).unwrap();
            cities.push(group["city"].as_str().unwrap().to_owned());
        }
        let next = page.header("link").strip_suffix(">; rel=\"next\"");
        path = next.map_or(String::new(), |link| link.trim_start_matches('<').to_owned());
    }
    assert_eq!(cities, ["city-0", "city-1", "city-2", "city-3", "city-4"]);
}

#[tokio::test]
async fn a_group_shows_what_is_stored_to_the_digit() {
    let api = Fixture::new().await;
    let rows = row("a", "oslo", "1.25") + &row("b", "oslo", "2.50");
    api.ingest("acme-writer", &rows).await;
    let page = api.get("acme-reader", GROUPS).await.expect(200);
    let group: serde_json::Value = serde_json::from_str(page.text().trim()).unwrap();
    assert_eq!((&group["city"], &group["rows"]), (&"oslo".into(), &2.into()));
    assert_eq!(group["stored"]["sum_value"], "3.75");
    assert!(group["bucket"].as_str().unwrap().ends_with(":00:00Z"));
    assert_eq!(group["measures"]["n"], 2);
    let other = api.get("globex-admin", GROUPS).await.expect(200);
    assert_eq!(other.text(), "");
}

#[tokio::test]
async fn what_can_not_be_listed_is_named() {
    let api = Fixture::new().await;
    let detail = async |path: &str, status: u16| {
        let reply = api.get("acme-reader", path).await.expect(status);
        reply.json()["detail"].as_str().unwrap().to_owned()
    };
    let unknown = detail("/v1/air/views/city_day/groups", 404).await;
    assert_snapshot!(unknown, @"product 'air' has no view 'city_day'; its views are city_hour, station_day");
    let limit = detail(&format!("{GROUPS}?limit=10001"), 400).await;
    assert_snapshot!(limit, @"parameter 'limit': must be a whole number from 1 to 10000");
    let cursor = detail(&format!("{GROUPS}?cursor=nonsense"), 400).await;
    assert_snapshot!(cursor, @"parameter 'cursor': is not one that this request was answered with; begin again without it");
    api.get("acme-writer", GROUPS).await.expect(403);
}
