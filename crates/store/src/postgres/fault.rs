//! What can go wrong in a transaction, and what is done about it.

use std::error::Error;
use std::time::Duration;

use tidegate_core::backoff::Backoff;
use tokio_postgres::error::SqlState;

use crate::StoreError;

/// Times that a transaction is begun anew before the caller is told to come later.
const TRIES: u32 = 10;

/// Pause before it is. Those that met each other part by chance.
const BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(5), cap: Duration::from_millis(500) };

/// Why a transaction did not come about.
#[derive(Debug)]
pub(super) enum Fault {
    /// Another transaction was in the way, or the connection went: beginning anew is right. If the
    /// connection went while the commit was under way, the transaction may have happened: who
    /// begins anew has to see that.
    Again(tokio_postgres::Error),
    /// The server did not answer in time; it was told to give up.
    Late,
    /// A number leaves its range, or text is of a kind that can't be stored: the data is at fault.
    Data(String),
    /// Anything else.
    Store(StoreError),
}

/// The server can't be used at present.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Unusable {
    what: String,
    #[source]
    source: Option<tokio_postgres::Error>,
}

/// Does an operation until it is not in the way of another. It must be one that may happen twice.
pub(super) async fn retried<T, F>(operation: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, Fault>>,
{
    let mut tries = 0;
    loop {
        match operation().await {
            Ok(done) => return Ok(done),
            Err(Fault::Again(cause)) if tries < TRIES => {
                let pause = BACKOFF.jittered(tries);
                tries += 1;
                tracing::debug!(
                    error = chain(&cause),
                    transaction.tries = tries,
                    transaction.pause_ms = pause.as_millis(),
                    "Transaction was begun anew.",
                );
                tokio::time::sleep(pause).await;
            }
            Err(fault) => return Err(fault.into()),
        }
    }
}

/// Says that the server can't be used.
pub(super) fn unusable(what: impl Into<String>) -> StoreError {
    StoreError::Unavailable(Box::new(Unusable { what: what.into(), source: None }))
}

/// Returns what an error and its causes say, the outermost first.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some errors repeat their cause's text.
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

fn unavailable(error: tokio_postgres::Error) -> StoreError {
    let what = "the database server can't be used".to_owned();
    StoreError::Unavailable(Box::new(Unusable { what, source: Some(error) }))
}

// === impl Fault ===

impl Fault {
    /// Says what it means that no connection came about.
    pub(super) fn of_connecting(error: tokio_postgres::Error, server: &str) -> Self {
        Self::Store(match Self::from(error) {
            // The next attempt may come at once, and find the server as absent as this one did.
            Self::Again(source) => StoreError::Unavailable(Box::new(Unusable {
                what: format!("{server} can't be reached"),
                source: Some(source),
            })),
            Self::Store(StoreError::Misconfigured(what)) => {
                StoreError::Misconfigured(format!("{server}: {what}"))
            }
            Self::Late => unusable(format!("{server} did not answer in time")),
            Self::Data(what) => StoreError::Misconfigured(format!("{server}: {what}")),
            Self::Store(error) => error,
        })
    }

    fn of_state(error: tokio_postgres::Error, state: &SqlState) -> Self {
        let said =
            || error.as_db_error().map_or_else(String::new, |said| said.message().to_owned());
        match *state {
            SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Again(error),
            _ if is_stale(state) => Self::Again(error),
            SqlState::QUERY_CANCELED => Self::Late,
            SqlState::DISK_FULL => Self::Store(StoreError::Full),
            SqlState::INVALID_PASSWORD
            | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            | SqlState::INVALID_CATALOG_NAME
            | SqlState::INSUFFICIENT_PRIVILEGE => Self::Store(StoreError::Misconfigured(said())),
            // A key that is too long for an index is of the same kind.
            SqlState::CHECK_VIOLATION | SqlState::PROGRAM_LIMIT_EXCEEDED => Self::Data(said()),
            _ => match state.code().get(..2) {
                Some("08") => Self::Again(error),
                Some("22") => Self::Data(said()),
                Some("42") => Self::Store(StoreError::Corrupt { what: "schema", reason: said() }),
                _ => Self::Store(unavailable(error)),
            },
        }
    }
}

/// Returns whether a statement was prepared for tables that have changed since.
pub(super) fn is_stale(state: &SqlState) -> bool {
    [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME].contains(state)
}

fn causes(error: &tokio_postgres::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

/// rustls hides within an I/O error what it found.
fn is_untrusted(error: &tokio_postgres::Error) -> bool {
    causes(error).any(|cause| {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>())
    })
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(state) = error.code().cloned() {
            return Self::of_state(error, &state);
        }
        if is_untrusted(&error) {
            return Self::Store(StoreError::Misconfigured(chain(&error)));
        }
        // A time-out of connecting has no cause.
        let transport = error.is_closed()
            || error.source().is_none()
            || causes(&error).any(|cause| cause.is::<std::io::Error>());
        if transport {
            Self::Again(error)
        } else {
            Self::Store(StoreError::Misconfigured(chain(&error)))
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Again(error) => unavailable(error),
            Fault::Late => unusable("the database server took too long"),
            Fault::Data(reason) => Self::Corrupt { what: "value", reason },
            Fault::Store(error) => error,
        }
    }
}
