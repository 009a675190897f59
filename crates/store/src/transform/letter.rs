//! What makes a dead letter one of its own, and what is kept of it.

use sha2::{Digest as _, Sha256};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{INGEST, Job};
use uuid::Uuid;

use crate::transform::message::{Line, next_generation};
use crate::{DeadFilter, DeadState, MAX_LETTERS, NewDeadLetter, StoreError};

/// The code of a reason that begins with none.
const OTHER: &str = "other";

/// Longest code.
const MAX_CODE: usize = 32;

/// Letters decided about in one transaction.
const STEP: usize = 64;
/// Longest reason, and longest line of an error chain, in bytes.
const MAX_TEXT: usize = 4 << 10;

/// Most lines of an error chain that are kept: the outermost.
const MAX_CHAIN: usize = 16;

/// A letter with all that can be made of it before the transaction.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Job and generation, or a digest of the message.
    pub(crate) key: Vec<u8>,
    pub(crate) job: Option<Named>,
    pub(crate) lane: Option<&'static str>,
    pub(crate) reason: String,
    pub(crate) code: String,
    /// JSON.
    pub(crate) error_chain: String,
    pub(crate) attempts: u32,
    /// JSON.
    pub(crate) headers: String,
    pub(crate) raw: Vec<u8>,
    pub(crate) died_at: Timestamp,
}

/// What a letter keeps of its job.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) id: Uuid,
    pub(crate) generation: u32,
    pub(crate) kind: String,
    pub(crate) tenant: String,
    pub(crate) product: String,
    pub(crate) release: Option<String>,
}

/// A letter whose job can be put once more.
pub(crate) struct Redo {
    pub(crate) no: i64,
    pub(crate) job: Uuid,
    /// Of the letter.
    pub(crate) generation: u32,
    pub(crate) is_batch: bool,
    pub(crate) line: Line,
}

/// A decision about many letters, in transactions that stay short.
pub(crate) struct Steps {
    filter: DeadFilter,
    left: u64,
    pub(crate) done: u64,
    over: bool,
}

// === impl Letter ===

impl Letter {
    pub(crate) fn of(new: NewDeadLetter) -> Result<Self, StoreError> {
        let lane = new.lane.or(new.job.as_ref().map(|job| job.lane));
        let raw = match (&new.job, new.raw.is_empty()) {
            (Some(job), true) => serde_json::to_vec(job)?,
            _ => new.raw,
        };
        Ok(Self {
            key: key(new.job.as_ref(), &raw),
            job: new.job.map(Named::of),
            lane: lane.map(tidegate_core::job::Lane::as_str),
            code: code(&new.reason).to_owned(),
            reason: cut(&new.reason).to_owned(),
            error_chain: chain(&new.error_chain)?,
            attempts: new.attempts,
            headers: new.headers.to_string(),
            raw,
            died_at: new.died_at,
        })
    }
}

// === impl Named ===

impl Named {
    fn of(job: Job) -> Self {
        let Job { id, generation, kind, tenant, product, release, .. } = job;
        Self { id, generation, kind, tenant, product, release }
    }
}

// === impl Redo ===

impl Redo {
    pub(crate) fn of(no: i64, job: Job) -> Result<Self, StoreError> {
        let (id, generation, is_batch) = (job.id, job.generation, job.kind == INGEST);
        let line = Line::job(next_generation(job))?;
        Ok(Self { no, job: id, generation, is_batch, line })
    }
}

// === impl Steps ===

impl Steps {
    pub(crate) fn of(filter: &DeadFilter) -> Self {
        let filter = DeadFilter { state: DeadState::Open, ..filter.clone() };
        Self { left: filter.limit.min(MAX_LETTERS) as u64, filter, done: 0, over: false }
    }

    /// Returns which letters are next.
    pub(crate) fn next(&self) -> Option<DeadFilter> {
        let limit = usize::try_from(self.left).unwrap_or(STEP).min(STEP);
        let more = !self.over && limit > 0;
        more.then(|| DeadFilter { limit, ..self.filter.clone() })
    }

    /// Goes on after the letters that were found, of which some could be decided about.
    pub(crate) fn took(&mut self, found: Vec<i64>, done: u64) {
        self.over = found.is_empty();
        self.filter.after = found.last().copied().or(self.filter.after);
        self.left = self.left.saturating_sub(done);
        self.done += done;
    }
}

/// The lengths of the two kinds of key differ, so that none is taken for one of the other kind.
fn key(job: Option<&Job>, raw: &[u8]) -> Vec<u8> {
    match job {
        Some(job) => {
            [job.id.as_bytes().as_slice(), job.generation.to_be_bytes().as_slice()].concat()
        }
        None => Sha256::digest(raw).to_vec(),
    }
}

fn chain(lines: &[String]) -> Result<String, StoreError> {
    let kept: Vec<&str> = lines.iter().take(MAX_CHAIN).map(|line| cut(line)).collect();
    Ok(serde_json::to_string(&kept)?)
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or(text)
}

/// Returns the code that a reason begins with.
fn code(reason: &str) -> &str {
    let is_code = |code: &&str| {
        (1..=MAX_CODE).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    reason.split_once(':').map(|(code, _)| code).filter(is_code).unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_chain_is_kept_no_further_than_it_can_be_read() {
        let lines = vec!["ü".repeat(MAX_TEXT); MAX_CHAIN + 1];
        let kept: Vec<String> = serde_json::from_str(&chain(&lines).unwrap()).unwrap();
        assert_eq!(kept, vec!["ü".repeat(MAX_TEXT / 2); MAX_CHAIN]);
    }

    #[test]
    fn a_reason_s_code_stands_before_its_colon() {
        assert_eq!(code("unknown_kind: 'dance'"), "unknown_kind");
        for none in ["", ":", "no colon", "Not a code: x", "http://host"] {
            let expected = if none == "http://host" { "http" } else { OTHER };
            assert_eq!(code(none), expected, "{none}");
        }
    }
}
