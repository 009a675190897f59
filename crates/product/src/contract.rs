//! A checked contract: what `product.toml` declares, resolved and ready to use.

mod endpoint;

pub(crate) use endpoint::is_always_given;
pub use endpoint::{Binding, Cache, Endpoint, Field, Format, Page, Rate, Source, Top};

use std::collections::HashMap;
use std::time::Duration;

use crate::expr::Expr;
use crate::rule::Rule;

/// A compiled data product.
#[derive(Clone, Debug)]
pub struct Contract {
    /// Product name; the URL begins with `/v1/{name}`.
    pub name: String,
    /// Version as declared, `major.minor.patch`.
    pub version: String,
    /// Hash of the contract's canonical form, 16 hex digits. Equal for files that differ only in
    /// comments, order or spacing.
    pub hash: String,
    /// The file as it was given; compiling it again gives this contract.
    pub source: String,
    /// In declared order.
    pub datasets: Vec<Dataset>,
    /// In declared order.
    pub views: Vec<View>,
    /// In declared order.
    pub endpoints: Vec<Endpoint>,
}

/// Rows that are taken in.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Name in URLs and table names.
    pub name: String,
    /// In declared order: the order of cells in [`Rows`](crate::rows::Rows).
    pub columns: Vec<Column>,
    /// Positions of the columns that identify a row.
    pub key: Vec<usize>,
    /// Position of the event time.
    pub time: usize,
    /// Rows older than this are quarantined as `too_late`.
    pub retention: Option<Duration>,
    /// How long payloads of applied batches are kept for replay.
    pub replay: Duration,
    /// Rows older than the watermark by more than this are applied and counted as late.
    pub late_after: Option<Duration>,
    /// What happens to a batch with bad rows.
    pub on_error: OnError,
    /// Most rows in one request.
    pub max_batch_rows: usize,
    /// Most bytes of one request's body, after decompression.
    pub max_body_bytes: usize,
    /// Columns that are computed from the row as it was sent, before any constraint is looked at.
    pub(crate) transforms: Vec<(usize, Expr)>,
    /// Predicates over the whole row, after the constraints of its columns.
    pub(crate) checks: Vec<Check>,
    /// Position of each column by its name.
    pub(crate) positions: HashMap<String, usize>,
}

/// A predicate that every row must fulfil.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// Name in error messages.
    pub(crate) name: String,
    /// The predicate; a row for which it is false is rejected.
    pub(crate) expr: Expr,
}

/// What happens to a batch with bad rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Bad rows are kept aside with their reasons, the others are applied.
    Quarantine,
    /// One bad row refuses the batch.
    Reject,
}

/// A column of a dataset.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name in rows and tables.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Absent or null is allowed.
    pub nullable: bool,
    /// Which values are allowed.
    pub(crate) rule: Rule,
    /// Seed of the column's part in a row's hash, made from the name: adding or moving a column
    /// leaves the hashes of stored rows as they are.
    pub(crate) seed: u64,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// UTF-8 text; cells are text.
    String,
    /// One of a list of words; cells are text.
    Enum,
    /// Cells are lower-case hyphenated text.
    Uuid,
    /// Cells are integers.
    Int,
    /// Cells are integers scaled by ten to the `scale`.
    Decimal {
        /// Digits after the point.
        scale: u8,
    },
    /// Cells are microseconds since the epoch.
    Timestamp,
    /// Cells are 0 or 1.
    Bool,
    /// Cells are 64-bit floats.
    Float,
}

/// A rollup maintained from a dataset.
#[derive(Clone, Debug)]
pub struct View {
    /// Name in table names and tags.
    pub name: String,
    /// Position of its dataset.
    pub dataset: usize,
    /// The build's name, part of the table's: a changed definition is another build.
    pub build: String,
    /// Positions of the dataset's columns that name a group, in declared order.
    pub group_by: Vec<usize>,
    /// The time bucket, the last part of a group's name.
    pub bucket: Option<Bucket>,
    /// What is stored for each group besides the number of rows, without repetition.
    pub stored: Vec<Stored>,
    /// What readers see.
    pub measures: Vec<Measure>,
    /// Positions within `group_by` whose values make the fine purge tag; empty: coarse tag only.
    pub tags: Vec<usize>,
    /// Orders in which endpoints read groups; a store has an index for each, or its primary key.
    pub access_paths: Vec<Vec<GroupPart>>,
    /// Only rows for which it is true are counted.
    pub(crate) filter: Option<Expr>,
}

/// The time bucket of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Position of the dataset's timestamp column.
    pub column: usize,
    /// Width in microseconds.
    pub every_us: i64,
}

/// A part of a group's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupPart {
    /// Position within `group_by`.
    Dim(usize),
    /// The bucket's start.
    Bucket,
}

/// An aggregate that is kept for each group; every one merges with a later delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    /// Number of rows in which the column is not null.
    Count(usize),
    /// Sum of the column.
    Sum(usize),
    /// Smallest value of the column.
    Min(usize),
    /// Largest value of the column.
    Max(usize),
}

/// A measure as a reader sees it.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Name in responses.
    pub name: String,
    /// How it is made from what is stored. Positions are those of [`View::stored`].
    pub formula: Formula,
    /// Digits after the point in responses; `None` for integers and floats.
    pub scale: Option<u8>,
    /// The value is a float.
    pub float: bool,
}

/// How a measure is made from what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formula {
    /// The number of rows.
    Rows,
    /// One stored aggregate as it is.
    Stored(usize),
    /// A stored sum divided by a stored count, or by the number of rows.
    Ratio {
        /// Position of the sum.
        sum: usize,
        /// Position of the count; `None`: the number of rows.
        count: Option<usize>,
    },
}

// === impl Contract ===

impl Contract {
    /// Returns the dataset called `name` with its position.
    pub fn dataset(&self, name: &str) -> Option<(usize, &Dataset)> {
        self.datasets.iter().enumerate().find(|(_, dataset)| dataset.name == name)
    }

    /// Returns the view called `name` with its position.
    pub fn view(&self, name: &str) -> Option<(usize, &View)> {
        self.views.iter().enumerate().find(|(_, view)| view.name == name)
    }

    /// Returns the endpoint called `name`.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }

    /// Returns the dataset that a view is maintained from.
    pub fn dataset_of(&self, view: &View) -> &Dataset {
        &self.datasets[view.dataset]
    }
}

// === impl Dataset ===

impl Dataset {
    /// Returns the position of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }
}

// === impl View ===

impl View {
    /// Returns how many values name a group: the dimensions, and the bucket if there is one.
    pub fn group_width(&self) -> usize {
        self.group_by.len() + usize::from(self.bucket.is_some())
    }

    /// Returns the position of a part within a group's values.
    pub fn position_of(&self, part: GroupPart) -> usize {
        match part {
            GroupPart::Dim(dim) => dim,
            GroupPart::Bucket => self.group_by.len(),
        }
    }
}

// === impl Bucket ===

impl Bucket {
    /// Returns the start of the bucket that holds a time.
    pub fn start(&self, at_us: i64) -> i64 {
        align_down(at_us, self.every_us)
    }
}

// === impl Stored ===

impl Stored {
    /// Returns the column that is aggregated.
    pub fn column(self) -> usize {
        match self {
            Self::Count(column) | Self::Sum(column) | Self::Min(column) | Self::Max(column) => {
                column
            }
        }
    }

    /// Returns the aggregate's word, the first part of its name in tables and listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Count(_) => "count",
            Self::Sum(_) => "sum",
            Self::Min(_) => "min",
            Self::Max(_) => "max",
        }
    }
}

/// Rounds a time down to a multiple of a width since the epoch.
pub(crate) fn align_down(at_us: i64, every_us: i64) -> i64 {
    at_us.saturating_sub(at_us.rem_euclid(every_us.max(1)))
}
