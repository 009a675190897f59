//! A peer's turn: its own program, which prints what it measured.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::Command;
use tokio::time::{Duration, timeout};

use crate::Speed;
use crate::words::Words;

/// The programs give up by themselves before.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whom we compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Celery on a quorum queue, processes.
    CeleryQuorumProcesses,
    /// Celery on a quorum queue, threads.
    CeleryQuorumThreads,
    /// Celery on a classic queue, threads: it was the fastest one.
    CeleryClassicThreads,
    /// `BullMQ` on a Redis that writes each change to disk.
    BullMq,
}

// === impl Peer ===

impl Peer {
    /// All of them, in turn.
    pub(crate) const ALL: [Self; 4] = [
        Self::CeleryQuorumProcesses,
        Self::CeleryQuorumThreads,
        Self::CeleryClassicThreads,
        Self::BullMq,
    ];

    /// Returns its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CeleryQuorumProcesses => "Celery, quorum, prefork",
            Self::CeleryQuorumThreads => "Celery, quorum, threads",
            Self::CeleryClassicThreads => "Celery, classic, threads",
            Self::BullMq => "BullMQ, AOF always",
        }
    }

    pub(crate) fn is_quorum(self) -> bool {
        matches!(self, Self::CeleryQuorumProcesses | Self::CeleryQuorumThreads)
    }

    pub(crate) fn is_celery(self) -> bool {
        self != Self::BullMq
    }

    /// Runs its program.
    pub(crate) async fn measure(self, words: &Words) -> anyhow::Result<Speed> {
        let tasks = words.tasks.to_string();
        let mut command = if self.is_celery() {
            // Its names there are those of celery_peer.py: "quorum, prefork" and so on.
            let configuration = self.name().trim_start_matches("Celery, ");
            let mut command = Command::new(&words.python);
            command.arg(words.peers.join("celery_peer.py"));
            command.args([&words.amqp, configuration, &tasks]);
            command
        } else {
            let mut command = Command::new("node");
            // Node looks for modules beside the program.
            command.arg(words.modules.join("bullmq_peer.mjs"));
            command.args([&words.redis.to_string(), &tasks]);
            command
        };
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let name = self.name();
        let output = timeout(PATIENCE, command.output())
            .await
            .with_context(|| format!("{name} does not end"))?
            .with_context(|| format!("{name} can't be started"))?;
        if !output.status.success() {
            bail!("{name} ended with {}", output.status);
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("{name} said no figures"))
    }
}
