//! The api learns which release takes a request and by which cohort, from the edge alone.

use tidegate_core::cohort::cohort;

use super::governed::{Deployment, read_at};
use super::origin::Asked;

const FORGED: [(&str, &str); 2] =
    [("x-tidegate-release", "forged"), ("x-tidegate-cohort", "forged")];

fn stamps(asked: &Asked) -> (String, String) {
    let field = |name| asked.header(name).to_owned();
    (field("x-tidegate-release"), field("x-tidegate-cohort"))
}

fn expected(client_key: &str) -> (String, String) {
    ("sha256:r".to_owned(), cohort("sha256:r", client_key).to_string())
}

#[tokio::test]
async fn requests_are_stamped_with_release_and_cohort_whatever_clients_say() {
    let deployment = Deployment::new(|_| read_at(1, "a", "one")).await;
    let edge = deployment.edge().await;
    let last = || stamps(deployment.api.asked().last().unwrap());
    let asking = async |method, path, token: &str| {
        let fields = [FORGED.as_slice(), &[("authorization", token)]].concat();
        edge.send(method, path, &fields[..if token.is_empty() { 2 } else { 3 }]).await
    };
    asking("GET", "/v1/air/public", "").await;
    assert_eq!(last(), expected("127.0.0.1"));
    asking("POST", "/v1/air/datasets/readings/rows", "").await;
    assert_eq!(last(), expected("127.0.0.1"));
    asking("GET", "/v1/air/scoped", "Bearer red1").await;
    assert_eq!(last(), expected("red1"));
    // Once it is known, a token's subject is the client wherever it is sent.
    asking("POST", "/v1/air/datasets/readings/rows", "Bearer red1").await;
    assert_eq!(last(), expected("red1"));
}
