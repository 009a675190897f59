//! Why a body, stored rows, a fold or an answer was refused.

/// A request's body was refused as a whole; the message is the client's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is not JSON.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line in the body, from 1.
        line: usize,
        /// Byte within the line, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// The body is not UTF-8.
    #[error("the body must be UTF-8; byte {at} is not")]
    NotUtf8 {
        /// How many bytes are.
        at: usize,
    },
    /// More rows than the dataset takes at once.
    #[error("more than {max} rows; send them in several requests")]
    TooManyRows {
        /// The dataset's `max_batch_rows`.
        max: usize,
    },
}

/// Bytes are not rows of this dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a build that knows more.
    #[error("rows of format {0}, which this build does not know")]
    Version(u8),
    /// Cut off.
    #[error("the bytes end too early")]
    Truncated,
    /// Not what the dataset's columns say.
    #[error("column {0} is not of the dataset's type")]
    Column(usize),
    /// Not rows at all.
    #[error("the bytes are damaged")]
    Damaged,
}

/// A number of a group left the range of 64 bits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sum of view '{view}' does not fit into 64 bits in group {group}")]
pub struct Overflow {
    /// The view.
    pub view: String,
    /// The group's values.
    pub group: String,
}

/// What was found can't be answered; the message is the client's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// More rows than the endpoint answers with.
    #[error("the answer has more than {max} rows; ask for a shorter range or a wider step")]
    TooManyRows {
        /// The endpoint's `max_rows`.
        max: usize,
    },
    /// Merged buckets leave the range of 64 bits.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}
