//! The journal of a rollout: what happened and what was wanted, on disk before anyone acts on it.
//!
//! A line holds one record: length and checksum of its JSON, then the JSON. A crash can tear only
//! the last line, as the next is written when the last one is on disk; it was never acted on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_core::clock::Timestamp;
use tidegate_core::scope::hex;

use crate::rollout::event::{Event, Intent};
use crate::rollout::guard::Guards;
use crate::rollout::plan::Plan;
use crate::rollout::state::State;

/// Hex digits of SHA-256 that a line carries: 64 bits find torn and rotten lines; they are no
/// defence against a forger.
const CHECKSUM_DIGITS: usize = 16;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Life of the control that wrote it.
    pub epoch: u64,
    /// When, by the wall clock: for people, nothing is decided by it.
    pub at: Timestamp,
    /// When, in milliseconds of this life's monotonic clock.
    pub now_ms: u64,
    /// What it says.
    pub entry: Entry,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A rollout begins.
    Begun {
        /// What is to be done.
        plan: Box<Plan>,
        /// Names of the edges.
        edges: Vec<String>,
    },
    /// This is about to be done.
    Intent(Intent),
    /// This happened: it was observed, judged or said.
    Happened(Event),
}

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It can't be read or written: see to permissions and space, then start control anew.
    #[error("the journal can't be read or written")]
    Io(#[source] io::Error),
    /// A line before the last is damaged: the disk or someone changed it.
    #[error("the journal is damaged at byte {0}")]
    Damaged(usize),
    /// A record does not follow from those before it.
    #[error("record {0} of the journal does not follow from those before it")]
    Order(usize),
    /// A later life of control has written to it: this one must end.
    #[error("epoch {offered} may not write: epoch {present} has written")]
    Fenced {
        /// Of the record.
        offered: u64,
        /// Of the last record.
        present: u64,
    },
    /// An earlier write failed; what is on disk is unknown until it is read anew.
    #[error("an earlier write to the journal failed")]
    Broken,
}

/// An open journal. One process writes: the lock of the state directory sees to that.
#[derive(Debug)]
pub struct Journal {
    file: File,
    epoch: u64,
    broken: bool,
}

// === impl Record ===

impl Record {
    /// Writes the record as a line.
    pub fn encode(&self) -> String {
        let json = serde_json::to_string(self)
            .expect("a record must serialize: it holds text, numbers and maps with text keys");
        format!("{} {} {json}\n", json.len(), checksum(json.as_bytes()))
    }

    fn decode(line: &[u8]) -> Option<Self> {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let length: usize = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let sum = parts.next()?;
        let json = parts.next()?;
        if json.len() != length || sum != checksum(json).as_bytes() {
            return None;
        }
        serde_json::from_slice(json).ok()
    }
}

/// Reads lines up to a torn one, and tells how many bytes are whole.
///
/// # Errors
/// A line before the last is damaged.
pub fn decode(bytes: &[u8]) -> Result<(Vec<Record>, usize), JournalError> {
    let mut records = Vec::new();
    let mut whole = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(record) = line.strip_suffix(b"\n").and_then(Record::decode) else {
            let last = whole + line.len() == bytes.len();
            return if last { Ok((records, whole)) } else { Err(JournalError::Damaged(whole)) };
        };
        records.push(record);
        whole += line.len();
    }
    Ok((records, whole))
}

/// Returns the state after the records, none if no rollout has begun.
///
/// Whoever goes on first takes in [`Event::Resumed`] with a higher epoch: its first intent is to
/// read back what edges do.
///
/// # Errors
/// A record does not follow from those before it.
pub fn resume(records: &[Record]) -> Result<Option<State>, JournalError> {
    resume_under(Guards::ALL, records)
}

pub(crate) fn resume_under(
    guards: Guards,
    records: &[Record],
) -> Result<Option<State>, JournalError> {
    let mut state: Option<State> = None;
    let mut epoch = 0;
    for (number, record) in records.iter().enumerate() {
        if record.epoch < epoch {
            return Err(JournalError::Order(number));
        }
        epoch = record.epoch;
        state = match (&record.entry, state.take()) {
            (Entry::Begun { plan, edges }, before) => {
                if before.is_some_and(|state| !state.phase().is_final()) {
                    return Err(JournalError::Order(number));
                }
                Some(State::new((**plan).clone(), edges.iter().cloned(), epoch))
            }
            (_, None) => return Err(JournalError::Order(number)),
            (Entry::Intent(_), present) => present,
            (Entry::Happened(event), Some(state)) => {
                let now = Duration::from_millis(record.now_ms);
                Some(state.step_under(guards, event, now).0)
            }
        };
    }
    Ok(state)
}

// === impl Journal ===

impl Journal {
    /// Opens or creates a journal, cuts off a torn line, and returns what it holds.
    ///
    /// # Errors
    /// It can't be read or written, or is damaged.
    pub fn open(path: &Path) -> Result<(Self, Vec<Record>), JournalError> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(JournalError::Io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(JournalError::Io)?;
        let (records, whole) = decode(&bytes)?;
        let settle = |file: &mut File| {
            let whole = u64::try_from(whole).map_err(io::Error::other)?;
            file.set_len(whole)?;
            file.seek(SeekFrom::Start(whole))?;
            file.sync_all()?;
            // A new file is only on disk with its directory.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        settle(&mut file).map_err(JournalError::Io)?;
        let epoch = records.last().map_or(0, |record| record.epoch);
        Ok((Self { file, epoch, broken: false }, records))
    }

    /// Appends a record; it is on disk when this returns.
    ///
    /// # Errors
    /// It is not on disk, and must not be acted on.
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError::Broken);
        }
        if record.epoch < self.epoch {
            return Err(JournalError::Fenced { offered: record.epoch, present: self.epoch });
        }
        let line = record.encode();
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // After a failed sync the kernel may have dropped what it could not write.
            self.broken = true;
            return Err(JournalError::Io(error));
        }
        self.epoch = record.epoch;
        Ok(())
    }
}

fn checksum(json: &[u8]) -> String {
    hex(&Sha256::digest(json)[..CHECKSUM_DIGITS / 2])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

    use super::*;
    use crate::rollout::event::{Check, Task, Verdict, Word};
    use crate::rollout::plan::Gate;
    use crate::rollout::plan::tests::plan;

    fn record(epoch: u64, now_ms: u64, entry: Entry) -> Record {
        Record { epoch, at: Timestamp(0), now_ms, entry }
    }

    fn begun() -> Record {
        let edges = vec!["e0".to_owned(), "e1".to_owned()];
        record(1, 0, Entry::Begun { plan: Box::new(plan()), edges })
    }

    fn events() -> impl Strategy<Value = Event> {
        let who = || "ada".to_owned();
        let tasks =
            [Task::Stage, Task::StartCanary, Task::Verify, Task::ReleaseEdges, Task::StopCanary];
        let words = [Word::Hold, Word::Resume, Word::Resume, Word::Abort];
        let verdicts = [Verdict::Pass, Verdict::Pass, Verdict::Hold];
        let gates = prop::sample::select(Gate::ALL.to_vec());
        prop_oneof![
            4 => gates.prop_map(|gate| {
                Event::Gate { gate, found: plan().gates[&gate].clone(), passed: true }
            }),
            4 => prop::sample::select(tasks.to_vec()).prop_map(|task| Event::Done { task }),
            1 => prop::sample::select(words.to_vec())
                .prop_map(move |word| Event::Said { who: who(), word }),
            4 => (0..4usize, prop::sample::select(verdicts.to_vec())).prop_map(|(stage, verdict)| {
                Event::Verdict { artifact: plan().artifact, stage, verdict }
            }),
            8 => (0..2, 1..3u64, 0..6u64).prop_map(|(edge, epoch, generation)| {
                Event::Acked { edge: format!("e{edge}"), epoch, generation }
            }),
            1 => prop::sample::select(Check::ALL.to_vec())
                .prop_map(|check| Event::Checked { check }),
            2 => any::<bool>().prop_map(|_| Event::Tick),
            1 => (1..4u64).prop_map(|epoch| Event::Resumed { epoch }),
        ]
    }

    proptest! {
        #[test]
        fn every_prefix_resumes_to_the_state_before_the_crash(
            events in prop::collection::vec(events(), 0..60),
            torn in 1..40usize,
        ) {
            let mut bytes = begun().encode().into_bytes();
            let mut live = resume(&[begun()]).unwrap().unwrap();
            for (number, event) in events.into_iter().enumerate() {
                let now_ms = number as u64 * 300_000;
                let (next, intents) = live.step(&event, Duration::from_millis(now_ms));
                live = next;
                let line = record(1, now_ms, Entry::Happened(event)).encode();
                let half = [bytes.as_slice(), &line.as_bytes()[..torn]].concat();
                prop_assert_eq!(decode(&half).unwrap().1, bytes.len());
                bytes.extend(line.bytes());
                for intent in intents {
                    bytes.extend(record(1, now_ms, Entry::Intent(intent)).encode().bytes());
                }
                let (records, whole) = decode(&bytes).unwrap();
                prop_assert_eq!(whole, bytes.len());
                let resumed = resume(&records).unwrap();
                prop_assert_eq!(resumed.as_ref(), Some(&live));
            }
        }
    }

    #[test]
    fn a_torn_line_is_cut_off_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let tick = record(2, 5, Entry::Happened(Event::Tick));
        let (mut journal, found) = Journal::open(&path).unwrap();
        assert_eq!(found, []);
        journal.append(&begun()).unwrap();
        journal.append(&tick).unwrap();
        let refused = journal.append(&record(1, 6, Entry::Happened(Event::Tick)));
        assert!(matches!(refused, Err(JournalError::Fenced { offered: 1, present: 2 })));

        let mut bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, [bytes.as_slice(), b"70 00"].concat()).unwrap();
        let (_, found) = Journal::open(&path).unwrap();
        assert_eq!(found, [begun(), tick]);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);

        bytes[40] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Damaged(0))));
    }
}
