//! The configuration as it is written.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tidegate_core::profile::Arrows;
use tidegate_core::telemetry::LogConfig;

/// `edge.toml` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    pub(super) listen: RawListen,
    pub(super) tls: Option<RawTls>,
    #[serde(default)]
    pub(super) cache: RawCache,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) waf: RawWaf,
    #[serde(default)]
    pub(super) route: Vec<RawRoute>,
    #[serde(default)]
    pub(super) upstream: Vec<RawUpstream>,
    /// `sqlite:PATH`: where notices come from.
    pub(super) queue: Option<String>,
    pub(super) control: Option<RawControl>,
    /// What is handed to workers (`edge_to_worker`) and taken from them (`worker_to_edge`), as the
    /// project profile says. Default: nothing.
    #[serde(default)]
    pub(super) arrows: Arrows,
    #[serde(default)]
    pub(super) log: LogConfig,
    /// End when standard input closes. Default: false.
    #[serde(default)]
    pub(super) supervised: bool,
    /// An edge has no store, but `TIDEGATE_STORE` is often set for all tiers of a machine.
    #[serde(default, rename = "store")]
    _store: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListen {
    /// Address for HTTP. Default: none.
    pub(super) http: Option<String>,
    /// Address for HTTPS. Default: none.
    pub(super) https: Option<String>,
    /// Address for operators. Default: none.
    pub(super) private: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    /// PEM file of the certificate chain.
    pub(super) certificate: Option<PathBuf>,
    /// PEM file of the private key.
    pub(super) key: Option<PathBuf>,
    /// Directory of an authority of our own, made on first start.
    pub(super) development: Option<PathBuf>,
    /// Names in the development certificate beside localhost. Default: none.
    #[serde(default)]
    pub(super) names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCache {
    /// Most bytes of stored responses, overheads included. Default: 256 MiB.
    pub(super) capacity_bytes: u64,
    /// Longest body that is stored, in bytes. Default: 16 MiB.
    pub(super) max_object_bytes: u64,
    /// Let `Cache-Control: no-cache` and `max-age=0` of clients go to the origin. Default: false,
    /// as any client could then put load on the origin at will.
    pub(super) honour_client_no_cache: bool,
    /// This node's name in `Cache-Status` and `Via`. Default: tidegate.
    pub(super) node: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    /// Open client connections. Default: 10 000.
    pub(super) connections: u64,
    /// Longest request body, in bytes. Default: 1 GiB.
    pub(super) request_body_bytes: u64,
    /// For a handshake and for each request's head; the longest idle time of a connection.
    /// Default: 30 000.
    pub(super) client_header_ms: u64,
    /// For each further piece of a body, either way. Default: 30 000.
    pub(super) body_idle_ms: u64,
    /// For connecting to an origin. Default: 2 000.
    pub(super) connect_ms: u64,
    /// For the head of an origin's answer. Default: 30 000.
    pub(super) response_header_ms: u64,
    /// Validations in the background at a time. Default: 256.
    pub(super) background: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawWaf {
    /// `off`.
    pub(super) mode: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    /// Only requests for this host. Default: any.
    pub(super) host: Option<String>,
    /// Path template; `/*` takes everything.
    pub(super) path: String,
    /// Name of an `[[upstream]]`.
    pub(super) upstream: String,
    /// `keep` the query as it is, or `sort` its pairs. Default: keep.
    pub(super) query: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstream {
    /// Name in routes.
    pub(super) name: String,
    /// `HOST:PORT` of each instance.
    pub(super) addresses: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawControl {
    /// `HOST:PORT`.
    pub(super) address: String,
    /// 64 hex digits.
    pub(super) public_key: Option<String>,
    /// A file that holds them, instead.
    pub(super) public_key_file: Option<PathBuf>,
    /// Name of the project.
    pub(super) project: String,
    /// Directory that keeps the last good routing document and plan.
    pub(super) state: PathBuf,
}

// === impl RawCache ===

impl Default for RawCache {
    fn default() -> Self {
        Self {
            capacity_bytes: 256 << 20,
            max_object_bytes: 16 << 20,
            honour_client_no_cache: false,
            node: "tidegate".to_owned(),
        }
    }
}

// === impl RawLimits ===

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            request_body_bytes: 1 << 30,
            client_header_ms: 30_000,
            body_idle_ms: 30_000,
            connect_ms: 2_000,
            response_header_ms: 30_000,
            background: 256,
        }
    }
}

// === impl RawWaf ===

impl Default for RawWaf {
    fn default() -> Self {
        Self { mode: "off".to_owned() }
    }
}
