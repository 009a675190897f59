//! What an endpoint reads, takes and answers.

use std::time::Duration;

use tidegate_core::edge_plan::Refresh;
use tidegate_core::param::ParamPlan;

use super::GroupPart;

/// A read that clients may make.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Name in metrics, tags and OpenAPI.
    pub name: String,
    /// Template of the whole path, `/v1/{product}` included.
    pub path: String,
    /// Typed parameters, those of the path first, those that follow from `filter`, `page` and
    /// `top` last.
    pub params: Vec<ParamPlan>,
    /// What each of the parameters does.
    pub bindings: Vec<Binding>,
    /// What is read.
    pub source: Source,
    /// Fields of a response's rows, in order.
    pub select: Vec<Field>,
    /// Only the largest groups of a view.
    pub top: Option<Top>,
    /// Page size of a dataset's rows.
    pub page: Page,
    /// Formats that clients may ask for; the first is the default.
    pub formats: Vec<Format>,
    /// Cache policy.
    pub cache: Cache,
    /// `None`: public.
    pub scope: Option<String>,
    /// Hash of everything the response's shape depends on.
    pub hash: String,
    /// How long the api may take.
    pub timeout: Duration,
    /// Most requests at once; more are refused.
    pub concurrency: usize,
    /// Most rows in a response; an answer that would be longer is refused with 422.
    pub max_rows: usize,
    /// Most requests of one client.
    pub rate: Option<Rate>,
    /// How old the newest data may be.
    pub freshness_slo: Option<Duration>,
}

/// What a parameter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// A part of a group's name must equal it; a bucket's value is aligned to the bucket.
    Part(GroupPart),
    /// A column of the dataset must equal it.
    Column(usize),
    /// Start of the time range, inclusive.
    From,
    /// End of the time range, exclusive.
    To,
    /// Width to which buckets are merged.
    Step,
    /// How many of the largest groups.
    K,
    /// How many rows of a page.
    Limit,
    /// Where a page begins.
    Cursor,
}

/// What an endpoint reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Groups of a view. Positions are those of [`Contract::views`](super::Contract::views).
    View(usize),
    /// Rows of a dataset. Positions are those of
    /// [`Contract::datasets`](super::Contract::datasets).
    Dataset(usize),
}

/// A field of a response's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// A part of a group's name.
    Part(GroupPart),
    /// Position within [`View::measures`](super::View::measures).
    Measure(usize),
    /// Position within [`Dataset::columns`](super::Dataset::columns).
    Column(usize),
}

/// Only the largest groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// Position within [`View::measures`](super::View::measures).
    pub by: usize,
    /// How many if the request does not say.
    pub k: usize,
    /// How many a request may ask for.
    pub k_max: usize,
}

/// Page size of a dataset's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many if the request does not say.
    pub size: usize,
    /// How many a request may ask for.
    pub max: usize,
}

/// A format of response bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON object with the rows under `data`.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header line.
    Csv,
}

/// A number of requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests.
    pub requests: u32,
    /// In what time.
    pub per: Duration,
}

/// Cache policy of an endpoint; spans in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// Freshness lifetime in shared caches; 0: responses are not stored.
    pub ttl_s: u32,
    /// `stale-while-revalidate`.
    pub swr_s: u32,
    /// `stale-if-error`.
    pub sie_s: u32,
    /// Who brings a stale response up to date while it is served.
    pub refresh: Refresh,
}

// === impl Format ===

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Json, Self::Ndjson, Self::Csv];

    /// Returns the word for it in `formats`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// Returns its media type, without parameters.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }
}

/// Returns whether a parameter has a value in every request that is answered.
pub(crate) fn is_always_given(plan: &ParamPlan) -> bool {
    plan.required || plan.default.is_some()
}
