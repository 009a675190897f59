//! What a broker's URL says.

use std::fmt;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use tidegate_core::backend::ServerUrl;
use url::Url;

use super::names::{MAX_PREFIX, Names};
use crate::QueueError;

/// Parameters that a URL may hold, for the error that names them.
const KNOWN: &str = "cacertfile, heartbeat, management, nodes, notices, password_file, prefix";

/// Seconds between heartbeats: lost connections are noticed after twice that.
const HEARTBEAT: u16 = 10;

/// Longer, and a broker that hangs is noticed too late.
const MAX_HEARTBEAT: u16 = 60;

/// Notices kept for one slow subscriber.
const NOTICES: u32 = 20_000;

/// A checked URL.
#[derive(Clone)]
pub(super) struct Settings {
    url: ServerUrl,
    pub(super) names: Names,
    /// The nodes of a cluster, at least one: each attempt to connect takes the next.
    nodes: Vec<Node>,
    heartbeat: u16,
    /// File with the authorities to trust, instead of the system's.
    cacertfile: Option<String>,
    pub(super) management: Option<Management>,
    /// Most notices kept for one slow subscriber.
    pub(super) notices: u32,
}

/// A node of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Where the management API is, `http` only: it is for a private network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Management {
    pub(super) node: Node,
}

/// What one attempt to connect needs. Holds the password.
pub(super) struct Login {
    pub(super) uri: AMQPUri,
    /// PEM of the authorities to trust, instead of the system's.
    pub(super) authorities: Option<String>,
}

// === impl Settings ===

impl Settings {
    /// Checks a URL.
    pub(super) fn read(url: &ServerUrl) -> Result<Self, QueueError> {
        let plain = url.with_password().map_err(|error| QueueError::Url(error.to_string()))?;
        let mut settings = Self {
            url: url.clone(),
            names: Names::new("tidegate".to_owned()),
            nodes: vec![first_node(&plain)?],
            heartbeat: HEARTBEAT,
            cacertfile: None,
            management: None,
            notices: NOTICES,
        };
        for (name, value) in plain.query_pairs() {
            settings.set(&name, &value)?;
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), QueueError> {
        let wrong = |what: &str| QueueError::Url(format!("{name}={value}: {what}"));
        match name {
            "prefix" => {
                let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
                if value.is_empty() || value.len() > MAX_PREFIX || !value.chars().all(fits) {
                    return Err(wrong("letters, digits, - and _, at most 64"));
                }
                self.names = Names::new(value.to_owned());
            }
            "heartbeat" => {
                let seconds = value.parse().ok().filter(|s| (1..=MAX_HEARTBEAT).contains(s));
                self.heartbeat = seconds.ok_or_else(|| wrong("seconds, from 1 to 60"))?;
            }
            "notices" => {
                let notices = value.parse().ok().filter(|notices| *notices > 0);
                self.notices = notices.ok_or_else(|| wrong("a number of notices"))?;
            }
            "cacertfile" => self.cacertfile = Some(value.to_owned()),
            "nodes" => {
                for text in value.split(',') {
                    self.nodes.push(node(text).ok_or_else(|| wrong("HOST:PORT,…"))?);
                }
            }
            "management" => {
                let text = value.strip_prefix("http://").map(|text| text.trim_end_matches('/'));
                let node = text.and_then(node).ok_or_else(|| wrong("http://HOST:PORT"))?;
                self.management = Some(Management { node });
            }
            _ => return Err(QueueError::Url(format!("{name}: not known; known are {KNOWN}"))),
        }
        Ok(())
    }

    /// Returns what the attempt with this number needs. Files are read each time: passwords and
    /// certificates are replaced while a process runs.
    pub(super) fn login(&self, attempt: usize) -> Result<Login, String> {
        let url = self.url.with_password().map_err(|error| error.to_string())?;
        let Node { host, port } = self.nodes[attempt % self.nodes.len()].clone();
        let (username, password) = credentials(&url);
        let authorities = match &self.cacertfile {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                Some(text.map_err(|error| format!("cacertfile {path}: {error}"))?)
            }
            None => None,
        };
        let uri = AMQPUri {
            scheme: scheme(&url),
            authority: AMQPAuthority { userinfo: AMQPUserInfo { username, password }, host, port },
            vhost: vhost(&url),
            query: AMQPQueryString { heartbeat: Some(self.heartbeat), ..Default::default() },
        };
        Ok(Login { uri, authorities })
    }

    /// Returns the broker's name for messages.
    pub(super) fn server(&self) -> String {
        self.url.to_string()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("url", &self.url).finish_non_exhaustive()
    }
}

fn first_node(url: &Url) -> Result<Node, QueueError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if host.is_empty() {
        return Err(QueueError::Url("no host".to_owned()));
    }
    Ok(Node { host: decoded(host), port: url.port().unwrap_or(scheme(url).default_port()) })
}

fn node(text: &str) -> Option<Node> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    let port = port.parse().ok()?;
    (!host.is_empty()).then(|| Node { host: host.to_owned(), port })
}

fn scheme(url: &Url) -> AMQPScheme {
    if url.scheme() == "amqps" { AMQPScheme::AMQPS } else { AMQPScheme::AMQP }
}

fn credentials(url: &Url) -> (String, String) {
    let or_guest = |text: &str| if text.is_empty() { "guest".to_owned() } else { decoded(text) };
    (or_guest(url.username()), or_guest(url.password().unwrap_or_default()))
}

/// As other clients read it: no path is the default virtual host.
fn vhost(url: &Url) -> String {
    let path = url.path().strip_prefix('/').unwrap_or(url.path());
    if path.is_empty() { "/".to_owned() } else { decoded(path) }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use tidegate_core::backend::QueueBackend;

    use super::*;

    fn read(text: &str) -> Result<Settings, QueueError> {
        let QueueBackend::Amqp(url) = text.parse().unwrap() else { panic!("{text}") };
        Settings::read(&url)
    }

    #[test]
    fn a_url_names_nodes_virtual_host_and_user() {
        let settings = read("amqp://u:p%40ss@h/my%2Fhost?nodes=h2:5,[::1]:6&prefix=a-b").unwrap();
        let login = settings.login(0).unwrap();
        assert_eq!((login.uri.vhost.as_str(), login.uri.authority.port), ("my/host", 5672));
        assert_eq!(login.uri.authority.userinfo.password, "p@ss");
        let hosts = (0..4).map(|n| settings.login(n).unwrap().uri.authority.host);
        assert_eq!(hosts.collect::<Vec<_>>(), ["h", "h2", "::1", "h"]);
        assert_eq!(settings.names.prefix(), "a-b");
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let login = read("amqps://[::1]").unwrap().login(0).unwrap();
        assert_eq!((login.uri.vhost.as_str(), login.uri.authority.port), ("/", 5671));
        assert_eq!(login.uri.authority.host, "::1");
        assert_eq!(login.uri.query.heartbeat, Some(10));
    }

    #[test]
    fn a_parameter_that_is_wrong_is_named() {
        for wrong in [
            "heartbeat=0",
            "heartbeat=61",
            "prefix=a.b",
            "management=https://h:1",
            "nodes=h",
            "notices=0",
            "frame_max=3",
        ] {
            let error = read(&format!("amqp://u:secret@h/?{wrong}")).unwrap_err().to_string();
            let name = wrong.split('=').next().unwrap();
            assert!(error.contains(name) && !error.contains("secret"), "{error}");
        }
    }
}
