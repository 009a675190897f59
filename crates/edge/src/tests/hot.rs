//! The api hears which responses are asked for most.

use tidegate_core::cache_update::{Origin, Reader, Resource};
use tidegate_core::hot::{HotKey, HotReport, PATH};

use super::governed::{Deployment, read_at};
use super::origin::Reply;

fn hot(path: &str, query: &str, scope_key: &str, scopes: &[&str], requests: u64) -> HotKey {
    HotKey {
        resource: Resource {
            path: path.to_owned(),
            query: query.to_owned(),
            scope_key: scope_key.to_owned(),
            epoch: "e1".to_owned(),
        },
        origin: Origin { scheme: "http".to_owned(), host: "a.example".to_owned() },
        reader: Reader {
            tenant: "acme".to_owned(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        },
        tags: vec!["a".to_owned(), "b".to_owned()],
        requests,
    }
}

#[tokio::test]
async fn the_most_requested_responses_are_reported_with_their_tags_and_readers() {
    let deployment = Deployment::new(|asked| match asked.uri.path() {
        PATH => Reply::new(204, &[], ""),
        "/v1/air/public" => Reply::ok("no-store", "never stored"),
        _ => read_at(1, "a b", "one"),
    })
    .await;
    let edge = deployment.edge_with("worker_to_edge").await;
    for _ in 0..3 {
        edge.get("/v1/air/declared").await;
        edge.get("/v1/air/public").await;
        edge.get("/v1/jobs/1").await;
    }
    for token in ["red1", "red2"] {
        let fields = [("authorization", &*format!("Bearer {token}"))];
        edge.send("GET", "/v1/air/scoped", &fields).await;
    }
    deployment.api.wait_for(PATH, 1).await;
    let asked = deployment.api.asked();
    let report = asked.iter().find(|asked| asked.uri.path() == PATH).unwrap();
    assert_eq!(report.header("content-type"), "application/json");
    let report: HotReport = serde_json::from_slice(&report.body).unwrap();
    assert_eq!(report.node, "tidegate");
    let expected = [
        hot("/v1/air/declared", "limit=5", "", &[], 3),
        hot("/v1/air/scoped", "", "red", &["read:air"], 2),
    ];
    assert_eq!(report.keys, expected);
}
