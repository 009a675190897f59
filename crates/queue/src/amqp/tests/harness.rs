//! A part of a broker for one test: everything in it begins with a prefix of its own.

use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use tidegate_core::backend::{QueueBackend, ServerUrl};
use tidegate_core::job::Lane;
use uuid::Uuid;

use super::super::connect::connect;
use super::super::names::Names;
use super::super::rung::Rung;
use super::super::settings::Settings;
use super::super::{AmqpQueue, topology};
use crate::SharedQueue;
use crate::conformance::Broker;

/// Canaries of the tests.
const RELEASES: [&str; 2] = ["air@sha256:0123", "other"];

/// A prefix on the broker that the tests share.
pub(crate) struct Rabbit {
    pub(crate) prefix: String,
}

// === impl Rabbit ===

impl Rabbit {
    pub(crate) fn new() -> Self {
        Self { prefix: format!("t-{}", Uuid::now_v7().simple()) }
    }

    /// Returns the broker's URL with more parameters.
    pub(crate) fn url(&self, more: &str) -> ServerUrl {
        self.at(&variable("TIDEGATE_TEST_AMQP"), more)
    }

    pub(crate) fn at(&self, server: &str, more: &str) -> ServerUrl {
        server_url(&format!("{server}?prefix={}{more}", self.prefix))
    }

    pub(crate) async fn open(&self) -> AmqpQueue {
        AmqpQueue::open(&self.url("")).await.unwrap()
    }

    pub(crate) fn names(&self) -> Names {
        Names::new(self.prefix.clone())
    }

    /// Returns a connection of no queue's.
    pub(crate) async fn raw(&self) -> lapin::Connection {
        let login = Settings::read(&self.url("")).unwrap().login(0).unwrap();
        connect(login, "test").await.unwrap().0
    }

    /// Ends the connections of this test's queues.
    pub(crate) fn close_connections(&self) {
        rabbitmqctl(&[
            "eval",
            &format!(
                "lists:foreach(fun(C) -> P = rabbit_misc:format(\"~p\", \
             [proplists:get_value(client_properties, C)]), \
             case string:find(P, \"{}\") of nomatch -> ok; _ -> \
             rabbit_networking:close_connection(proplists:get_value(pid, C), \"a test\") end end, \
             rabbit_networking:connection_info_all([pid, client_properties])).",
                self.prefix
            ),
        ]);
    }
}

#[async_trait]
impl Broker for Rabbit {
    async fn connect(&self) -> SharedQueue {
        Arc::new(self.open().await)
    }

    async fn presume_dead(&self) {
        self.close_connections();
    }

    async fn end(&self) {
        let (connection, names) = (self.raw().await, self.names());
        let channel = connection.create_channel().await.unwrap();
        let mut queues = vec![names.dead_queue(), names.unrouted_queue()];
        for lane in Lane::ALL {
            queues.push(names.lane_queue(lane));
            queues.extend(Rung::ALL.map(|rung| names.rung_queue(lane, rung)));
            queues.extend(RELEASES.map(|release| names.canary_queue(lane, release)));
        }
        for queue in queues {
            channel.queue_delete(queue, QueueDeleteOptions::default()).await.unwrap();
        }
        for exchange in topology::exchanges(&names) {
            channel.exchange_delete(exchange, ExchangeDeleteOptions::default()).await.unwrap();
        }
        connection.close(200, "".into()).await.unwrap();
    }
}

/// Runs a command against the broker that the tests share; returns what it says.
pub(crate) fn rabbitmqctl(arguments: &[&str]) -> String {
    let output =
        Command::new(variable("TIDEGATE_TEST_RABBITMQCTL")).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

pub(crate) fn server_url(text: &str) -> ServerUrl {
    let QueueBackend::Amqp(url) = text.parse().unwrap() else { panic!("{text}") };
    url
}

#[expect(clippy::disallowed_methods, reason = "how the script that starts the servers names them")]
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make test`, or `bash tests/support/servers.sh run CMD`")
    })
}
