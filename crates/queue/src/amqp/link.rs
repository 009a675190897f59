//! A connection that is made again whenever it ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::{Channel, Connection, Event};
use tidegate_core::backoff::Backoff;
use tidegate_core::clock::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connect::{Knife, connect};
use super::settings::Settings;
use super::{PATIENCE, policy, topology};
use crate::{QueueError, QueueState};

/// Pause before the next attempt. The bound doubles from the first to the second.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) };

/// A connection that lasted so long did not fail at once: the next attempt follows soon.
const LASTED: Duration = Duration::from_secs(10);

/// How often to look at the connection: the library does not tell of everything.
const LOOK: Duration = Duration::from_secs(1);

/// A connection that others make channels on.
pub(super) struct Link {
    settings: Arc<Settings>,
    /// What it is for: people see it at the broker.
    purpose: &'static str,
    state: watch::Sender<State>,
}

/// What there is of a link at present.
#[derive(Clone)]
pub(super) enum State {
    /// No attempt has ended yet.
    New,
    Down {
        since: Timestamp,
        error: String,
    },
    Up {
        live: Arc<Live>,
        /// Since when the broker takes nothing in, and why.
        blocked: Option<(Timestamp, String)>,
    },
}

/// A connection, from its start until it is lost. It is closed when nobody holds it any more.
pub(super) struct Live {
    connection: Connection,
    knife: Knife,
    /// Somebody found that it is of no use.
    given_up: CancellationToken,
}

// === impl Link ===

impl Link {
    pub(super) fn new(settings: Arc<Settings>, purpose: &'static str) -> Self {
        Self { settings, purpose, state: watch::Sender::new(State::New) }
    }

    /// Keeps the connection until the task is ended.
    pub(super) async fn run(self: Arc<Self>) {
        let (mut attempts, mut failures) = (0, 0);
        loop {
            match self.connect(attempts).await {
                Ok(live) => {
                    let since = Instant::now();
                    tracing::info!(
                        queue.server = self.settings.server(),
                        queue.link = self.purpose,
                        "Broker was connected.",
                    );
                    let live = Arc::new(live);
                    self.state.send_replace(State::Up { live: Arc::clone(&live), blocked: None });
                    self.down(self.watch(&live).await);
                    live.knife.cut();
                    if since.elapsed() >= LASTED {
                        failures = 0;
                    }
                }
                Err(error) => self.down(error),
            }
            attempts += 1;
            sleep(BACKOFF.jittered(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    async fn connect(&self, attempt: usize) -> Result<Live, String> {
        let login = self.settings.login(attempt)?;
        let name = format!("{} {}", self.settings.names.prefix(), self.purpose);
        let account = policy::Account::of(&login.uri);
        let (connection, knife) = connect(login, &name).await?;
        let live = Live { connection, knife, given_up: CancellationToken::new() };
        // Before the queues: some limits count from the first message on.
        if let Some(management) = &self.settings.management
            && let Err(error) = policy::apply(management, &account, &self.settings.names).await
        {
            // Everything works without limits, and nothing would without a connection.
            tracing::warn!(error = error, "Policies could not be set.");
        }
        if let Err(error) = live.declare(&self.settings).await {
            live.knife.cut();
            return Err(error);
        }
        Ok(live)
    }

    /// Waits until the connection is lost; returns why.
    async fn watch(&self, live: &Live) -> String {
        let mut events = Box::pin(live.connection.events_listener());
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reason = "the connection was closed".to_owned();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => self.block(Some(reason)),
                    Some(Event::ConnectionUnblocked) => self.block(None),
                    Some(Event::Error(error)) => {
                        reason = error.to_string();
                        // A channel's errors are its user's.
                        if !live.connection.status().connected() {
                            return reason;
                        }
                    }
                    Some(_) => {}
                    None => return reason,
                },
                _ = looks.tick() => {
                    let status = live.connection.status();
                    if !status.connected() {
                        return reason;
                    }
                    // In case the event came before anyone listened.
                    if status.blocked() {
                        self.block(Some("it did not say why".to_owned()));
                    }
                }
                () = live.given_up.cancelled() => {
                    return format!("no answer within {} s", PATIENCE.as_secs());
                }
            }
        }
    }

    fn block(&self, reason: Option<String>) {
        self.state.send_if_modified(|state| {
            let State::Up { blocked, .. } = state else { return false };
            if blocked.is_some() == reason.is_some() {
                return false;
            }
            match &reason {
                Some(reason) => tracing::warn!(queue.reason = reason, "Broker takes nothing in."),
                None => tracing::info!("Broker takes messages in again."),
            }
            *blocked = reason.map(|reason| (Timestamp::now(), reason));
            true
        });
    }

    fn down(&self, error: String) {
        self.state.send_modify(|state| {
            // Failing again for the same reason is no news: people want to know since when.
            let (since, known) = match state {
                State::Down { since, error: before } => (*since, *before == error),
                State::New | State::Up { .. } => (Timestamp::now(), false),
            };
            if !known {
                tracing::warn!(
                    error = error,
                    queue.server = self.settings.server(),
                    queue.link = self.purpose,
                    "Broker is not connected.",
                );
            }
            *state = State::Down { since, error };
        });
    }

    /// Waits until the first attempt to connect has ended.
    pub(super) async fn settled(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as this link.
        state.wait_for(|state| !matches!(state, State::New)).await.map(drop).ok();
    }

    /// Returns the connection.
    ///
    /// # Errors
    /// There is none at present.
    pub(super) fn live(&self) -> Result<Arc<Live>, QueueError> {
        match &*self.state.borrow() {
            State::Up { live, .. } => Ok(Arc::clone(live)),
            State::Down { error, .. } => Err(self.unavailable(error.clone())),
            State::New => Err(self.unavailable("not connected yet".to_owned())),
        }
    }

    /// Returns the connection, if the broker takes messages in.
    ///
    /// # Errors
    /// There is none at present, or the broker takes nothing in.
    pub(super) fn open(&self) -> Result<Arc<Live>, QueueError> {
        self.state().check().map_err(|reason| self.unavailable(reason))?;
        self.live()
    }

    /// Waits until the broker takes nothing in; returns what to tell those who publish.
    pub(super) async fn blocked(&self) -> QueueError {
        let mut state = self.state.subscribe();
        // The sender lives as long as this link.
        state.wait_for(|state| matches!(state, State::Up { blocked: Some(_), .. })).await.ok();
        drop(state);
        let reason = self.state().check().err();
        self.unavailable(reason.unwrap_or_else(|| "it took nothing in for a moment".to_owned()))
    }

    pub(super) fn state(&self) -> QueueState {
        match &*self.state.borrow() {
            State::New => QueueState::Disconnected {
                since: Timestamp::now(),
                error: "not connected yet".to_owned(),
            },
            State::Down { since, error } => {
                QueueState::Disconnected { since: *since, error: error.clone() }
            }
            State::Up { blocked: Some((since, reason)), .. } => {
                QueueState::Blocked { since: *since, reason: reason.clone() }
            }
            State::Up { blocked: None, .. } => QueueState::Connected,
        }
    }

    pub(super) fn is_new(&self) -> bool {
        matches!(&*self.state.borrow(), State::New)
    }

    pub(super) fn unavailable(&self, reason: String) -> QueueError {
        QueueError::Unavailable { server: self.settings.server(), reason }
    }
}

// === impl Live ===

impl Live {
    /// Makes a channel.
    ///
    /// # Errors
    /// The connection was lost.
    pub(super) async fn channel(&self) -> Result<Channel, QueueError> {
        self.within(self.connection.create_channel()).await
    }

    /// Bounds a call to the broker. One that gets no answer gives the connection up: whatever
    /// hangs, the next one may not.
    ///
    /// # Errors
    /// The call failed, or got no answer.
    pub(super) async fn within<T>(
        &self,
        call: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, QueueError> {
        match timeout(PATIENCE, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "Call to the broker failed.");
                Err(QueueError::Disconnected)
            }
            Err(_) => {
                self.give_up();
                Err(QueueError::TimedOut(PATIENCE))
            }
        }
    }

    /// Says that the connection is of no use.
    pub(super) fn give_up(&self) {
        self.given_up.cancel();
        self.knife.cut();
    }

    /// Declares what is missing, as far as that is possible.
    pub(super) async fn declare_again(&self, link: &Link) {
        if let Err(error) = self.declare(&link.settings).await {
            tracing::warn!(error = error, "Missing queues could not be declared.");
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    async fn declare(&self, settings: &Settings) -> Result<(), String> {
        let channel = timeout(PATIENCE, self.connection.create_channel()).await;
        let channel = channel.map_err(|_| "no answer".to_owned())?.map_err(|e| e.to_string())?;
        let declared = timeout(PATIENCE, topology::declare(&channel, &settings.names)).await;
        declared.map_err(|_| "no answer while queues were declared".to_owned())?
    }
}
