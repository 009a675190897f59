//! Responses of scoped routes stay within their scope.

use tidegate_core::notice::Notice;
use tidegate_core::scope::{self, credential_digest};
use tidegate_queue::Heard;
use tokio::task::JoinSet;

use super::client::{Answer, request, send};
use super::governed::{Deployment, at};
use super::harness::TestEdge;
use super::origin::Reply;

const PATH: &str = "/v1/air/scoped";

async fn deployment() -> Deployment {
    Deployment::new(|asked| {
        let fields = [
            ("cache-control", "max-age=0, s-maxage=60"),
            ("vary", "Authorization"),
            ("surrogate-key", "a"),
            ("x-data-seq", &at(1).to_string()),
        ];
        let token = asked.header("authorization").trim_start_matches("Bearer ");
        Reply::new(200, &fields, token.trim_end_matches(|last: char| last.is_ascii_digit()))
    })
    .await
}

async fn read_as(edge: &TestEdge, token: &str) -> Answer {
    edge.send("GET", PATH, &[("authorization", &format!("Bearer {token}"))]).await
}

#[tokio::test]
async fn tokens_of_one_scope_share_and_scopes_do_not() {
    let deployment = deployment().await;
    let edge = deployment.edge().await;
    let first = read_as(&edge, "red1").await;
    first.check("red", "fwd=uri-miss; stored");
    assert_eq!(first.header("vary"), "Authorization");
    read_as(&edge, "blue1").await.check("blue", "fwd=uri-miss; stored");
    read_as(&edge, "red2").await.check("red", "hit");
    read_as(&edge, "blue1").await.check("blue", "hit");
    assert_eq!(deployment.api.count(scope::PATH), 3);
}

#[tokio::test]
async fn without_a_known_credential_there_is_no_answer() {
    let deployment = deployment().await;
    let edge = deployment.edge().await;
    read_as(&edge, "red1").await.check("red", "fwd=uri-miss; stored");
    for fields in [
        &[][..],
        &[("authorization", "Bearer bad")],
        &[("authorization", "Basic red1")],
        &[("authorization", "red1")],
        &[("authorization", "Bearer red1"), ("authorization", "Bearer red1")],
    ] {
        let refused = edge.send("GET", PATH, fields).await;
        assert_eq!(refused.status, 401, "{fields:?}");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        assert_eq!(refused.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn a_credential_is_resolved_once_for_all_who_send_it() {
    let deployment = deployment().await;
    let edge = deployment.edge().await;
    let mut clients = JoinSet::new();
    for _ in 0..50 {
        let fields = [("authorization", "Bearer red1")];
        clients.spawn(send(edge.http, request("GET", PATH, &fields)));
    }
    assert!(clients.join_all().await.iter().all(|answer| answer.body == "red"));
    assert_eq!(deployment.api.count(scope::PATH), 1);
}

#[tokio::test]
async fn a_revoked_credential_is_forgotten_at_once() {
    let deployment = deployment().await;
    let edge = deployment.edge().await;
    read_as(&edge, "red1").await.check("red", "fwd=uri-miss; stored");
    deployment.api.now(|_| Reply::new(401, &[], ""));
    read_as(&edge, "red1").await.check("red", "hit");
    let credential = credential_digest("red1");
    deployment.queue.say(Heard::Notices(vec![Notice::Revoked { credential }])).await;
    assert_eq!(read_as(&edge, "red1").await.status, 401);
}

#[tokio::test]
async fn missed_notices_may_have_been_revocations() {
    let deployment = deployment().await;
    let edge = deployment.edge().await;
    read_as(&edge, "red1").await.check("red", "fwd=uri-miss; stored");
    deployment.api.now(|_| Reply::new(401, &[], ""));
    deployment.queue.say(Heard::Missed).await;
    assert_eq!(read_as(&edge, "red1").await.status, 401);
}

#[tokio::test]
async fn an_api_that_can_not_tell_is_no_refusal() {
    let deployment = deployment().await;
    let edge = deployment.edge().await;
    deployment.api.now(|_| Reply::new(500, &[], ""));
    let answer = read_as(&edge, "red1").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
}
