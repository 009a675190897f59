//! RabbitMQ and PostgreSQL for a test: a database and a set of queues of its own on servers that
//! `tests/support/servers.sh` started.

use std::sync::Arc;

use tidegate_core::keys::random_hex;
use tokio::process::Command;

use crate::PATIENCE;
use crate::place::Place;

/// A database and a prefix of queue names that nobody else uses.
#[derive(Clone, Debug)]
pub struct Servers {
    /// As `TIDEGATE_STORE` takes it.
    pub store: String,
    /// As `TIDEGATE_QUEUE` takes it.
    pub queue: String,
    /// The database's name.
    pub database: String,
    /// What all names of queues begin with.
    pub prefix: String,
    place: Arc<Place>,
}

// === impl Servers ===

impl Servers {
    /// Makes a database and a prefix on the servers that all tests share.
    ///
    /// # Panics
    /// No servers run: `make test` starts them.
    pub async fn new() -> Self {
        Self::on(Arc::new(Place::shared())).await
    }

    /// Starts servers that no other test uses, for one that breaks them. They end with their last
    /// user.
    ///
    /// # Panics
    /// They do not start.
    pub async fn private() -> Self {
        Self::on(Arc::new(Place::start().await)).await
    }

    /// Makes another database and prefix on the same servers.
    ///
    /// # Panics
    /// They are away.
    pub async fn another(&self) -> Self {
        Self::on(Arc::clone(&self.place)).await
    }

    async fn on(place: Arc<Place>) -> Self {
        let name = format!("t{}", random_hex(6));
        psql(&place.postgres, &format!("create database {name}")).await;
        let (server, _) = place.postgres.rsplit_once('/').expect("the URL names a database");
        let separator = if place.amqp.contains('?') { '&' } else { '?' };
        Self {
            store: format!("{server}/{name}"),
            queue: format!("{}{separator}prefix={name}&heartbeat=10", place.amqp),
            prefix: name.clone(),
            database: name,
            place,
        }
    }

    /// Returns the broker's address.
    ///
    /// # Panics
    /// Its URL names none.
    pub fn broker_address(&self) -> std::net::SocketAddr {
        let (_, rest) = self.queue.split_once('@').expect("the URL holds a password");
        let (address, _) = rest.split_once('/').expect("the URL names a virtual host");
        address.parse().expect("the broker listens on loopback")
    }

    /// Returns the same, with the broker reached through another address.
    #[must_use]
    pub fn through(&self, address: std::net::SocketAddr) -> Self {
        let direct = self.broker_address().to_string();
        let queue = self.queue.replacen(&direct, &address.to_string(), 1);
        Self { queue, ..self.clone() }
    }

    /// Runs a statement as the server's administrator, outside of the database.
    ///
    /// # Panics
    /// It fails.
    pub async fn admin(&self, statement: &str) -> String {
        psql(&self.place.postgres, statement).await
    }

    /// Runs a statement in the database and returns what it prints, cells separated by `|`.
    ///
    /// # Panics
    /// It fails.
    pub async fn sql(&self, statement: &str) -> String {
        psql(&self.store, statement).await
    }

    /// Runs a statement that returns one number; `None` if the database is away.
    pub async fn count(&self, statement: &str) -> Option<u64> {
        let output = tokio::time::timeout(PATIENCE, shell(&self.store, statement).output()).await;
        let output = output.ok()?.ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }

    /// Starts, stops, kills, pauses or resumes the broker.
    ///
    /// # Panics
    /// That fails.
    pub async fn broker(&self, word: &str) -> String {
        program(&self.place.directory.join("rabbitmq"), &[word]).await
    }

    /// Starts, stops, kills, pauses or resumes the database server.
    ///
    /// # Panics
    /// That fails.
    pub async fn postgres(&self, word: &str) -> String {
        program(&self.place.directory.join("postgres"), &[word]).await
    }

    /// Runs `rabbitmqctl`.
    ///
    /// # Panics
    /// It fails.
    pub async fn rabbitmqctl(&self, words: &[&str]) -> String {
        program(&self.place.rabbitmqctl, words).await
    }
}

async fn program(path: &std::path::Path, words: &[&str]) -> String {
    let mut command = Command::new(path);
    command.args(words);
    finished(command, &path.display().to_string()).await
}

async fn psql(url: &str, statement: &str) -> String {
    finished(shell(url, statement), statement).await
}

fn shell(url: &str, statement: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, url]);
    command
}

async fn finished(mut command: Command, what: &str) -> String {
    command.kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("the program must end").expect("the program must start");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
