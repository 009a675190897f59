//! A broker, or a cluster of three, for one test alone: it may stop, starve or kill it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Prepares a broker with the management API, and prints its URL and the API's.
const PREPARE: &str = r#"
set -euo pipefail
. "$1/servers/broker.sh"
take_ports 4
epmd_start "$2/epmd" "$TAKEN"
broker_prepare "$2/broker" "tidegate-$TAKEN@localhost" $((TAKEN + 1)) $((TAKEN + 2)) "$TAKEN" cookie <<CONF
default_pass = guest
management.tcp.ip = 127.0.0.1
management.tcp.port = $((TAKEN + 3))
CONF
echo '[rabbitmq_management].' >"$2/broker/enabled_plugins"
echo "amqp://guest:guest@127.0.0.1:$((TAKEN + 1))/%2f" "http://127.0.0.1:$((TAKEN + 3))"
"#;

/// A broker of a test's own. It ends with the test.
pub(crate) struct OwnBroker {
    directory: TempDir,
    pub(crate) url: String,
    pub(crate) management: String,
}

/// Three brokers that form a cluster. They end with the test.
pub(crate) struct Cluster {
    directory: TempDir,
    /// The nodes' URLs.
    pub(crate) urls: Vec<String>,
}

// === impl OwnBroker ===

impl OwnBroker {
    /// Prepares a broker and leaves it stopped.
    pub(crate) fn prepare() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new("bash")
            .args(["-c", PREPARE, "prepare"])
            .args([&support(), directory.path()])
            .output()
            .unwrap();
        let text = said(&output);
        let (url, management) = text.trim().split_once(' ').unwrap();
        let (url, management) = (url.to_owned(), management.to_owned());
        Self { directory, url, management }
    }

    pub(crate) fn started() -> Self {
        let broker = Self::prepare();
        broker.control(&["start"]);
        broker
    }

    /// Runs `start`, `kill`, `pause`, `resume` or `ctl …`; returns what it says.
    pub(crate) fn control(&self, words: &[&str]) -> String {
        let broker = self.directory.path().join("broker");
        let output = Command::new("bash")
            .arg(support().join("servers/broker.sh"))
            .arg(words[0])
            .arg(broker)
            .args(&words[1..])
            .output()
            .unwrap();
        said(&output)
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        let directory = self.directory.path();
        let launched = directory.join("broker/launched");
        for file in [launched, directory.join("epmd/pid")] {
            kill(&file);
        }
    }
}

// === impl Cluster ===

impl Cluster {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = Self { directory, urls: Vec::new() };
        cluster.control("start", &[]);
        let env = std::fs::read_to_string(cluster.directory.path().join("env")).unwrap();
        cluster.urls = env.split('\'').nth(1).unwrap().split(',').map(str::to_owned).collect();
        cluster
    }

    /// Runs a word of `cluster.sh` on this cluster; returns what it says.
    pub(crate) fn control(&self, word: &str, more: &[&str]) -> String {
        control(self.directory.path(), word, more)
    }

    /// Kills a node while others work.
    pub(crate) async fn kill(&self, node: &str) {
        let (directory, node) = (self.directory.path().to_owned(), node.to_owned());
        let killing = tokio::task::spawn_blocking(move || control(&directory, "kill", &[&node]));
        killing.await.unwrap();
    }

    /// Returns the number of the node that leads a queue.
    pub(crate) fn leader(&self, queue: &str) -> String {
        // `pid` is that of the leader, and its name ends with its node's.
        let nodes = self.control("ctl", &["1", "list_queues", "--quiet", "name", "leader"]);
        let line = nodes.lines().find(|line| line.split('\t').next() == Some(queue));
        let node = line.and_then(|line| line.split('\t').nth(1)).unwrap();
        node.split('@').next().and_then(|name| name.rsplit('-').next()).unwrap().to_owned()
    }

    /// Returns the URL of any node but one, and the other nodes as a parameter.
    pub(crate) fn url_beginning_with(&self, first: usize) -> (String, String) {
        let address = |url: &str| {
            let url = url::Url::parse(url).unwrap();
            format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
        };
        let others = (1..3).map(|n| address(&self.urls[(first + n) % 3]));
        let others = others.collect::<Vec<_>>().join(",");
        (self.urls[first].clone(), format!("&nodes={others}&heartbeat=2"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let directory = self.directory.path();
        for node in ["1", "2", "3"] {
            kill(&directory.join(node).join("launched"));
        }
        kill(&directory.join("epmd/pid"));
    }
}

fn control(cluster: &Path, word: &str, more: &[&str]) -> String {
    let script = support().join("cluster.sh");
    let output =
        Command::new("bash").arg(script).arg(word).arg(cluster).args(more).output().unwrap();
    said(&output)
}

/// Ends the process that a file names, also one that is stopped.
fn kill(file: &Path) {
    if let Ok(pid) = std::fs::read_to_string(file) {
        Command::new("kill").args(["-KILL", pid.trim()]).output().ok();
    }
}

fn support() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/support").canonicalize().unwrap()
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}
