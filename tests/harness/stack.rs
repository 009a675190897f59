//! A whole stack, started as a user starts it: `tidegate up --json`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Client, Finished, PATIENCE, Process, Servers, children_of, eventually, run};

/// The tiers that `up` starts, by their subcommands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// TLS and cache.
    Edge,
    /// Stateless api.
    Api,
    /// Consumers.
    Worker,
    /// Routing document.
    Control,
}

/// A running stack in a directory of its own.
pub struct Stack {
    /// The supervisor.
    pub up: Process,
    /// The line that says where everything is.
    pub ready: Value,
    directory: TempDir,
    /// What `up` was told beside where to listen.
    words: Vec<String>,
}

// === impl Tier ===

impl Tier {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Edge, Self::Api, Self::Worker, Self::Control];

    /// Returns the subcommand, which is also the name of the tier's configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Control => "control",
        }
    }
}

// === impl Stack ===

impl Stack {
    /// Starts the default project in a new directory.
    ///
    /// # Panics
    /// It does not become ready.
    pub async fn start() -> Self {
        Self::start_project("gq-ztfutjv").await
    }

    /// Starts a project in a new directory.
    ///
    /// # Panics
    /// It does not become ready.
    pub async fn start_project(project: &str) -> Self {
        Self::start_with(&["--project", project]).await
    }

    /// Starts a project on servers.
    ///
    /// # Panics
    /// It does not become ready.
    pub async fn start_on(servers: &Servers, words: &[&str]) -> Self {
        let backends = ["--store", &servers.store, "--queue", &servers.queue];
        Self::start_with(&[&backends, words].concat()).await
    }

    /// Starts a stack in a new directory with further words for `up`.
    ///
    /// # Panics
    /// It does not become ready.
    pub async fn start_with(words: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self::start_in(directory, words).await
    }

    async fn start_in(directory: TempDir, words: Vec<String>) -> Self {
        let data = directory.path().join("data");
        let mut arguments = vec!["up", "--data"];
        arguments.push(data.to_str().expect("the path is text"));
        arguments.extend(words.iter().map(String::as_str));
        for address in ["--https", "--http", "--control"] {
            arguments.extend([address, "127.0.0.1:0"]);
        }
        arguments.push("--json");
        let mut up = Process::start(&arguments);
        let line = tokio::time::timeout(PATIENCE, up.stdout.next_line()).await;
        let line = line.expect("up must become ready").expect("its output is text");
        let ready = line.expect("up must print its ready line before it ends");
        let ready = serde_json::from_str(&ready).expect("the ready line must be JSON");
        Self { up, ready, directory, words }
    }

    /// Stops the stack as an operator does, and starts it again on the same data.
    ///
    /// # Panics
    /// It does not stop cleanly or does not start.
    pub async fn restart(mut self) -> Self {
        self.up.signal("TERM").await;
        assert!(self.up.ended().await.success(), "SIGTERM must end in exit status 0");
        Self::start_in(self.directory, self.words).await
    }

    /// Runs a command of the binary against this stack's data directory, to its end.
    ///
    /// # Panics
    /// It does not end.
    pub async fn command(&self, words: &[&str]) -> Finished {
        let data = self.data();
        let data = data.to_str().expect("the path is text");
        run(&[words, &["--data", data]].concat()).await
    }

    /// Returns the data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Returns a member of the ready line.
    ///
    /// # Panics
    /// It is missing.
    pub fn ready(&self, member: &str) -> &str {
        self.ready[member].as_str().unwrap_or_else(|| panic!("no '{member}' in {}", self.ready))
    }

    /// Returns a client for the edge over TLS, with the admin token.
    pub fn client(&self) -> Client {
        let ca = Path::new(self.ready("ca"));
        Client::new(self.ready("https"), Some(ca)).with_token(self.ready("admin_token"))
    }

    /// Returns a client for a listener named in a tier's configuration file, without credential.
    ///
    /// # Panics
    /// The file does not name it.
    pub fn listener(&self, tier: Tier, name: &str) -> Client {
        Client::new(&format!("http://{}", self.address(tier, name)), None)
    }

    /// Returns the address of a listener named in a tier's configuration file.
    ///
    /// # Panics
    /// The file does not name it.
    pub fn address(&self, tier: Tier, name: &str) -> String {
        let file = self.data().join("run").join(format!("{}.toml", tier.as_str()));
        let text = std::fs::read_to_string(&file).expect("up writes a configuration for each tier");
        let table: toml::Table = text.parse().expect("up writes valid TOML");
        table["listen"][name].as_str().expect("the listener must be text").to_owned()
    }

    /// Returns the process id of a tier.
    ///
    /// # Panics
    /// There is none for long.
    pub async fn process(&self, tier: Tier) -> u32 {
        eventually("the tier runs", || async { self.processes(tier).await.into_iter().next() })
            .await
    }

    /// Returns the process ids of a tier that run at present, oldest first.
    pub async fn processes(&self, tier: Tier) -> Vec<u32> {
        let word = format!(" {} ", tier.as_str());
        let children = children_of(self.up.id()).await;
        let theirs = children.into_iter().filter(|(_, words)| words.contains(&word));
        let mut ids: Vec<u32> = theirs.map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// Waits until as many processes of a tier run as `before`, and `gone` is none of them.
    pub async fn replaced(&self, tier: Tier, before: usize, gone: u32) {
        eventually("the process was started again", || async {
            let ids = self.processes(tier).await;
            (ids.len() >= before && !ids.contains(&gone)).then_some(())
        })
        .await;
    }

    /// Waits until a tier reports to be ready, with nothing amiss.
    pub async fn is_ready(&self, tier: Tier) {
        let private = self.listener(tier, "private");
        eventually("the tier is ready", || async {
            let probe = private.try_send(http::Method::GET, "/readyz", &[], bytes::Bytes::new());
            probe
                .await
                .ok()
                .filter(|reply| reply.status == 200 && !reply.text().contains("degraded"))
        })
        .await;
    }

    /// Waits until a tier runs as another process than `id` and reports to be ready.
    pub async fn recovered(&self, tier: Tier, id: u32) {
        self.replaced(tier, 1, id).await;
        self.is_ready(tier).await;
    }
}
