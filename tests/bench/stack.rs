//! A stack of its own for each part: `tidegate up` in a new directory, on free ports.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::processes::Servers;
use crate::words::{Backends, Words};

/// Longest wait for the ready line, and for the end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running stack; its children end with it.
pub(crate) struct Stack {
    tidegate: PathBuf,
    up: Child,
    ready: Value,
    directory: TempDir,
    behind: Option<Behind>,
    /// From the start of the process to its ready line.
    pub(crate) ready_after: Duration,
}

/// Database and broker behind a stack.
struct Behind {
    servers: e2e::Servers,
    /// Their processes.
    ids: Vec<u32>,
}

// === impl Stack ===

impl Stack {
    /// Starts one.
    pub(crate) async fn start(words: &Words) -> anyhow::Result<Self> {
        Self::start_with(words, &[]).await
    }

    /// Starts one with further words for `up`.
    pub(crate) async fn start_with(words: &Words, further: &[&str]) -> anyhow::Result<Self> {
        let tidegate = &words.tidegate;
        let directory = tempfile::tempdir()?;
        let log = std::fs::File::create(directory.path().join("up.log"))?;
        let behind = match words.backends {
            Backends::Embedded => None,
            Backends::Servers => Some(Behind::new().await?),
        };
        let backends = behind.iter().flat_map(|Behind { servers, .. }| {
            ["--store", &servers.store, "--queue", &servers.queue]
        });
        let started = Instant::now();
        let mut up = Command::new(tidegate)
            .args(["up", "--json", "--data"])
            .arg(directory.path().join("data"))
            .args(["--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--control", "127.0.0.1:0"])
            .args(backends)
            .args(further)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} can't be started", tidegate.display()))?;
        let mut lines = BufReader::new(up.stdout.take().context("output is piped")?).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
        let line = line.context("`tidegate up` ended before it was ready")?;
        let ready_after = started.elapsed();
        let ready = serde_json::from_str(&line)?;
        Ok(Self { tidegate: tidegate.clone(), up, ready, directory, behind, ready_after })
    }

    /// Ends it as an operator does; dropping it would end it too, but not wait.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.up.id().context("`tidegate up` has ended by itself")?;
        let signal = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await?;
        ensure!(signal.success(), "`tidegate up` can't be ended");
        tokio::time::timeout(PATIENCE, self.up.wait()).await??;
        Ok(())
    }

    /// Returns the servers.
    pub(crate) fn servers(&self) -> anyhow::Result<Servers> {
        let parent = self.up.id().context("`tidegate up` has ended by itself")?;
        let behind = self.behind.as_ref().map(|behind| behind.ids.clone()).unwrap_or_default();
        Ok(Servers { parent, behind })
    }

    /// Has the database server clean up and look at its tables now, as it does by itself within a
    /// minute of a load: plans made before that are worse.
    pub(crate) async fn settle_tables(&self) {
        if let Some(Behind { servers, .. }) = &self.behind {
            servers.sql("vacuum analyze").await;
        }
    }

    /// Returns a client for the edge over TLS, with the admin token.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let ca = Path::new(self.ready("ca")?);
        Ok(Client::new(self.ready("https")?, Some(ca)).with_token(self.token()?))
    }

    /// Returns the admin token.
    pub(crate) fn token(&self) -> anyhow::Result<&str> {
        self.ready("admin_token")
    }

    /// Returns the address of the api's public listener.
    pub(crate) fn api(&self) -> anyhow::Result<String> {
        self.listener("api", "public")
    }

    /// Returns the address of a tier's listener.
    pub(crate) fn listener(&self, tier: &str, listener: &str) -> anyhow::Result<String> {
        let file = self.data().join("run").join(format!("{tier}.toml"));
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let table: toml::Table = text.parse()?;
        let address = table.get("listen").and_then(|listen| listen.get(listener)?.as_str());
        Ok(address.with_context(|| format!("{tier} has no {listener} listener"))?.to_owned())
    }

    /// Runs the demo to its end; returns its report. A total that differs is an error.
    pub(crate) async fn demo(&self, rows: u64, seed: u64) -> anyhow::Result<Value> {
        let (rows, seed) = (rows.to_string(), seed.to_string());
        let output = Command::new(&self.tidegate)
            .args(["demo", "air", "--json", "--rows", &rows, "--seed", &seed, "--data"])
            .arg(self.data())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the demo failed: {said}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn ready(&self, member: &str) -> anyhow::Result<&str> {
        let value = self.ready.get(member).and_then(Value::as_str);
        value.with_context(|| format!("the ready line names no {member}"))
    }
}

// === impl Behind ===

impl Behind {
    async fn new() -> anyhow::Result<Self> {
        let servers = e2e::Servers::new().await;
        let mut ids = Vec::new();
        for said in [servers.postgres("pid").await, servers.broker("pid").await] {
            ids.push(said.trim().parse().context("a server tells its process id")?);
        }
        Ok(Self { servers, ids })
    }
}
