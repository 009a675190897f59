//! Processes that end themselves at one place of the protocol: a program with fail points takes part
//! in a stack's work, beside its tiers, until it gets there.

use std::os::unix::process::ExitStatusExt as _;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use toml::Value;

use crate::{Client, Process, Stack, Tier, listening_ports};

/// Signal of a process that aborts.
const ABORTED: i32 = 6;

/// Jobs of one request to an api that is to end.
const JOBS: u32 = 50;

/// A place between two steps, of which one is done and the other is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailPoint {
    /// The line in the outbox is committed, the client has no answer.
    AfterOutboxInsert,
    /// The relay has published, the broker has not confirmed.
    AfterPublish,
    /// The broker has confirmed, the line is not marked.
    AfterConfirm,
    /// The worker has the job, nothing is done.
    AfterClaim,
    /// All is done, nothing is committed.
    BeforeCommit,
    /// All is committed, the delivery is not acknowledged.
    AfterCommit,
    /// The copy for a later attempt is published, the delivery is not acknowledged.
    AfterCopy,
}

// === impl FailPoint ===

impl FailPoint {
    /// All of them, in the order in which a job meets them.
    pub const ALL: [Self; 7] = [
        Self::AfterOutboxInsert,
        Self::AfterPublish,
        Self::AfterConfirm,
        Self::AfterClaim,
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::AfterCopy,
    ];

    /// Returns its name in the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::AfterOutboxInsert => "api::after-outbox-insert",
            Self::AfterPublish => "queue::published",
            Self::AfterConfirm => "queue::confirmed",
            Self::AfterClaim => "worker::after-claim",
            Self::BeforeCommit => "worker::after-effect-before-commit",
            Self::AfterCommit => "worker::after-commit-before-ack",
            Self::AfterCopy => "queue::copied",
        }
    }

    /// Returns the tier whose process comes to it.
    pub fn tier(self) -> Tier {
        match self {
            Self::AfterOutboxInsert | Self::AfterPublish | Self::AfterConfirm => Tier::Api,
            Self::AfterClaim | Self::BeforeCommit | Self::AfterCommit | Self::AfterCopy => {
                Tier::Worker
            }
        }
    }

    /// Lets one more process of its tier take part in a stack's work until it ends itself here.
    ///
    /// The stack must be under load.
    ///
    /// # Panics
    /// It does not come here.
    pub async fn reached(self, stack: &Stack) {
        let config = another(stack, self.tier());
        let mut process =
            Process::start_to_fail(self.name(), &[self.tier().as_str(), "--config", &config]);
        let id = process.id();
        let ended = match self.tier() {
            // Nobody else knows of it.
            Tier::Api => tokio::select! {
                ended = process.ended() => ended,
                never = put_to(stack, id) => match never {},
            },
            _ => process.ended().await,
        };
        assert_eq!(ended.signal(), Some(ABORTED), "{self:?}: {ended}");
    }
}

/// Writes the configuration of one more process of a tier, on free ports; returns its path.
fn another(stack: &Stack, tier: Tier) -> String {
    let file = stack.data().join("run").join(format!("{}.toml", tier.as_str()));
    let text = std::fs::read_to_string(&file).expect("up writes a configuration for each tier");
    let mut table: toml::Table = text.parse().expect("up writes valid TOML");
    let listen = table.get_mut("listen").and_then(Value::as_table_mut);
    for (_, address) in listen.expect("a tier listens").iter_mut() {
        *address = Value::String("127.0.0.1:0".to_owned());
    }
    // Waiting for a child closes its standard input, which would end a supervised one.
    table.insert("supervised".to_owned(), Value::Boolean(false));
    let file = file.with_file_name(format!("{}-to-fail.toml", tier.as_str()));
    std::fs::write(&file, table.to_string()).expect("the directory can be written");
    file.to_str().expect("the path is text").to_owned()
}

/// Puts probes to an api, whichever of its ports takes them, for as long as it is asked to.
async fn put_to(stack: &Stack, id: u32) -> std::convert::Infallible {
    let body = json!({ "jobs": JOBS, "outcome": "ok" }).to_string();
    let fields = [("content-type", "application/json")];
    loop {
        for port in listening_ports(id) {
            let client = Client::new(&format!("http://127.0.0.1:{port}"), None);
            let client = client.with_token(stack.ready("admin_token"));
            let body = Bytes::from(body.clone());
            // It may end before it answers: that is what is wanted.
            client.try_send(Method::POST, "/v1/air/probes", &fields, body).await.ok();
        }
        tokio::time::sleep(crate::LOOK).await;
    }
}
