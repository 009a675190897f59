//! Starts the children, starts them again when they end, and stops them in order.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tidegate_core::config::ENV_PREFIX;
use tidegate_core::shutdown::{DRAIN, STOP_WORD, Shutdown};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::up::log_lines::{self, Prefix};
use crate::up::release::this_binary;
use crate::up::restart::{Restart, Restarts};
use crate::up::tier::Tier;

/// A child drains by itself; one that has not ended this much later is killed.
const PATIENCE: Duration = DRAIN.saturating_add(Duration::from_secs(5));

/// By which an operator decides on huge pages: a variable of mimalloc's.
const HUGE_PAGES: &str = "MIMALLOC_ALLOW_THP";

/// The environment that children inherit: how much is logged, nothing else of their configuration.
const INHERITED: &str = "TIDEGATE_LOG__";

/// How long the logs of a child that ended are read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Ends that are kept for whoever waits for the start.
const MAX_ENDS: usize = 64;

/// A child to run.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) tier: Tier,
    /// Its name in the profile.
    pub(crate) name: String,
    pub(crate) config: PathBuf,
}

/// A child ended although nobody asked it to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) tier: Tier,
    /// Its exit status, unless a signal ended it.
    pub(crate) code: Option<i32>,
}

/// Keeps the children running.
#[derive(Debug)]
pub(crate) struct Supervisor {
    children: Vec<Supervised>,
    /// Children that were asked to end while the others run on.
    leaving: Vec<JoinHandle<()>>,
    ends: mpsc::Receiver<Ended>,
    ended: mpsc::Sender<Ended>,
    /// Fires to kill instead of waiting.
    hurry: Shutdown,
    coloured: bool,
    /// Of the longest name.
    width: usize,
}

#[derive(Debug)]
struct Supervised {
    tier: Tier,
    stop: Shutdown,
    task: JoinHandle<()>,
}

/// What one child's task needs.
struct Keeper {
    spec: Spec,
    prefix: Prefix,
    stop: Shutdown,
    hurry: Shutdown,
    ends: mpsc::Sender<Ended>,
}

// === impl Supervisor ===

impl Supervisor {
    /// Starts all children at once; they wait for each other where they must.
    pub(crate) fn start(specs: Vec<Spec>, coloured: bool) -> Self {
        let width = specs.iter().map(|spec| spec.name.len()).max().unwrap_or(0);
        let (ended, ends) = mpsc::channel(MAX_ENDS);
        let mut supervisor = Self {
            children: Vec::with_capacity(specs.len()),
            leaving: Vec::new(),
            ends,
            ended,
            hurry: Shutdown::new(),
            coloured,
            width,
        };
        specs.into_iter().for_each(|spec| supervisor.add(spec));
        supervisor
    }

    /// Starts one more child.
    pub(crate) fn add(&mut self, spec: Spec) {
        let prefix = if self.coloured {
            Prefix::coloured(&spec.name, self.width, self.children.len())
        } else {
            Prefix::plain(&spec.name, self.width)
        };
        let (tier, stop) = (spec.tier, Shutdown::new());
        let keeper = Keeper {
            spec,
            prefix,
            stop: stop.clone(),
            hurry: self.hurry.clone(),
            ends: self.ended.clone(),
        };
        self.children.push(Supervised { tier, stop, task: tokio::spawn(keeper.keep_running()) });
    }

    /// Returns how many children of a tier run.
    pub(crate) fn count(&self, tier: Tier) -> u32 {
        let children = self.children.iter().filter(|child| child.tier == tier).count();
        u32::try_from(children).unwrap_or(u32::MAX)
    }

    /// Asks the newest child of a tier to drain; it leaves when it has.
    pub(crate) fn stop_last(&mut self, tier: Tier) {
        let Some(position) = self.children.iter().rposition(|child| child.tier == tier) else {
            return;
        };
        let child = self.children.remove(position);
        child.stop.cancel();
        self.leaving.retain(|task| !task.is_finished());
        self.leaving.push(child.task);
    }

    /// Waits until a child ends although nobody asked it to. Cancel safe.
    pub(crate) async fn ended(&mut self) -> Ended {
        match self.ends.recv().await {
            Some(ended) => ended,
            // No keeper is left to tell anything.
            None => std::future::pending().await,
        }
    }

    /// Stops the children, each after those that lean on it; `hurry` kills what is left.
    pub(crate) async fn stop(self, hurry: Shutdown) {
        let mut children = self.children;
        let kill = self.hurry.clone();
        let hurrying = tokio::spawn(async move {
            hurry.cancelled().await;
            kill.cancel();
        });
        for tier in Tier::STOP_ORDER {
            for child in children.iter_mut().filter(|child| child.tier == tier) {
                child.stop.cancel();
                if let Err(error) = (&mut child.task).await {
                    tracing::error!(tier.name = tier.as_str(), error = %error, "Keeper of a tier panicked.");
                }
            }
        }
        for task in self.leaving {
            if let Err(error) = task.await {
                tracing::error!(error = %error, "Keeper of a tier panicked.");
            }
        }
        hurrying.abort();
        tracing::info!("All tiers stopped.");
    }
}

// === impl Keeper ===

impl Keeper {
    async fn keep_running(self) {
        let mut restarts = Restarts::default();
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            let code = match self.run_once().await {
                Ok(None) => return,
                Ok(Some(status)) => status.code(),
                Err(error) => {
                    tracing::error!(tier.name = %self.spec.name, error = format!("{error:#}"), "Tier could not be started.");
                    None
                }
            };
            let restart = restarts.ended(started.elapsed());
            let wait = restart.wait();
            tracing::warn!(
                tier.name = %self.spec.name,
                exit.code = code,
                restart.total = restarts.total,
                restart.after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "Tier ended and is started again."
            );
            // Nobody listens any more once the start is over.
            self.ends.try_send(Ended { tier: self.spec.tier, code }).ok();
            if restart != Restart::Now {
                self.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }

    /// Runs the child to its end; `None` if it was asked to end.
    async fn run_once(&self) -> anyhow::Result<Option<ExitStatus>> {
        let mut child = self.spawn()?;
        // Held open: a child ends when its standard input does, also when `up` itself is killed.
        let stdin = child.stdin.take();
        let stderr = child.stderr.take().context("a child's standard error must be piped")?;
        let prefix = self.prefix.clone();
        let mut logs = tokio::spawn(async move { log_lines::copy(stderr, &prefix).await });
        let ended = tokio::select! {
            status = child.wait() => Some(status?),
            () = self.stop.cancelled() => {
                ask_to_stop(stdin).await;
                self.wait_or_kill(&mut child).await?;
                None
            }
        };
        // The child's last words are still in the pipe.
        if tokio::time::timeout(LAST_WORDS, &mut logs).await.is_err() {
            logs.abort();
        }
        Ok(ended)
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let mut command = Command::new(this_binary()?);
        command
            .arg0("tidegate")
            .arg(self.spec.tier.as_str())
            .arg("--config")
            .arg(&self.spec.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C signals the whole group of a terminal: `up` decides for its children.
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with(ENV_PREFIX) && !text.starts_with(INHERITED) {
                command.env_remove(name);
            }
        }
        if !self.spec.tier.wants_huge_pages() && std::env::var_os(HUGE_PAGES).is_none() {
            command.env(HUGE_PAGES, "0");
        }
        command.spawn().context("the program can't be started")
    }

    async fn wait_or_kill(&self, child: &mut Child) -> std::io::Result<ExitStatus> {
        tokio::select! {
            status = child.wait() => return status,
            () = tokio::time::sleep(PATIENCE) => {
                tracing::warn!(tier.name = %self.spec.name, "Tier did not drain in time and was killed.");
            }
            () = self.hurry.cancelled() => {}
        }
        child.start_kill()?;
        child.wait().await
    }
}

/// Asks a child to drain. It may have ended by itself: then there is nobody to tell.
async fn ask_to_stop(stdin: Option<ChildStdin>) {
    if let Some(mut stdin) = stdin {
        stdin.write_all(STOP_WORD).await.ok();
    }
}
