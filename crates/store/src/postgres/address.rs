//! Where the server is and how it is talked to, as its URL says.

use std::str::FromStr as _;
use std::time::Duration;

use tidegate_core::backend::ServerUrl;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use crate::StoreError;
use crate::postgres::tls::{self, Trust};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// A server that answers no probe for this long is taken for gone, also in the midst of an answer.
const GONE: Duration = Duration::from_secs(20);

/// Connections for reads, and as many for writes, unless the URL says otherwise.
const POOL: usize = 8;

/// Most connections that a URL may ask for.
const MAX_POOL: usize = 256;

/// A server, and the words of the URL that are ours.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    pub(super) pool: usize,
    /// For messages: without the password.
    pub(super) shown: String,
}

// === impl Address ===

impl Address {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…&sslrootcert=…&pool=…`; further
    /// parameters are those of `tokio-postgres`.
    pub(super) fn read(url: &ServerUrl) -> Result<Self, StoreError> {
        let shown = url.to_string();
        let wrong = |what: &str| StoreError::Misconfigured(format!("{shown}: {what}"));
        let full = url.with_password().map_err(|error| wrong(&error.to_string()))?;
        let words = Words::take(full);
        let (mode, trust) = words.tls().map_err(|what| wrong(&what))?;
        let mut config = Config::from_str(words.rest.as_str()).map_err(|error| {
            // The library's own words name a parameter, never its value.
            wrong(&super::fault::chain(&error))
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("tidegate");
        }
        config.ssl_mode(mode).keepalives_idle(GONE).tcp_user_timeout(GONE);
        Ok(Self {
            tls: tls::connector(&trust).map_err(|what| wrong(&what))?,
            pool: words.pool().map_err(|what| wrong(&what))?,
            config,
            shown,
        })
    }
}

/// The URL's parameters that are ours, and the URL without them.
struct Words {
    rest: Url,
    ours: Vec<(String, String)>,
}

// === impl Words ===

impl Words {
    fn take(mut url: Url) -> Self {
        let (ours, others): (Vec<_>, Vec<_>) = url
            .query_pairs()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .partition(|(name, _)| ["sslmode", "sslrootcert", "pool"].contains(&name.as_str()));
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
        Self { rest: url, ours }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.ours.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As everywhere with PostgreSQL, without `sslmode` a connection is encrypted if the server can.
    fn tls(&self) -> Result<(SslMode, Trust), String> {
        let roots = self.get("sslrootcert").map(Into::into);
        let trust = |roots: Option<std::path::PathBuf>| roots.map_or(Trust::Anyone, Trust::Roots);
        match (self.get("sslmode").unwrap_or("prefer"), roots) {
            ("disable", _) => Ok((SslMode::Disable, Trust::Anyone)),
            ("prefer", roots) => Ok((SslMode::Prefer, trust(roots))),
            ("require", roots) => Ok((SslMode::Require, trust(roots))),
            ("verify-full", Some(roots)) => Ok((SslMode::Require, Trust::Roots(roots))),
            ("verify-full", None) => Err(
                "sslmode=verify-full needs sslrootcert=FILE, the authorities to trust; those of \
                 the system are in /etc/ssl/certs/ca-certificates.crt"
                    .to_owned(),
            ),
            (other, _) => Err(format!(
                "sslmode '{other}' is not known; write disable, prefer, require or verify-full"
            )),
        }
    }

    fn pool(&self) -> Result<usize, String> {
        let Some(text) = self.get("pool") else { return Ok(POOL) };
        match text.parse() {
            Ok(size @ 1..=MAX_POOL) => Ok(size),
            _ => Err(format!("pool '{text}' is no number from 1 to {MAX_POOL}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::backend::StoreBackend;

    use super::*;

    fn read(text: &str) -> Result<Address, String> {
        let StoreBackend::Postgres(url) = text.parse().unwrap() else { panic!("{text}") };
        Address::read(&url).map_err(|error| error.to_string())
    }

    #[test]
    fn words_of_ours_are_taken_out_of_the_url() {
        let address = read("postgres://u:p@h:5433/d?pool=3&sslmode=require&connect_timeout=2");
        let address = address.unwrap();
        assert_eq!((address.pool, address.config.get_ssl_mode()), (3, SslMode::Require));
        assert_eq!(address.config.get_connect_timeout(), Some(&Duration::from_secs(2)));
        assert_eq!(address.config.get_dbname(), Some("d"));
        assert_eq!(address.config.get_password(), Some(b"p".as_slice()));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (query, expected) in [
            ("sslmode=verify-full", "needs sslrootcert"),
            ("sslmode=maybe", "'maybe' is not known"),
            ("sslmode=require&sslrootcert=/nowhere.pem", "/nowhere.pem"),
            ("pool=0", "pool '0'"),
            ("colour=red", "colour"),
            ("password_file=/nowhere", "/nowhere"),
        ] {
            let error = read(&format!("postgres://u:secret@h/d?{query}")).err().unwrap();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
