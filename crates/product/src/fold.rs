//! Folds new rows into one delta for each group of a view.

/// A value in a group's name or of an aggregate, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Absent.
    Null,
    /// Text.
    Text(String),
    /// Integer, scaled decimal, microseconds or boolean.
    Int(i64),
    /// Float.
    Float(f64),
}

/// What a batch adds to one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// The group's dimensions in `group_by` order, then the bucket's start if the view has one.
    pub group: Vec<Value>,
    /// Number of rows.
    pub rows: i64,
    /// One for each of [`View::stored`](crate::contract::View::stored).
    pub stored: Vec<Value>,
}
