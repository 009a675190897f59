//! The edge alone: an ordinary caching reverse proxy in front of any HTTP/1.1 origin.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use e2e::{Client, Origin, Process, eventually};
use http::Response;
use http_body_util::Full;

/// Starts an edge in front of `origin`; returns it with clients for HTTP and HTTPS.
async fn edge(directory: &Path, origin: &Origin) -> (Process, Client, Client) {
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let (http, https, private, origin) = (free(), free(), free(), origin.address);
    let tls = directory.join("tls");
    let config = format!(
        "[listen]\nhttp = \"{http}\"\nhttps = \"{https}\"\nprivate = \"{private}\"\n\
         [tls]\ndevelopment = {tls:?}\n[cache]\ncapacity_bytes = 1000000\n[waf]\nmode = \"off\"\n\
         [[route]]\npath = \"/*\"\nupstream = \"origin\"\n\
         [[upstream]]\nname = \"origin\"\naddresses = [\"{origin}\"]\n"
    );
    let file = directory.join("edge.toml");
    std::fs::write(&file, config).unwrap();
    let process = Process::start(&["edge", "--config", file.to_str().unwrap()]);
    let private = Client::new(&format!("http://{private}"), None);
    eventually("the edge is ready", || async {
        let probe = private.try_send(http::Method::GET, "/readyz", &[], Bytes::new()).await;
        probe.ok().filter(|reply| reply.status == 200)
    })
    .await;
    let plain = Client::new(&format!("http://{http}"), None);
    let secure = Client::new(&format!("https://{https}"), Some(&tls.join("ca.pem")));
    (process, plain, secure)
}

#[tokio::test]
async fn an_edge_without_control_or_broker_caches_any_origin() {
    let origin = Origin::start(Arc::new(|_, before| {
        let body = Full::new(Bytes::from(format!("answer {before}")));
        Response::builder().header("cache-control", "max-age=60").body(body).unwrap()
    }))
    .await;
    let directory = tempfile::tempdir().unwrap();
    let (_process, plain, secure) = edge(directory.path(), &origin).await;

    let first = plain.get("/page?b=1&a=2").await.expect(200);
    assert!(first.header("cache-status").contains("fwd=uri-miss"), "{:?}", first.headers);
    let second = plain.get("/page?b=1&a=2").await.expect(200);
    assert!(second.header("cache-status").contains("hit"), "{:?}", second.headers);
    assert_eq!((second.text(), origin.requests()), (first.text(), 1));

    // Scheme, path and query are parts of the key.
    assert_eq!(secure.get("/page?b=1&a=2").await.expect(200).text(), "answer 1");
    assert_eq!(plain.get("/page?a=2&b=1").await.expect(200).text(), "answer 2");
}

#[tokio::test]
async fn a_private_answer_is_passed_on_and_never_stored() {
    let origin = Origin::start(Arc::new(|_, before| {
        let body = Full::new(Bytes::from(format!("answer {before}")));
        Response::builder().header("cache-control", "private, max-age=60").body(body).unwrap()
    }))
    .await;
    let directory = tempfile::tempdir().unwrap();
    let (_process, plain, _) = edge(directory.path(), &origin).await;
    assert_eq!(plain.get("/me").await.expect(200).text(), "answer 0");
    assert_eq!(plain.get("/me").await.expect(200).text(), "answer 1");
}

#[tokio::test]
async fn an_origin_that_is_gone_is_a_502_or_504() {
    let origin = Origin::start(Arc::new(|_, _| Response::new(Full::default()))).await;
    let directory = tempfile::tempdir().unwrap();
    let (_process, plain, _) = edge(directory.path(), &origin).await;
    drop(origin);
    let reply = plain.get("/").await;
    assert!([502, 504].contains(&reply.status.as_u16()), "{}", reply.status);
    assert_eq!(reply.header("content-type"), "application/problem+json");
}
