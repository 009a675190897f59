//! Kills that hit work in flight: a process is stopped first, so that what it holds can be looked
//! at, and let go again if it holds none.

use std::time::Duration;

use crate::{
    Random, Servers, Stack, Tier, connected_ports, eventually, port, signal, unread_bytes,
};

/// Looks at a stopped process before it is let go again.
const LOOKS: usize = 20;

/// How long a worker runs between two stops: one that was always stopped could never connect again
/// after the broker has died.
const RUN: Duration = Duration::from_millis(300);

/// Time between two of them.
const LOOK: Duration = Duration::from_millis(5);

/// Jobs that a broker holds for sure: those put and not done, less those that nobody has published.
const PUBLISHED: &str = "select greatest(0,
    (select count(*) from dp_job where state in ('accepted', 'running'))
    + (select count(*) from dp_batch where state in ('accepted', 'running'))
    - (select count(*) from dp_outbox where kind = 'job'))";

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// A process of a tier; the relay within it dies with it.
    Tier(Tier),
    /// RabbitMQ.
    Broker,
}

// === impl Victim ===

impl Victim {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Tier(Tier::Edge),
        Self::Tier(Tier::Api),
        Self::Tier(Tier::Worker),
        Self::Tier(Tier::Control),
        Self::Broker,
    ];

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tier(tier) => tier.as_str(),
            Self::Broker => "broker",
        }
    }

    /// Kills it at a moment at which it holds work, and waits until it is back.
    pub async fn kill(self, stack: &Stack, servers: &Servers, random: &mut Random) {
        let Self::Tier(tier) = self else {
            kill_broker(servers).await;
            stack.is_ready(Tier::Api).await;
            return stack.is_ready(Tier::Worker).await;
        };
        let draw = random.below(1 << 32);
        // Asking the broker takes longer than all looks at a socket.
        let looks = if tier == Tier::Worker { 1 } else { LOOKS };
        let (killed, before) = eventually("the tier has work in flight", || async {
            let ids = stack.processes(tier).await;
            let index = usize::try_from(draw).unwrap_or(0).checked_rem(ids.len())?;
            let id = ids[index];
            // Only control can't be asked once it is stopped: its waiters send nothing.
            let waited_for = tier == Tier::Control && has_waiters(stack).await;
            signal(id, "STOP").await;
            for _ in 0..looks {
                if waited_for || holds_work(stack, servers, tier, id).await {
                    signal(id, "KILL").await;
                    return Some((id, ids.len()));
                }
                tokio::time::sleep(LOOK).await;
            }
            signal(id, "CONT").await;
            if tier == Tier::Worker {
                tokio::time::sleep(RUN).await;
            }
            None
        })
        .await;
        stack.replaced(tier, before, killed).await;
        stack.is_ready(tier).await;
    }
}

/// Returns whether a stopped process has a request unread or a delivery unsettled.
async fn holds_work(stack: &Stack, servers: &Servers, tier: Tier, id: u32) -> bool {
    match tier {
        Tier::Edge => unread_bytes(port(stack.ready("https"))) > 0,
        Tier::Api => unread_bytes(port(&stack.address(tier, "public"))) > 0,
        Tier::Worker => unsettled(servers, id).await > 0,
        Tier::Control => false,
    }
}

async fn has_waiters(stack: &Stack) -> bool {
    let private = stack.listener(Tier::Control, "private");
    let get = private.try_send(http::Method::GET, "/metrics", &[], bytes::Bytes::new());
    let metrics = get.await.map(|reply| reply.text()).unwrap_or_default();
    let gauge =
        metrics.lines().find_map(|line| line.strip_prefix("tidegate_control_waiters_count "));
    gauge.and_then(|value| value.parse::<f64>().ok()).is_some_and(|waiters| waiters > 0.0)
}

/// Returns how many deliveries the broker has handed to a process without an answer. A channel's
/// name begins with the address of its client.
pub async fn unsettled(servers: &Servers, id: u32) -> u64 {
    let words = ["list_channels", "name", "messages_unacknowledged", "-q", "--no-table-headers"];
    let listed = servers.rabbitmqctl(&words).await;
    let ports = connected_ports(id);
    let held = |line: &str| {
        let (name, count) = line.rsplit_once('\t')?;
        let (client, _) = name.split_once(" -> ")?;
        let (_, port) = client.rsplit_once(':')?;
        let theirs = ports.contains(&port.parse().ok()?);
        theirs.then(|| count.trim().parse::<u64>().ok())?
    };
    listed.lines().filter_map(held).sum()
}

/// Kills RabbitMQ while it holds messages, and starts it again.
async fn kill_broker(servers: &Servers) {
    eventually("the broker holds messages", || async {
        servers.broker("pause").await;
        if servers.count(PUBLISHED).await.is_some_and(|jobs| jobs > 0) {
            servers.broker("kill").await;
            return Some(());
        }
        servers.broker("resume").await;
        None
    })
    .await;
    servers.broker("start").await;
}
