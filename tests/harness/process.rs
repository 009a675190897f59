//! Starting the real binary, and looking at what it started.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::PATIENCE;

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    /// Its standard output, line by line.
    pub stdout: Lines<BufReader<ChildStdout>>,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; -1 if a signal ended it.
    pub code: i32,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// Returns the path of the binary that the build put beside the test.
///
/// # Panics
/// It was not built: `make test` does so first.
pub fn tidegate() -> PathBuf {
    built("tidegate")
}

/// Returns the path of the same binary with fail points.
///
/// # Panics
/// It was not built: `make test` and `make faults` do so first.
pub fn tidegate_faults() -> PathBuf {
    built("tidegate-faults")
}

/// A program lies beside what the build made, a test one level below.
fn built(name: &str) -> PathBuf {
    let us = std::env::current_exe().expect("a test knows its path");
    let mut directory = us.parent().expect("a test lies in a directory");
    if directory.ends_with("deps") {
        directory = directory.parent().expect("tests lie below the target");
    }
    let binary = directory.join(name);
    assert!(binary.exists(), "{} is not built; run `make test`", binary.display());
    binary
}

/// Runs the binary to its end.
///
/// # Panics
/// It can't be started, or runs longer than [`PATIENCE`] allows.
pub async fn run(arguments: &[&str]) -> Finished {
    let mut command = Command::new(tidegate());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE * 5, command.output()).await;
    let output = output.expect("the command must end").expect("the command must start");
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

// === impl Finished ===

impl Finished {
    /// Reads its standard output as one JSON document.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }
}

// === impl Process ===

impl Process {
    /// Starts the binary; its logs go to the test's standard error.
    ///
    /// # Panics
    /// It can't be started.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(tidegate());
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts the binary with fail points; it ends itself when it comes to the one named.
    ///
    /// # Panics
    /// It can't be started.
    pub fn start_to_fail(point: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(tidegate_faults());
        command.args(["--fail-at", point]).args(arguments);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary must start");
        let stdout = child.stdout.take().expect("standard output is piped");
        Self { child, stdout: BufReader::new(stdout).lines() }
    }

    /// Returns the process id.
    ///
    /// # Panics
    /// It has ended.
    pub fn id(&self) -> u32 {
        self.child.id().expect("the process must be running")
    }

    /// Sends a signal by name, such as `TERM`.
    ///
    /// # Panics
    /// It has ended.
    pub async fn signal(&self, name: &str) {
        signal(self.id(), name).await;
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("the process must end").expect("a child can be waited for")
    }
}

/// Sends a signal by name to a process started by the test or by its stack.
///
/// # Panics
/// It is not there.
pub async fn signal(id: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status().await;
    assert!(status.expect("kill must start").success(), "process {id} must be there to signal");
}

/// Returns the direct children of a process with their command lines.
pub async fn children_of(parent: u32) -> Vec<(u32, String)> {
    let mut children = Vec::new();
    let mut entries = tokio::fs::read_dir("/proc").await.expect("/proc must be readable");
    while let Some(entry) = entries.next_entry().await.expect("/proc must be readable") {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        if parent_of(id).await == Some(parent)
            && let Ok(words) = tokio::fs::read(format!("/proc/{id}/cmdline")).await
        {
            children.push((id, String::from_utf8_lossy(&words).replace('\0', " ")));
        }
    }
    children
}

async fn parent_of(id: u32) -> Option<u32> {
    let mut stat = String::new();
    let mut file = tokio::fs::File::open(format!("/proc/{id}/stat")).await.ok()?;
    file.read_to_string(&mut stat).await.ok()?;
    // The command's name may hold spaces and parentheses: fields are counted after the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    // A zombie is no longer a child that runs.
    fields.next().filter(|state| *state != "Z")?;
    fields.next()?.parse().ok()
}
