//! The words of the command line.

use crate::naive::{Naive, Order};

/// What a process of this program does.
pub(crate) enum Run {
    /// It breaks things and counts.
    Suite(Words),
    /// It is a consumer that does it wrong, for the suite to break.
    Naive(Naive),
}

/// What to break, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    /// Decides what is killed when.
    pub(crate) seed: u64,
    /// Processes to kill at work.
    pub(crate) kills: usize,
    /// Jobs that must be accepted meanwhile.
    pub(crate) jobs: u64,
    /// One part instead of all.
    only: Option<Part>,
}

/// A kind of fault, with a stack of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// kill -9 of tiers and broker.
    Kills,
    /// The end of a process at each place of the protocol.
    Points,
    /// Consumers that must lose and must do twice.
    Controls,
    /// The broker lacks memory.
    Alarm,
    /// Queues are deleted under their consumers.
    Queues,
    /// The broker hangs.
    Paused,
    /// The broker closes all connections.
    Closed,
    /// The broker takes jobs away from a worker that hangs.
    Timeout,
    /// The network cuts and stalls.
    Network,
    /// PostgreSQL is away for half a minute.
    Database,
    /// RabbitMQ is away when the tiers start.
    Absent,
    /// Workers are asked to end.
    Drain,
}

// === impl Words ===

impl Words {
    /// Reads the words.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Run, String> {
        let mut parsed = Self { seed: 1, kills: 50, jobs: 20_000, only: None };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--seed" => parsed.seed = number(&value()?)?,
                "--kills" => parsed.kills = number(&value()?)?,
                "--jobs" => parsed.jobs = number(&value()?)?,
                "--only" => parsed.only = Some(Part::parse(&value()?)?),
                "naive" => {
                    let (order, store, queue) = (value()?, value()?, value()?);
                    return Ok(Run::Naive(Naive { order: Order::parse(&order)?, store, queue }));
                }
                _ => return Err(format!("'{word}' is not known; {}", usage())),
            }
        }
        Ok(Run::Suite(parsed))
    }

    /// Returns whether a part is to be measured.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is no number; {}", usage()))
}

fn usage() -> String {
    let parts = Part::ALL.map(Part::name).join("|");
    format!("faults [--seed N] [--kills N] [--jobs N] [--only {parts}]")
}

// === impl Part ===

impl Part {
    /// All of them, in the order in which they are measured.
    pub(crate) const ALL: [Self; 12] = [
        Self::Kills,
        Self::Points,
        Self::Controls,
        Self::Alarm,
        Self::Queues,
        Self::Closed,
        Self::Timeout,
        Self::Network,
        Self::Absent,
        Self::Drain,
        Self::Paused,
        Self::Database,
    ];

    /// Returns its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Points => "points",
            Self::Controls => "controls",
            Self::Alarm => "alarm",
            Self::Queues => "queues",
            Self::Paused => "paused",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::Database => "database",
            Self::Absent => "absent",
            Self::Drain => "drain",
        }
    }

    fn parse(name: &str) -> Result<Self, String> {
        let part = Self::ALL.into_iter().find(|part| part.name() == name);
        part.ok_or_else(|| format!("there is no part '{name}'; {}", usage()))
    }
}
