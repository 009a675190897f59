//! RabbitMQ and PostgreSQL for a test: a database and a set of queues of its own on the servers that
//! `tests/support/servers.sh` started.

use tidegate_core::keys::random_hex;
use tokio::process::Command;

use crate::PATIENCE;

/// A database and a prefix of queue names that nobody else uses.
#[derive(Clone, Debug)]
pub struct Servers {
    /// As `TIDEGATE_STORE` takes it.
    pub store: String,
    /// As `TIDEGATE_QUEUE` takes it.
    pub queue: String,
    /// The database's name.
    pub database: String,
    postgres: String,
}

// === impl Servers ===

impl Servers {
    /// Makes a database and a prefix.
    ///
    /// # Panics
    /// No servers run: `make test` starts them.
    pub async fn new() -> Self {
        let name = format!("t{}", random_hex(6));
        let postgres = variable("TIDEGATE_TEST_POSTGRES");
        psql(&postgres, &format!("create database {name}")).await;
        let (server, _) = postgres.rsplit_once('/').expect("the URL names a database");
        let amqp = variable("TIDEGATE_TEST_AMQP");
        let separator = if amqp.contains('?') { '&' } else { '?' };
        Self {
            store: format!("{server}/{name}"),
            queue: format!("{amqp}{separator}prefix={name}&heartbeat=10"),
            database: name,
            postgres,
        }
    }

    /// Runs a statement as the server's administrator, outside of the database.
    ///
    /// # Panics
    /// It fails.
    pub async fn admin(&self, statement: &str) -> String {
        psql(&self.postgres, statement).await
    }

    /// Runs a statement in the database and returns what it prints, cells separated by `|`.
    ///
    /// # Panics
    /// It fails.
    pub async fn sql(&self, statement: &str) -> String {
        psql(&self.store, statement).await
    }
}

/// Runs the program that a variable of the servers names, such as rabbitmqctl.
///
/// # Panics
/// It fails.
pub async fn control(name: &str, words: &[&str]) -> String {
    let mut command = Command::new(variable(name));
    command.args(words).kill_on_drop(true);
    finished(command, name).await
}

async fn psql(url: &str, statement: &str) -> String {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, url]);
    command.kill_on_drop(true);
    finished(command, statement).await
}

async fn finished(mut command: Command, what: &str) -> String {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("the program must end").expect("the program must start");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "how the script tells where its servers are")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make test`, or tests/support/servers.sh run CMD…")
    })
}
