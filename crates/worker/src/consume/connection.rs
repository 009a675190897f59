//! Which consumers are connected; says so once when they no longer are.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::job::Lane;

/// Consumers of a process, by lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    connected: Vec<Lane>,
    /// Operators know that not all are.
    said: bool,
}

// === impl Connections ===

impl Connections {
    /// Returns the lanes without a consumer.
    pub(crate) fn missing(&self) -> Vec<Lane> {
        let connected = &self.0.lock().connected;
        Lane::ALL.into_iter().filter(|lane| !connected.contains(lane)).collect()
    }

    pub(super) fn connected(&self, lane: Lane) {
        let mut state = self.0.lock();
        if !state.connected.contains(&lane) {
            state.connected.push(lane);
        }
        if state.connected.len() == Lane::ALL.len() && state.said {
            state.said = false;
            tracing::info!("Consumers are connected again.");
        }
    }

    /// Notes an orderly end.
    pub(super) fn ended(&self, lane: Lane) {
        self.0.lock().connected.retain(|other| *other != lane);
    }

    /// Notes a loss. Only the first is a warning: what one lane lost, the others lose too.
    pub(super) fn lost(&self, lane: Lane, error: &(dyn Error + 'static), pause: Duration) {
        let mut state = self.0.lock();
        state.connected.retain(|other| *other != lane);
        let (lane, pause_ms) = (lane.as_str(), pause.as_millis());
        if std::mem::replace(&mut state.said, true) {
            tracing::debug!(
                error,
                queue.lane = lane,
                consumer.pause_ms = pause_ms,
                "Consumer was lost."
            );
        } else {
            tracing::warn!(
                error,
                queue.lane = lane,
                consumer.pause_ms = pause_ms,
                "Jobs can't be consumed; they will be as soon as the queue is back.",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_without_a_consumer_is_named() {
        let connections = Connections::default();
        assert_eq!(connections.missing(), Lane::ALL);
        Lane::ALL.into_iter().for_each(|lane| connections.connected(lane));
        connections.connected(Lane::Low);
        assert_eq!(connections.missing(), []);
        connections.ended(Lane::Low);
        connections.lost(Lane::High, &std::io::Error::other("gone"), Duration::ZERO);
        assert_eq!(connections.missing(), [Lane::High, Lane::Low]);
    }
}
