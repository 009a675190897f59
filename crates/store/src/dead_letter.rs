//! Dead letters: jobs that need a person, filed with all that is known about why.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane};
use uuid::Uuid;

use crate::StoreError;

/// Most letters of one listing or decision.
pub const MAX_LETTERS: usize = 1_000;

/// Text in a letter is shown to people up to this many bytes; the original is kept.
pub const MAX_SHOWN_BYTES: usize = 4 << 10;

/// A message to file.
#[derive(Clone, Debug)]
pub struct NewDeadLetter {
    /// What it says, if it can be read.
    pub job: Option<Job>,
    /// The message as it was published.
    pub raw: Vec<u8>,
    /// The lane that it came from.
    pub lane: Option<Lane>,
    /// Why it is dead: a code, a colon, and what there is to say, such as
    /// `permanent: the scope key is not that of the reader`.
    pub reason: String,
    /// Deliveries that ended in a failure.
    pub attempts: u32,
    /// What travelled with the message.
    pub headers: Value,
    /// The last error, outermost first.
    pub error_chain: Vec<String>,
    /// When it died.
    pub died_at: Timestamp,
}

/// A filed message, as people see it: what looks like a credential is not shown, and what is long
/// is shortened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Names the letter.
    pub no: i64,
    /// The job, if the message named one.
    pub job: Option<Uuid>,
    /// Its generation.
    pub generation: u32,
    /// Its kind.
    pub kind: Option<String>,
    /// The lane that it came from.
    pub lane: Option<Lane>,
    /// Whose data.
    pub tenant: Option<String>,
    /// Which product.
    pub product: Option<String>,
    /// Release that created the job.
    pub release: Option<String>,
    /// Why it is dead.
    pub reason: String,
    /// The code that `reason` begins with.
    pub code: String,
    /// The last error, outermost first.
    pub error_chain: Vec<String>,
    /// Deliveries that ended in a failure.
    pub attempts: u32,
    /// What travelled with the message.
    pub headers: Value,
    /// The work; the whole message if it could not be read.
    pub payload: Value,
    /// When it died.
    pub died_at: Timestamp,
    /// What was decided.
    pub state: DeadState,
    /// When that was.
    pub decided_at: Option<Timestamp>,
    /// By whom.
    pub decided_by: Option<String>,
}

/// What became of a letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadState {
    /// Nobody has decided.
    #[default]
    Open,
    /// Its job was put once more.
    Requeued,
    /// Its job is given up.
    Discarded,
}

/// Which letters are meant: those that fit everything said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadFilter {
    /// Of which product.
    pub product: Option<String>,
    /// Whose.
    pub tenant: Option<String>,
    /// Of which kind.
    pub kind: Option<String>,
    /// With which code.
    pub code: Option<String>,
    /// In which state. Decisions are about open letters, whatever is said here.
    pub state: DeadState,
    /// That died before.
    pub older_than: Option<Timestamp>,
    /// That died since.
    pub newer_than: Option<Timestamp>,
    /// One of these, unless there are none.
    pub numbers: Vec<i64>,
    /// With a greater number.
    pub after: Option<i64>,
    /// At most so many, oldest first; never more than [`MAX_LETTERS`]. Counting ignores it.
    pub limit: usize,
}

// === impl DeadState ===

impl DeadState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Open, Self::Requeued, Self::Discarded];

    /// Returns the state's name in documents and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Requeued => "requeued",
            Self::Discarded => "discarded",
        }
    }

    /// Returns the state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

// === impl DeadFilter ===

impl Default for DeadFilter {
    /// All open letters, as many as one listing has.
    fn default() -> Self {
        Self {
            product: None,
            tenant: None,
            kind: None,
            code: None,
            state: DeadState::Open,
            older_than: None,
            newer_than: None,
            numbers: Vec::new(),
            after: None,
            limit: MAX_LETTERS,
        }
    }
}

/// Dead letters and what people decide about them.
#[async_trait]
pub trait DeadLetters {
    /// Files messages; their jobs and batches are then [`Dead`](crate::JobState::Dead). Returns how
    /// many letters are new: the same job and generation, or the same unreadable message, is filed
    /// once. A job that has ended by another delivery needs no letter.
    ///
    /// # Errors
    /// Nothing was filed.
    async fn file(&self, letters: Vec<NewDeadLetter>, now: Timestamp) -> Result<usize, StoreError>;

    /// Lists letters, oldest first.
    ///
    /// # Errors
    /// The store can't be read.
    async fn dead_letters(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>, StoreError>;

    /// Counts letters.
    ///
    /// # Errors
    /// The store can't be read.
    async fn count_dead(&self, filter: &DeadFilter) -> Result<u64, StoreError>;

    /// Puts the jobs of open letters once more: same id, next generation, no attempt counted, for
    /// stable workers, without a deadline. Returns how many. What is no job, or whose batch has no
    /// payload any more, is left as it is.
    ///
    /// # Errors
    /// The store can't be written; some may have been put.
    async fn requeue_dead(
        &self,
        filter: &DeadFilter,
        by: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Gives up open letters; their jobs have failed then. Returns how many.
    ///
    /// # Errors
    /// The store can't be written; some may have been given up.
    async fn discard_dead(
        &self,
        filter: &DeadFilter,
        by: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
}
