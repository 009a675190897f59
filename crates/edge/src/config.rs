//! The edge's configuration: `edge.toml`.

mod check;
mod raw;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;
use tidegate_core::backend::QueueBackend;
use tidegate_core::edge_plan::EdgePlan;
use tidegate_core::keys::PublicKey;
use tidegate_core::profile::Arrows;
use tidegate_core::telemetry::LogConfig;

pub(crate) use self::check::parse_address;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listeners.
    pub listen: Listen,
    /// Certificate; there is one if there is an HTTPS listener.
    pub tls: Option<Tls>,
    /// What is kept, and what clients may ask of it.
    pub cache: Cache,
    /// Bounds.
    pub limits: Limits,
    /// Where routes come from.
    pub mode: Mode,
    /// Logs.
    pub log: LogConfig,
    /// End when standard input closes.
    pub supervised: bool,
}

// === impl Config ===

impl Config {
    /// Returns what is handed to workers and taken from them: nothing, for an edge that stands
    /// alone.
    pub(crate) fn arrows(&self) -> Arrows {
        match &self.mode {
            Mode::StandAlone { .. } => Arrows::default(),
            Mode::Governed(governed) => governed.arrows,
        }
    }
}

/// Addresses to listen on; port 0 takes a free one.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// For HTTP without TLS.
    pub http: Option<SocketAddr>,
    /// For HTTP over TLS.
    pub https: Option<SocketAddr>,
    /// For operators: `/livez`, `/readyz`, `/metrics`.
    pub private: Option<SocketAddr>,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Files in PEM.
    Files {
        /// The certificate and its intermediates.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// A certificate authority of our own, made on first start: for development.
    Development {
        /// Keeps the authority and the certificate.
        directory: PathBuf,
        /// Names beside localhost.
        names: Vec<String>,
    },
}

/// What is kept, and what clients may ask of it.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Most bytes of stored responses.
    pub capacity_bytes: u64,
    /// Longest body that is stored.
    pub max_object_bytes: usize,
    /// Clients may have stored responses validated.
    pub honour_client_no_cache: bool,
    /// This node in `Cache-Status` and `Via`: a token.
    pub node: String,
}

/// Bounds on what clients and origins may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open client connections; further ones wait to be accepted.
    pub connections: usize,
    /// Longest request body.
    pub request_body_bytes: u64,
    /// For a client's TLS handshake and the head of each request; also how long a connection may
    /// be idle.
    pub client_header: Duration,
    /// For each further piece of a body.
    pub body_idle: Duration,
    /// For connecting to an origin.
    pub connect: Duration,
    /// For the head of an origin's answer.
    pub response_header: Duration,
    /// Validations in the background at a time.
    pub background: usize,
}

/// Where routes come from.
#[derive(Clone, Debug)]
pub enum Mode {
    /// From the file.
    StandAlone {
        /// The routes.
        plan: EdgePlan,
        /// The origins they name.
        upstreams: Vec<UpstreamConfig>,
    },
    /// From a control.
    Governed(Box<Governed>),
}

/// An origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Its name in routes.
    pub name: String,
    /// `host:port` of each instance.
    pub addresses: Vec<Authority>,
}

/// Whom a governed edge listens to.
#[derive(Clone, Debug)]
pub struct Governed {
    /// Where purges and revocations come from.
    pub queue: QueueBackend,
    /// `host:port` of control.
    pub control: Authority,
    /// Signs routing documents.
    pub public_key: PublicKey,
    /// The project that routing documents must be for.
    pub project: String,
    /// Keeps the last good routing document and plan.
    pub state: PathBuf,
    /// What is handed to workers and taken from them.
    pub arrows: Arrows,
}

#[cfg(test)]
mod tests;
