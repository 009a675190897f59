//! An HTTP/1.1 client for the edge: one base URL, one credential, one authority to trust.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::failure::{Exit, Failure};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for an answer's head, and again for its content.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer that is read.
const MAX_REPLY_BYTES: usize = 16 << 20;

/// Connections kept for the next request.
const MAX_IDLE: usize = 64;

/// Shorter than any tier keeps an idle connection, so that a request seldom meets a closing one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends requests to one base URL with one credential; clones share their connections.
#[derive(Clone)]
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Arc<str>,
    authorization: HeaderValue,
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

/// Why there is no answer. Each message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is none.
    #[error("'{0}' is no URL; write https://HOST:PORT")]
    Url(String),
    /// The token can't be sent.
    #[error("the token holds characters that a header can't carry")]
    Token,
    /// TLS without an authority to trust.
    #[error("{0} needs an authority to trust; name its certificate with --ca FILE")]
    NoAuthority(String),
    /// The authority's file is of no use.
    #[error(
        "the authority {path} can't be used ({reason}); `tidegate up` keeps its own under tls/ in \
         the data directory"
    )]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody listens.
    #[error("{0} refused the connection; is `tidegate up` running?")]
    Refused(Arc<str>),
    /// The server shows a certificate of another authority.
    #[error("{base} can't be trusted ({reason}); use the --ca of the same data directory")]
    Untrusted {
        /// The base URL.
        base: Arc<str>,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// No whole answer in time.
    #[error("{base} gave no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Silent {
        /// The base URL.
        base: Arc<str>,
    },
    /// The connection failed before there was an answer.
    #[error("the connection to {base} failed")]
    Broken {
        /// The base URL.
        base: Arc<str>,
        /// What happened to it.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The answer's content did not arrive, but its head did: the server has decided.
    #[error("the answer of {base} was cut off: {reason}")]
    Cut {
        /// The base URL.
        base: Arc<str>,
        /// The answer, without content.
        head: Box<Reply>,
        /// What happened to it.
        reason: String,
    },
}

/// What to do about a request that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The same request may succeed later.
    Retry,
    /// It never will.
    GiveUp,
}

// === impl Client ===

impl Client {
    /// Makes a client for `base` that trusts the authority in the file `ca` and nothing else.
    ///
    /// # Errors
    /// The URL, the token or the authority is of no use.
    pub fn new(base: &str, token: &str, ca: Option<&Path>) -> Result<Self, ClientError> {
        let base = base.trim_end_matches('/');
        let uri: Uri = base.parse().map_err(|_| ClientError::Url(base.to_owned()))?;
        let tls = match (uri.scheme_str(), ca) {
            (Some("https"), None) => return Err(ClientError::NoAuthority(base.to_owned())),
            (Some("https"), Some(ca)) => trusting(authority(ca)?),
            (Some("http"), _) => trusting(RootCertStore::empty()),
            _ => return Err(ClientError::Url(base.to_owned())),
        };
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
        authorization.set_sensitive(true);

        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector);
        Ok(Self { pool, base: base.into(), authorization })
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// There was no whole answer; any status is an answer.
    pub async fn get(&self, path: &str) -> Result<Reply, ClientError> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// Sends a request to a path and query below the base URL.
    ///
    /// # Errors
    /// There was no whole answer; any status is an answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Reply, ClientError> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().map_err(|_| ClientError::Url(url))?;
        request.headers_mut().extend(fields.iter().cloned());
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        let head = tokio::time::timeout(REQUEST_TIMEOUT, self.pool.request(request)).await;
        let (parts, body) = match head {
            Ok(Ok(reply)) => reply.into_parts(),
            Ok(Err(error)) => return Err(ClientError::of(&self.base, error.into())),
            Err(_) => return Err(ClientError::Silent { base: Arc::clone(&self.base) }),
        };
        let reply = Reply { status: parts.status, headers: parts.headers, body: Bytes::new() };
        #[expect(clippy::disallowed_methods, reason = "the body is limited")]
        let body = Limited::new(body, MAX_REPLY_BYTES).collect();
        let reason = match tokio::time::timeout(REQUEST_TIMEOUT, body).await {
            Ok(Ok(body)) => return Ok(Reply { body: body.to_bytes(), ..reply }),
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        Err(ClientError::Cut { base: Arc::clone(&self.base), head: Box::new(reply), reason })
    }
}

fn authority(path: &Path) -> Result<RootCertStore, ClientError> {
    let refuse = |reason: String| ClientError::Authority { path: path.to_owned(), reason };
    let certificate =
        CertificateDer::from_pem_file(path).map_err(|error| refuse(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
    Ok(roots)
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider must support the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

// === impl Reply ===

impl Reply {
    /// Returns a field's value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns how long the server asks to wait (RFC 9110 section 10.2.3, seconds only).
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.parse().ok().map(Duration::from_secs)
    }

    /// Returns what a problem document (RFC 9457) or a short text says, cut to a line.
    pub fn problem(&self) -> String {
        let document: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let member = |name| document.as_ref().and_then(|problem| problem.get(name)?.as_str());
        let said = match (member("title"), member("detail")) {
            (Some(title), Some(detail)) => format!("{title}: {detail}"),
            (Some(one), None) | (None, Some(one)) => one.to_owned(),
            (None, None) => String::from_utf8_lossy(&self.body).into_owned(),
        };
        let line: String = said.lines().next().unwrap_or_default().chars().take(300).collect();
        if line.is_empty() { self.status.to_string() } else { format!("{}: {line}", self.status) }
    }
}

// === impl ClientError ===

impl ClientError {
    /// Finds the cause that tells a person most; hyper wraps it several times.
    fn of(base: &Arc<str>, source: Box<dyn StdError + Send + Sync>) -> Self {
        let base = Arc::clone(base);
        let mut cause: Option<&(dyn StdError + 'static)> = Some(source.as_ref());
        while let Some(error) = cause {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Self::Untrusted { base, reason: tls.to_string() };
            }
            let system = error.downcast_ref::<io::Error>();
            if system.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                return Self::Refused(base);
            }
            cause = match system.and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        Self::Broken { base, source }
    }

    /// Returns whether the same request may succeed later.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Refused(_) | Self::Silent { .. } | Self::Broken { .. } | Self::Cut { .. } => {
                Remedy::Retry
            }
            Self::Url(_)
            | Self::Token
            | Self::NoAuthority(_)
            | Self::Authority { .. }
            | Self::Untrusted { .. } => Remedy::GiveUp,
        }
    }

    /// Ends the command with the exit status that fits.
    pub fn into_failure(self) -> Failure {
        let exit = match self {
            Self::Url(_) | Self::Token | Self::NoAuthority(_) | Self::Authority { .. } => {
                Exit::Usage
            }
            Self::Refused(_)
            | Self::Untrusted { .. }
            | Self::Silent { .. }
            | Self::Broken { .. }
            | Self::Cut { .. } => Exit::Unverified,
        };
        Failure { exit, error: self.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base: &str) -> Result<Client, ClientError> {
        Client::new(base, "token", None)
    }

    #[test]
    fn an_authority_is_needed_only_for_tls() {
        assert!(client("http://127.0.0.1:1").is_ok());
        assert!(matches!(client("https://127.0.0.1:1").err(), Some(ClientError::NoAuthority(_))));
        assert!(matches!(client("127.0.0.1:1").err(), Some(ClientError::Url(_))));
        let missing = Client::new("https://a:1", "t", Some(Path::new("/nowhere/ca.pem"))).err();
        assert!(matches!(missing, Some(ClientError::Authority { .. })), "{missing:?}");
    }

    #[tokio::test]
    async fn a_refused_connection_asks_whether_up_is_running() {
        // Bound and closed again: nobody listens there.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = client(&format!("http://{address}")).unwrap().get("/").await.unwrap_err();
        assert!(error.to_string().ends_with("is `tidegate up` running?"), "{error:?}");
        assert_eq!(error.remedy(), Remedy::Retry);
        assert_eq!(error.into_failure().exit, Exit::Unverified);
    }

    #[test]
    fn a_problem_document_becomes_one_line() {
        let reply = |body: &'static str| Reply {
            status: StatusCode::FORBIDDEN,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        let problem = reply(r#"{"title":"no","detail":"scope write:air is missing"}"#).problem();
        assert_eq!(problem, "403 Forbidden: no: scope write:air is missing");
        assert_eq!(reply("bad\ngateway").problem(), "403 Forbidden: bad");
        assert_eq!(reply("").problem(), "403 Forbidden");
    }
}
