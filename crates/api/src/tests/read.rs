//! Declared endpoints.

use http::Method;
use insta::assert_snapshot;
use tidegate_core::seq::DataSeq;

use super::fixture::{Fixture, Reply, air, request, row, row_of_hours_ago};
use crate::config::Limits;

const SERIES: &str = "/v1/air/cities/oslo/series?pollutant=no2";

/// Fields that only a whole answer has.
const OF_BODIES: [&str; 2] = ["content-type", "content-length"];

async fn ingested() -> Fixture {
    let api = Fixture::new().await;
    api.ingest("acme-writer", &(row("a", "oslo", "7") + &row("b", "oslo", "8.5"))).await;
    api
}

fn fields(reply: &Reply) -> Vec<String> {
    let mut names: Vec<_> = reply.headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[tokio::test]
async fn an_answer_says_how_long_it_may_be_kept_and_what_it_was_made_from() {
    let api = ingested().await;
    let reply = api.get("acme-reader", SERIES).await.expect(200);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(
        reply.header("cache-control"),
        "max-age=0, s-maxage=30, stale-while-revalidate=300, stale-if-error=3600"
    );
    assert_eq!(reply.header("vary"), "Authorization");
    assert_snapshot!(reply.header("surrogate-key"), @"acme/air acme/air/e:city_series acme/air/v:city_hour:city=oslo acme/air/v:city_hour:*");
    let seq: DataSeq = reply.header("x-data-seq").parse().unwrap();
    assert_eq!((seq.seq, seq.space.tenant.as_str()), (1, "acme"));
    assert!(reply.header("etag").starts_with("W/\""));
    assert!(reply.header("x-freshness-ms").parse::<u64>().unwrap() < 60_000);
    assert!(reply.header("server-timing").starts_with("store;dur="));
    assert_eq!(reply.header("x-request-id"), "r1");
    let group = &reply.json()["data"][0];
    assert_eq!((&group["n"], &group["max"]), (&2.into(), &8.5.into()), "{}", reply.text());
}

#[tokio::test]
async fn an_unchanged_answer_is_not_sent_again() {
    let api = ingested().await;
    let first = api.get("acme-reader", SERIES).await.expect(200);
    let tag = first.header("etag").to_owned();
    let fields_of = [("if-none-match", tag.as_str())];
    let second = api.get_with("acme-reader", SERIES, &fields_of).await.expect(304);
    assert!(second.body.is_empty());
    assert_eq!(second.header("etag"), tag);
    let kept: Vec<_> =
        fields(&first).into_iter().filter(|name| !OF_BODIES.contains(&name.as_str())).collect();
    assert_eq!(fields(&second), kept);

    // Rows of another city leave it as it is; those of this city change it.
    api.ingest("acme-writer", &row("c", "rome", "1")).await;
    api.get_with("acme-reader", SERIES, &fields_of).await.expect(304);
    api.ingest("acme-writer", &row("d", "oslo", "1")).await;
    let changed = api.get_with("acme-reader", SERIES, &fields_of).await.expect(200);
    assert_ne!(changed.header("etag"), tag);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let api = ingested().await;
    let whole = api.get("acme-reader", SERIES).await.expect(200);
    let bearer = [("authorization", "Bearer acme-reader")];
    let head = api.send(request(Method::HEAD, SERIES, &bearer, "")).await.expect(200);
    assert!(head.body.is_empty());
    for name in ["etag", "content-length", "content-type", "cache-control", "surrogate-key"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let api = Fixture::new().await;
    let refused = async |query: &str| {
        let reply = api.get("acme-reader", &format!("/v1/air/cities/oslo/series?{query}")).await;
        let document = reply.json();
        format!("{} {}", document["code"].as_str().unwrap(), document["detail"].as_str().unwrap())
    };
    let queries = ["pollutant=lead", "polutant=no2", "from=yesterday", "from=now-200d", "step=%zz"];
    let mut all = String::new();
    for query in queries {
        all += &format!("{query}: {}\n", refused(query).await);
    }
    assert_snapshot!(all, @r"
    pollutant=lead: bad_parameter parameter 'pollutant': must be one of pm25, pm10, no2, o3
    polutant=no2: bad_parameter parameter 'polutant': is not known here; known are pollutant, from, to, step
    from=yesterday: bad_parameter parameter 'from': must be an RFC 3339 time such as 2026-11-22T10:00:00Z, or now-24h
    from=now-200d: bad_combination parameter 'to': must be at most 92d from the other end
    step=%zz: bad_parameter parameter 'step': is not percent-encoded UTF-8
    ");
    let reply = api.get("acme-reader", "/v1/air/cities/oslo/series?pollutant=lead").await;
    assert_snapshot!(reply.expect(400).text(), @r#"{"type":"urn:tidegate:problem:bad_parameter","title":"A parameter is wrong","status":400,"detail":"parameter 'pollutant': must be one of pm25, pm10, no2, o3","instance":"/v1/air/cities/oslo/series","code":"bad_parameter","request_id":"r1","retryable":false}"#);
}

#[tokio::test]
async fn a_format_that_is_not_served_is_refused_with_those_that_are() {
    let api = ingested().await;
    let accept = [("accept", "text/html")];
    let reply = api.get_with("acme-reader", SERIES, &accept).await.expect(406);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:not_acceptable","title":"No accepted format is served","status":406,"detail":"this is served as application/json only","instance":"/v1/air/cities/oslo/series","code":"not_acceptable","request_id":"r1","retryable":false}"#);
}

#[tokio::test]
async fn a_contract_applied_by_another_process_is_served_after_a_reload() {
    use tidegate_store::Store;
    let api = ingested().await;
    let before = api.get("acme-reader", SERIES).await.expect(200);
    let changed = air().replace("ttl = \"30s\"", "ttl = \"31s\"");
    let contract = tidegate_product::compile("air.toml", &changed).unwrap();
    api.store.apply_contract(&contract, tidegate_core::clock::Timestamp::now()).await.unwrap();
    api.app.catalog.reload(api.store.as_ref()).await.unwrap();
    let after = api.get("acme-reader", SERIES).await.expect(200);
    assert!(after.header("cache-control").contains("s-maxage=31"));
    assert_eq!(after.body, before.body);
}

#[tokio::test]
async fn rows_are_read_page_by_page_in_the_format_asked_for() {
    let api = ingested().await;
    let csv = [("accept", "text/csv")];
    let first = api.get_with("acme-reader", "/v1/air/readings?limit=1", &csv).await.expect(200);
    assert_eq!(first.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(first.header("cache-control"), "private, no-cache");
    assert_eq!(first.header("vary"), "Accept, Authorization");
    assert_eq!(first.text().lines().count(), 2, "{}", first.text());

    let link = first.header("link").strip_suffix(">; rel=\"next\"").unwrap();
    let next = link.trim_start_matches('<');
    let second = api.get_with("acme-reader", next, &csv).await.expect(200);
    assert_eq!(second.header("link"), "");
    assert_eq!(second.text().lines().count(), 2, "{}", second.text());
    assert_ne!(second.text(), first.text());
    let json = api.get("acme-reader", "/v1/air/readings").await.expect(200);
    assert_eq!(json.json()["data"].as_array().unwrap().len(), 2);
    assert_ne!(json.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn an_answer_with_too_many_rows_is_refused_whole() {
    let short = air().replace("max_rows = 2208", "max_rows = 1");
    let api = Fixture::with(&short, Limits::default()).await;
    let rows = row("a", "oslo", "1") + &row_of_hours_ago("b", "oslo", 5);
    api.ingest("acme-writer", &rows).await;
    let reply = api.get("acme-reader", SERIES).await.expect(422);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:answer_too_long","title":"The answer is too long","status":422,"detail":"the answer has more than 1 rows; ask for a shorter range or a wider step","instance":"/v1/air/cities/oslo/series","code":"answer_too_long","request_id":"r1","retryable":false}"#);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let hasty = air().replace("timeout = \"800ms\"", "timeout = \"1us\"");
    let api = Fixture::with(&hasty, Limits::default()).await;
    let reply = api.get("acme-reader", SERIES).await.expect(504);
    assert_eq!(reply.header("retry-after"), "1");
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:timeout","title":"The answer took too long","status":504,"detail":"try again after the time that 'Retry-After' states","instance":"/v1/air/cities/oslo/series","code":"timeout","request_id":"r1","retryable":true}"#);
}

#[tokio::test]
async fn a_busy_endpoint_leaves_the_others_alone() {
    let api = ingested().await;
    let product = api.app.catalog.load().product("air").unwrap().clone();
    let (route, _) = product.route("/v1/air/cities/oslo/series").unwrap();
    let busy = route.permits.try_acquire_many(32).unwrap();
    let reply = api.get("acme-reader", SERIES).await.expect(503);
    assert_eq!(reply.json()["code"], "endpoint_busy");
    api.get("acme-reader", "/v1/air/readings").await.expect(200);
    drop(busy);
    api.get("acme-reader", SERIES).await.expect(200);
}
