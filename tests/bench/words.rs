//! The words of the command line.

use std::path::PathBuf;

/// What to measure, and with which binary.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    /// The `tidegate` binary.
    pub(crate) tidegate: PathBuf,
    /// One part instead of all.
    only: Option<Part>,
    /// With five million rows.
    pub(crate) extent: Extent,
    /// What the stacks keep their data in.
    pub(crate) backends: Backends,
    /// One JSON object instead of a table.
    pub(crate) json: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Up to a million rows.
    Usual,
    /// Five million too.
    Long,
}

/// What keeps rows and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backends {
    /// Files in the data directory.
    Embedded,
    /// PostgreSQL and RabbitMQ, which `tests/support/servers.sh` has started.
    Servers,
}

/// A group of figures that share a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Rows in, through the edge.
    Ingest,
    /// From accepted to visible.
    Freshness,
    /// Reads at the api: uncached, and 304.
    Reads,
    /// Reads at the edge, from its cache.
    Edge,
    /// How long `up` takes, and what it holds.
    Start,
    /// From a stale hit to the edge's refreshed response, through queue and worker.
    Refresh,
}

// === impl Words ===

impl Words {
    /// Reads the words.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            tidegate: beside_us()?,
            only: None,
            extent: Extent::Usual,
            backends: Backends::Embedded,
            json: false,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--tidegate" => parsed.tidegate = value()?.into(),
                "--only" => parsed.only = Some(Part::parse(&value()?)?),
                "--long" => parsed.extent = Extent::Long,
                "--servers" => parsed.backends = Backends::Servers,
                "--json" => parsed.json = true,
                _ => return Err(format!("'{word}' is not known; {}", usage())),
            }
        }
        if !parsed.tidegate.exists() {
            return Err(format!("{} is not there; build it first", parsed.tidegate.display()));
        }
        Ok(parsed)
    }

    /// Returns whether a part is to be measured.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

fn usage() -> String {
    let parts = Part::ALL.map(Part::name).join("|");
    format!("bench [--tidegate PATH] [--only {parts}] [--long] [--servers] [--json]")
}

fn beside_us() -> Result<PathBuf, String> {
    let us = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(us.with_file_name("tidegate"))
}

// === impl Part ===

impl Part {
    /// All of them, in the order in which they are measured.
    pub(crate) const ALL: [Self; 6] =
        [Self::Start, Self::Ingest, Self::Freshness, Self::Refresh, Self::Reads, Self::Edge];

    /// Returns its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Freshness => "freshness",
            Self::Reads => "reads",
            Self::Edge => "edge",
            Self::Start => "start",
            Self::Refresh => "refresh",
        }
    }

    fn parse(name: &str) -> Result<Self, String> {
        let part = Self::ALL.into_iter().find(|part| part.name() == name);
        part.ok_or_else(|| format!("there is no part '{name}'; {}", usage()))
    }
}
