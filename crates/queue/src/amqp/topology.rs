//! Exchanges, queues and bindings. Declaring what exists does nothing.
//!
//! What can't change without a new queue is an argument: the type and where dead letters go. Limits
//! are policies, which people may change while the broker runs.

use std::collections::BTreeMap;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use tidegate_core::job::Lane;

use super::names::{self, Names};
use super::rung::Rung;

/// What a queue or an exchange has besides its name.
type Arguments = BTreeMap<ShortString, AMQPValue>;

/// Returns the exchanges.
#[cfg(test)]
pub(super) fn exchanges(names: &Names) -> [ShortString; 7] {
    [
        names.jobs(),
        names.canary_jobs(),
        names.retry(),
        names.due(),
        names.dead(),
        names.unrouted(),
        names.notices(),
    ]
}

/// Declares what every process needs. The channel is of no use after an error.
pub(super) async fn declare(channel: &Channel, names: &Names) -> Result<(), String> {
    let unrouted = || with(Arguments::new(), "alternate-exchange", &names.unrouted());
    let canary = with(Arguments::new(), "alternate-exchange", &names.jobs());
    exchange(channel, names.unrouted(), ExchangeKind::Fanout, Arguments::new()).await?;
    exchange(channel, names.dead(), ExchangeKind::Fanout, unrouted()).await?;
    // No alternate: what is published here without a queue comes back to its publisher, which
    // still has it in its outbox.
    exchange(channel, names.jobs(), ExchangeKind::Topic, Arguments::new()).await?;
    exchange(channel, names.canary_jobs(), ExchangeKind::Topic, canary).await?;
    exchange(channel, names.retry(), ExchangeKind::Direct, Arguments::new()).await?;
    // The broker itself publishes here, and has nobody to give a message back to.
    exchange(channel, names.due(), ExchangeKind::Topic, unrouted()).await?;
    exchange(channel, names.notices(), ExchangeKind::Fanout, Arguments::new()).await?;

    queue(channel, names.unrouted_queue(), quorum()).await?;
    bind(channel, names.unrouted_queue(), names.unrouted(), "".into()).await?;
    queue(channel, names.dead_queue(), quorum()).await?;
    bind(channel, names.dead_queue(), names.dead(), "".into()).await?;
    for lane in Lane::ALL {
        declare_lane(channel, names, lane).await?;
    }
    Ok(())
}

async fn declare_lane(channel: &Channel, names: &Names, lane: Lane) -> Result<(), String> {
    let name = names.lane_queue(lane);
    queue(channel, name.clone(), work(names)).await?;
    bind(channel, name.clone(), names.jobs(), names::lane_binding(lane)).await?;
    bind(channel, name, names.due(), names::lane_binding(lane)).await
}

/// Declares where the failed jobs of a lane wait.
pub(super) async fn declare_rungs(
    channel: &Channel,
    names: &Names,
    lane: Lane,
) -> Result<(), String> {
    for rung in Rung::ALL {
        let name = names.rung_queue(lane, rung);
        let arguments = forwarding(&names.due());
        let mut arguments = with(arguments, "x-dead-letter-routing-key", &names::due_key(lane));
        let millis = i64::try_from(rung.wait().as_millis()).unwrap_or(i64::MAX);
        // Of the queue, not of each message: one message with a long wait would hold up all others.
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis));
        queue(channel, name.clone(), arguments).await?;
        bind(channel, name, names.retry(), names::rung_key(lane, rung)).await?;
    }
    Ok(())
}

/// Declares where a canary's jobs wait, and lets them go there.
pub(super) async fn declare_canary(
    channel: &Channel,
    names: &Names,
    lane: Lane,
    release: &str,
) -> Result<(), String> {
    let name = names.canary_queue(lane, release);
    queue(channel, name.clone(), work(names)).await?;
    bind(channel, name, names.canary_jobs(), names::canary_binding(lane, release)).await
}

/// Lets a canary's jobs go to stable workers.
pub(super) async fn unbind_canary(
    channel: &Channel,
    names: &Names,
    lane: Lane,
    release: &str,
) -> lapin::Result<()> {
    let (queue, binding) =
        (names.canary_queue(lane, release), names::canary_binding(lane, release));
    channel.queue_unbind(queue, names.canary_jobs(), binding, FieldTable::default()).await
}

fn quorum() -> Arguments {
    let text = |text: &str| AMQPValue::LongString(text.as_bytes().to_vec().into());
    // Otherwise all leaders live on the node that the first process happened to connect to.
    [("x-queue-type", text("quorum")), ("x-queue-leader-locator", text("balanced"))]
        .map(|(name, value)| (name.into(), value))
        .into()
}

fn work(names: &Names) -> Arguments {
    forwarding(&names.dead())
}

/// A queue whose messages go on to an exchange, each kept until the next queue has it.
///
/// The broker's default is at most once: a retry on its way is lost if the broker dies. That it is
/// not is no limit to be tuned, so it is an argument and no policy. The broker obeys the strategy
/// only together with `reject-publish`.
fn forwarding(exchange: &ShortString) -> Arguments {
    let strategy = with(quorum(), "x-dead-letter-strategy", &"at-least-once".into());
    let arguments = with(strategy, "x-overflow", &"reject-publish".into());
    with(arguments, "x-dead-letter-exchange", exchange)
}

fn with(mut arguments: Arguments, name: &str, value: &ShortString) -> Arguments {
    let value = AMQPValue::LongString(value.as_str().as_bytes().to_vec().into());
    arguments.insert(name.into(), value);
    arguments
}

async fn exchange(
    channel: &Channel,
    name: ShortString,
    kind: ExchangeKind,
    arguments: Arguments,
) -> Result<(), String> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared = channel.exchange_declare(name.clone(), kind, options, arguments.into()).await;
    declared.map_err(|error| explain("exchange", &name, &error))
}

async fn queue(channel: &Channel, name: ShortString, arguments: Arguments) -> Result<(), String> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    let declared = channel.queue_declare(name.clone(), options, arguments.into()).await;
    declared.map(drop).map_err(|error| explain("queue", &name, &error))
}

async fn bind(
    channel: &Channel,
    queue: ShortString,
    exchange: ShortString,
    key: ShortString,
) -> Result<(), String> {
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    let bound = channel.queue_bind(queue.clone(), exchange, key, options, arguments).await;
    bound.map_err(|error| explain("binding of queue", &queue, &error))
}

fn explain(what: &str, name: &ShortString, error: &lapin::Error) -> String {
    let lapin::ErrorKind::ProtocolError(protocol) = error.kind() else {
        return format!("{what} '{name}' could not be declared: {error}");
    };
    let text = protocol.get_message().to_string();
    if text.contains("inequivalent") {
        return format!(
            "{what} '{name}' exists with other settings ({text}): delete it once it is empty, or \
             give this deployment a prefix of its own (?prefix=NAME)"
        );
    }
    if text.contains("ACCESS_REFUSED") {
        return format!("{what} '{name}': the user may not configure it ({text})");
    }
    format!("{what} '{name}' could not be declared: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_people_lists_every_exchange_and_queue() {
        let page = include_str!("../../../../docs/MESSAGES.md");
        let names = Names::new("tidegate".to_owned());
        for name in
            exchanges(&names).into_iter().chain([names.dead_queue(), names.unrouted_queue()])
        {
            assert!(page.contains(&format!("`{name}`")), "docs/MESSAGES.md lacks {name}");
        }
        for rung in Rung::ALL {
            assert!(page.contains(&format!("`{rung}`")), "docs/MESSAGES.md lacks {rung}");
        }
    }
}
