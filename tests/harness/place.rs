//! A running RabbitMQ and PostgreSQL, as `tests/support/servers.sh` describes them.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::{PATIENCE, root};

/// Prints the variables, and lives until its standard input closes: the servers end with whoever
/// started them, however that ends.
const TELL: &str = "env | grep ^TIDEGATE_TEST_; echo; exec cat >/dev/null";

/// Where the servers are.
#[derive(Debug)]
pub(crate) struct Place {
    /// An administrator's URL.
    pub(crate) postgres: String,
    pub(crate) amqp: String,
    /// A program.
    pub(crate) rabbitmqctl: PathBuf,
    /// Holds the programs `rabbitmq` and `postgres`.
    pub(crate) directory: PathBuf,
    /// Who started them, unless the surroundings did.
    _keeper: Option<Child>,
}

// === impl Place ===

impl Place {
    /// Returns the servers that the surroundings have started.
    pub(crate) fn shared() -> Self {
        Self::read(&variable, None)
    }

    /// Starts servers of one's own.
    pub(crate) async fn start() -> Self {
        let mut command = Command::new("bash");
        command.arg(root().join("tests/support/servers.sh")).args(["run", "sh", "-c", TELL]);
        for name in ["AMQP", "POSTGRES"] {
            command.env_remove(format!("TIDEGATE_TEST_{name}"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().expect("bash must start");
        let stdout = keeper.stdout.take().expect("standard output is piped");
        let mut lines = BufReader::new(stdout).lines();
        let mut told = Vec::new();
        let tell = async {
            while let Some(line) = lines.next_line().await.expect("the script prints text") {
                match line.split_once('=') {
                    Some((name, value)) => told.push((name.to_owned(), value.to_owned())),
                    None => return,
                }
            }
            panic!("the servers did not start: the lines above say why");
        };
        tokio::time::timeout(PATIENCE, tell).await.expect("the servers must start in time");
        let find = |wanted: &str| {
            let found = told.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).expect("the script tells all variables")
        };
        Self::read(&find, Some(keeper))
    }

    fn read(variable: &dyn Fn(&str) -> String, keeper: Option<Child>) -> Self {
        Self {
            postgres: variable("TIDEGATE_TEST_POSTGRES"),
            amqp: variable("TIDEGATE_TEST_AMQP"),
            rabbitmqctl: variable("TIDEGATE_TEST_RABBITMQCTL").into(),
            directory: variable("TIDEGATE_TEST_SERVERS").into(),
            _keeper: keeper,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how the script tells where its servers are")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make test`, or tests/support/servers.sh run CMD…")
    })
}
