//! TLS with both protocols, and the end of an edge.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Answer, request, send};
use super::harness::{TestEdge, eventually};
use super::origin::{Origin, Reply};

fn trusting(ca: &Path, alpn: &[u8], version: &'static SupportedProtocolVersion) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn connect(edge: &TestEdge, connector: &TlsConnector) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(edge.https.unwrap()).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

async fn tls_edge(origin: &Origin, dir: &Path) -> TestEdge {
    let extra = format!("https = \"127.0.0.1:0\"\n[tls]\ndevelopment = \"{}\"", dir.display());
    TestEdge::before_with(origin, &extra).await
}

async fn get_h1(stream: TlsStream<TcpStream>) -> Answer {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("/").header("host", "localhost").body(Empty::<Bytes>::new());
    let answer = Answer::read(sender.send_request(request.unwrap()).await.unwrap()).await;
    connection.abort();
    answer
}

async fn get_h2(stream: TlsStream<TcpStream>) -> Answer {
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(Empty::<Bytes>::new());
    let answer = Answer::read(sender.send_request(request.unwrap()).await.unwrap()).await;
    connection.abort();
    answer
}

#[tokio::test]
async fn both_protocols_over_tls_share_the_cache_and_apart_from_plain_http() {
    let origin =
        Origin::start(|asked| Reply::ok("max-age=60", asked.header("x-forwarded-proto"))).await;
    let dir = tempfile::tempdir().unwrap();
    let edge = tls_edge(&origin, dir.path()).await;
    edge.ready().await;
    let ca = dir.path().join("ca.pem");
    let h1 = trusting(&ca, b"http/1.1", &rustls::version::TLS12);
    get_h1(connect(&edge, &h1).await).await.check("https", "fwd=uri-miss; stored");
    let h2 = trusting(&ca, b"h2", &rustls::version::TLS13);
    let stream = connect(&edge, &h2).await;
    let session = stream.get_ref().1;
    assert_eq!(session.alpn_protocol(), Some(b"h2".as_slice()));
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let suite = session.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    get_h2(stream).await.check("https", "hit");
    edge.send("GET", "/", &[("host", "localhost")]).await.check("http", "fwd=uri-miss");
}

#[tokio::test]
async fn a_session_is_resumed_with_a_ticket() {
    let origin = Origin::start(|_| Reply::ok("max-age=60", "one")).await;
    let dir = tempfile::tempdir().unwrap();
    let edge = tls_edge(&origin, dir.path()).await;
    edge.ready().await;
    let ca = dir.path().join("ca.pem");
    let connector = trusting(&ca, b"http/1.1", &rustls::version::TLS13);
    get_h1(connect(&edge, &connector).await).await;
    let stream = connect(&edge, &connector).await;
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let origin = Origin::start(move |asked| match asked.uri.path() {
        "/slow" => Reply::ok("no-store", "slow").behind(&held),
        _ => Reply::ok("no-store", "quick"),
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    let address = edge.http;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut idle, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let quick = Request::get("/").header("host", "a").body(Empty::<Bytes>::new()).unwrap();
    Answer::read(idle.send_request(quick).await.unwrap()).await.check("quick", "fwd=uri-miss");

    let in_flight = tokio::spawn(send(address, request("GET", "/slow", &[])));
    origin.wait_for("/slow", 1).await;
    edge.shutdown.cancel();
    connection.await.unwrap().ok();
    eventually(async || TcpStream::connect(address).await.is_err()).await;
    gate.add_permits(1);
    in_flight.await.unwrap().check("slow", "fwd=uri-miss");
    edge.ended().await.unwrap();
}
