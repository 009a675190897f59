//! An HTTP client that trusts the stack's own certificate authority.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

/// Longest any request may take.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Largest answer a test reads.
const MAX_BODY: usize = 64 << 20;

/// Sends requests to one base URL, with one credential.
#[derive(Clone)]
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    token: Option<String>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its content.
    pub body: Bytes,
}

// === impl Client ===

impl Client {
    /// Makes a client for `base` that trusts the authority in `ca`, or plain HTTP without one.
    ///
    /// # Panics
    /// The authority's file is no certificate.
    pub fn new(base: &str, ca: Option<&Path>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        if let Some(ca) = ca {
            let certificate = CertificateDer::from_pem_file(ca).expect("the CA must be PEM");
            roots.add(certificate).expect("the CA must be usable");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider must support the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .build();
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Self { pool, base: base.trim_end_matches('/').to_owned(), token: None }
    }

    /// Returns this client with another credential.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Returns this client without a credential.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// Sends a GET.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn get(&self, path: &str) -> Reply {
        self.try_send(Method::GET, path, &[], Bytes::new()).await.expect("GET must be answered")
    }

    /// Sends a GET with further fields.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.try_send(Method::GET, path, fields, Bytes::new()).await.expect("GET must be answered")
    }

    /// Sends rows as NDJSON.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn post_rows(&self, path: &str, rows: &str, fields: &[(&str, &str)]) -> Reply {
        let fields = [&[("content-type", "application/x-ndjson")], fields].concat();
        let body = Bytes::from(rows.to_owned());
        self.try_send(Method::POST, path, &fields, body).await.expect("POST must be answered")
    }

    /// Sends a request; an error is a connection that was refused, cut or silent.
    ///
    /// # Errors
    /// There was no whole answer.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Reply> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let (parts, body) = self.pool.request(request).await?.into_parts();
            #[expect(clippy::disallowed_methods, reason = "the body is limited")]
            let body = Limited::new(body, MAX_BODY).collect().await.map_err(anyhow::Error::msg)?;
            anyhow::Ok(Reply {
                status: parts.status,
                headers: parts.headers,
                body: body.to_bytes(),
            })
        };
        tokio::time::timeout(TIMEOUT, exchange).await?
    }
}

// === impl Reply ===

impl Reply {
    /// Returns a field's value, empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Returns the content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the content as JSON.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("not JSON ({error}): {} {}", self.status, self.text()),
        }
    }

    /// Asserts the status, showing the content if it differs.
    ///
    /// # Panics
    /// It differs.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}
