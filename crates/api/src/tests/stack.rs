//! What happens around handlers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::Method;
use insta::assert_snapshot;
use tidegate_core::config::parse;
use tidegate_core::shutdown::Shutdown;

use super::fixture::{Fixture, Reply, air, request};
use crate::config::{Config, Limits};
use crate::stack::stack;

#[tokio::test]
async fn a_panic_ends_one_request_and_tells_nothing() {
    let api = Fixture::new().await;
    let routes = Router::new().route("/boom", get(async || -> &'static str { panic!("secret") }));
    let routes = stack(&api.app, routes);
    let reply = Reply::of(routes.clone(), request(Method::GET, "/boom", &[], "")).await;
    assert_snapshot!(reply.expect(500).text(), @r#"{"type":"urn:tidegate:problem:internal","title":"The api failed","status":500,"detail":"this is our fault; tell the operator the request id","instance":"/boom","code":"internal","request_id":"r1","retryable":false}"#);
    Reply::of(routes, request(Method::GET, "/boom", &[], "")).await.expect(500);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let limits = Limits { request_timeout: Duration::from_millis(10), ..Limits::default() };
    let api = Fixture::with(&air(), limits).await;
    let routes = Router::new().route("/slow", get(std::future::pending::<&'static str>));
    let request = request(Method::GET, "/slow", &[], "");
    let reply = Reply::of(stack(&api.app, routes), request).await.expect(504);
    assert_eq!(reply.json()["retryable"], true);
}

#[tokio::test]
async fn a_request_id_is_kept_or_made() {
    let api = Fixture::new().await;
    let named = api.send(request(Method::GET, "/", &[], "")).await;
    assert_eq!(named.header("x-request-id"), "r1");
    let mut nameless = request(Method::GET, "/", &[], "");
    nameless.headers_mut().clear();
    let reply = api.send(nameless).await.expect(404);
    assert!(reply.header("x-request-id").len() > 32);
    assert_eq!(reply.json()["request_id"], reply.header("x-request-id"));
}

#[tokio::test]
async fn the_api_starts_on_an_empty_directory_and_ends_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "store = \"sqlite:{0}/store.db\"\nqueue = \"sqlite:{0}/queue.db\"\n\
         [listen]\npublic = \"127.0.0.1:0\"\nprivate = \"127.0.0.1:0\"\n",
        directory.path().display()
    );
    let config: Config = parse("api.toml", &text, []).unwrap();
    let shutdown = Shutdown::new();
    shutdown.cancel();
    crate::run(config, shutdown).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_can_not_be_used_is_named() {
    let text = "store = \"sqlite:/proc/none/store.db\"\nqueue = \"sqlite:/proc/none/queue.db\"\n\
                [listen]\npublic = \"127.0.0.1:0\"\nprivate = \"127.0.0.1:0\"\n";
    let config: Config = parse("api.toml", text, []).unwrap();
    let error = Arc::new(crate::run(config, Shutdown::new()).await.unwrap_err());
    let mut causes = vec![error.to_string()];
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        causes.push(next.to_string());
        cause = next;
    }
    assert!(causes.join(": ").contains("/proc/none/store.db"), "{causes:?}");
}
