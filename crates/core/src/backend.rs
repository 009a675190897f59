//! Where data is kept and where jobs wait: a file on this machine, or a server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// Parameter of a server's URL that names a file with the password, so that none stands in a
/// configuration or an environment.
const PASSWORD_FILE: &str = "password_file";

/// Where batches, views and tokens are kept: `sqlite:PATH` or `postgres://…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreBackend {
    /// A file on this machine.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(ServerUrl),
}

/// Where jobs wait and notices travel: `sqlite:PATH`, `amqp://…` or `amqps://…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueBackend {
    /// A file on this machine.
    Sqlite(PathBuf),
    /// A RabbitMQ server.
    Amqp(ServerUrl),
}

/// A server's URL. It may hold a password: neither `Debug` nor `Display` shows one.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

// === impl StoreBackend ===

impl FromStr for StoreBackend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match read(text, &["postgres", "postgresql"]) {
            Some(Place::File(path)) => Ok(Self::Sqlite(path)),
            Some(Place::Server(url)) => Ok(Self::Postgres(url)),
            None => Err(unknown(text, "sqlite:PATH or postgres://USER@HOST/DATABASE")),
        }
    }
}

// === impl QueueBackend ===

impl FromStr for QueueBackend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match read(text, &["amqp", "amqps"]) {
            Some(Place::File(path)) => Ok(Self::Sqlite(path)),
            Some(Place::Server(url)) => Ok(Self::Amqp(url)),
            None => Err(unknown(text, "sqlite:PATH or amqp://USER@HOST/VHOST")),
        }
    }
}

// === impl ServerUrl ===

impl ServerUrl {
    /// Returns the URL with its password, read from the file that `password_file` names if it does,
    /// and without that parameter. For the client library only.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn with_password(&self) -> std::io::Result<Url> {
        let mut url = self.0.clone();
        let file = url.query_pairs().find(|(name, _)| name == PASSWORD_FILE);
        let Some(file) = file.map(|(_, path)| path.into_owned()) else { return Ok(url) };
        let password = std::fs::read_to_string(&file)
            .map_err(|error| std::io::Error::new(error.kind(), format!("{file}: {error}")))?;
        let others: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != PASSWORD_FILE)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
        // Fails only for a URL without a host, which was refused when it was parsed.
        url.set_password(Some(password.trim_end_matches(['\r', '\n']))).ok();
        Ok(url)
    }

    /// Returns `HOST:PORT` for messages.
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.0.scheme(), self.host(), self.0.path())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

enum Place {
    File(PathBuf),
    Server(ServerUrl),
}

fn read(text: &str, schemes: &[&str]) -> Option<Place> {
    if let Some(path) = text.strip_prefix("sqlite:") {
        return (!path.is_empty()).then(|| Place::File(path.into()));
    }
    let url = Url::parse(text).ok()?;
    let known = schemes.contains(&url.scheme()) && url.host_str().is_some_and(|h| !h.is_empty());
    known.then_some(Place::Server(ServerUrl(url)))
}

/// The text may hold a password: only its scheme is repeated.
fn unknown(text: &str, expected: &str) -> String {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    format!("backend '{scheme}:…' is not known; write {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_servers_are_told_apart() {
        assert_eq!("sqlite:a.db".parse(), Ok(StoreBackend::Sqlite("a.db".into())));
        assert!(matches!("postgres://u@h/d".parse(), Ok(StoreBackend::Postgres(_))));
        assert!(matches!("amqps://u@h:5671/v".parse(), Ok(QueueBackend::Amqp(_))));
        for bad in ["sqlite:", "", "amqp://u@h", "postgres:", "postgres:///d"] {
            assert!(bad.parse::<StoreBackend>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let backend: StoreBackend = "postgres://u:secret@h:5433/d".parse().unwrap();
        let error = "redis://u:secret@h".parse::<QueueBackend>().unwrap_err();
        for text in [format!("{backend:?}"), error] {
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_password_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "p@ss/word\n").unwrap();
        let text = format!("amqp://u@h/v?password_file={}&heartbeat=10", file.path().display());
        let QueueBackend::Amqp(url) = text.parse().unwrap() else { panic!("a server") };
        let url = url.with_password().unwrap();
        assert_eq!(url.as_str(), "amqp://u:p%40ss%2Fword@h/v?heartbeat=10");
    }
}
