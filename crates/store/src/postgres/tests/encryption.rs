//! Encrypted connections, to a server that gets no further than refusing the user.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tidegate_core::backend::StoreBackend;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{PostgresStore, StoreError};

/// What a client asks before it says anything: the length, and the number of an `SSLRequest`.
const ENCRYPT: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A server's certificate, and the authority that made it, in a file.
struct Identity {
    acceptor: TlsAcceptor,
    dir: TempDir,
}

// === impl Identity ===

impl Identity {
    fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("roots.pem"), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), dir }
    }

    fn roots(&self) -> std::path::PathBuf {
        self.dir.path().join("roots.pem")
    }
}

/// Refuses a user in the words of the protocol.
async fn refuse(mut stream: impl AsyncRead + AsyncWrite + Unpin, words: &str) {
    let mut start = [0; 256];
    if stream.read(&mut start).await.unwrap_or(0) == 0 {
        return;
    }
    let said = format!("SFATAL\0C28P01\0M{words}\0\0");
    let length = u32::try_from(said.len() + 4).unwrap();
    stream.write_all(b"E").await.unwrap();
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    stream.shutdown().await.ok();
}

/// Starts a server that encrypts if it has an identity; returns its port.
async fn start(identity: Option<&Identity>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = identity.map(|identity| identity.acceptor.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = ENCRYPT;
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!(asked, ENCRYPT);
            match &acceptor {
                Some(acceptor) => {
                    stream.write_all(b"S").await.unwrap();
                    // One that does not trust us goes away.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        refuse(stream, "encrypted, but no").await;
                    }
                }
                None => {
                    stream.write_all(b"N").await.unwrap();
                    refuse(stream, "in the clear, and no").await;
                }
            }
        }
    });
    port
}

async fn refusal(port: u16, query: &str) -> String {
    let url = format!("postgres://u:p@localhost:{port}/d?hostaddr=127.0.0.1&{query}");
    let Ok(StoreBackend::Postgres(url)) = url.parse() else { panic!("{url}") };
    match PostgresStore::open(&url).await {
        Err(error @ StoreError::Misconfigured(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn trusting(mode: &str, roots: &Path) -> String {
    format!("sslmode={mode}&sslrootcert={}", roots.display())
}

#[tokio::test]
async fn a_server_that_can_encrypt_is_spoken_to_in_cipher() {
    let port = start(Some(&Identity::new("localhost"))).await;
    for query in ["", "sslmode=prefer", "sslmode=require"] {
        let text = refusal(port, query).await;
        assert!(text.ends_with("encrypted, but no"), "{query}: {text}");
    }
}

#[tokio::test]
async fn a_server_that_can_t_is_spoken_to_in_the_clear_only_if_that_is_allowed() {
    let port = start(None).await;
    let text = refusal(port, "").await;
    assert!(text.ends_with("in the clear, and no"), "{text}");
    let text = refusal(port, "sslmode=require").await;
    assert!(text.contains("TLS"), "{text}");
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_its_name() {
    let (here, elsewhere) = (Identity::new("localhost"), Identity::new("elsewhere"));
    let port = start(Some(&here)).await;
    for mode in ["verify-full", "require"] {
        let text = refusal(port, &trusting(mode, &here.roots())).await;
        assert!(text.ends_with("encrypted, but no"), "{text}");
    }
    let text = refusal(port, &trusting("verify-full", &elsewhere.roots())).await;
    assert!(text.contains("UnknownIssuer"), "{text}");
    let port = start(Some(&elsewhere)).await;
    let text = refusal(port, &trusting("verify-full", &elsewhere.roots())).await;
    assert!(text.contains("not valid for name"), "{text}");
}
