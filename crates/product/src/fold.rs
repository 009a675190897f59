//! Folds new rows into one delta for each group of a view.

mod aggregate;
mod touched;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use touched::touched_tags;

use crate::contract::{Dataset, GroupPart, View};
use crate::error::Overflow;
use crate::rows::{Cell, Rows};
use aggregate::{Number, Step};

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
    /// One for each of [`View::stored`]. Counts and sums of nothing are 0, the smallest and largest
    /// of nothing are null.
    pub stored: Vec<Value>,
}

/// Folds the selected rows that pass the view's filter: one delta for each group they touch, in
/// the order of the view's first access path.
///
/// # Errors
/// A count or sum leaves the range of 64 bits.
///
/// # Panics
/// A selected row is out of bounds.
pub fn fold(
    view: &View,
    dataset: &Dataset,
    rows: &Rows,
    selected: impl Iterator<Item = usize>,
) -> Result<Vec<Delta>, Overflow> {
    let mut groups = Groups::new(view, rows);
    let steps: Vec<Step<'_>> =
        view.stored.iter().map(|stored| Step::new(*stored, dataset, rows)).collect();
    for row in selected {
        if view.filter.as_ref().is_some_and(|filter| !filter.is_true(rows, row)) {
            continue;
        }
        let group = groups.find(row, &steps);
        if groups.add(group, row, &steps).is_none() {
            return Err(overflow(view, &groups.name(group)));
        }
    }
    Ok(groups.into_deltas())
}

/// Merges what one delta adds into another of the same group.
///
/// # Errors
/// A count or sum leaves the range of 64 bits.
pub fn merge(view: &View, into: &mut Delta, from: &Delta) -> Result<(), Overflow> {
    let merged = (|| {
        into.rows = into.rows.checked_add(from.rows)?;
        for (stored, (into, from)) in
            view.stored.iter().zip(into.stored.iter_mut().zip(&from.stored))
        {
            let sum = Number::of(into).merge(*stored, Number::of(from))?;
            *into = sum.into_value();
        }
        Some(())
    })();
    merged.ok_or_else(|| overflow(view, &into.group))
}

/// Names the group of a view whose number leaves the range of 64 bits.
pub fn overflow(view: &View, group: &[Value]) -> Overflow {
    let values: Vec<String> = group
        .iter()
        .map(|value| match value {
            Value::Null => "null".to_owned(),
            Value::Text(text) => format!("'{text}'"),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
        })
        .collect();
    Overflow { view: view.name.clone(), group: format!("({})", values.join(", ")) }
}

/// The groups touched so far. A group is named by the first of its rows: nothing is copied while
/// rows are folded.
struct Groups<'a> {
    view: &'a View,
    rows: &'a Rows,
    /// Secret, so that no batch can be made whose groups all share one hash.
    seed: u64,
    /// Newest group of each hash.
    by_hash: HashMap<u64, u32, BuildHasherDefault<AlreadyHashed>>,
    groups: Vec<Group>,
    /// Aggregates of all groups, end to end.
    numbers: Vec<Number>,
}

struct Group {
    first_row: usize,
    bucket: i64,
    rows: i64,
    /// The group before with the same hash.
    same_hash: Option<u32>,
}

/// The keys are hashes.
#[derive(Default)]
struct AlreadyHashed(u64);

// === impl Value ===

impl Value {
    /// Orders values of one column: null first.
    pub fn order(&self, other: &Self) -> Ordering {
        let rank = |value: &Self| match value {
            Self::Null => 0,
            Self::Int(_) => 1,
            Self::Float(_) => 2,
            Self::Text(_) => 3,
        };
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl From<Cell<'_>> for Value {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Text(text) => Self::Text(text.to_owned()),
            Cell::Int(value) => Self::Int(value),
            Cell::Float(value) => Self::Float(value),
        }
    }
}

// === impl Groups ===

impl<'a> Groups<'a> {
    fn new(view: &'a View, rows: &'a Rows) -> Self {
        Self {
            view,
            rows,
            seed: RandomState::new().build_hasher().finish(),
            by_hash: HashMap::default(),
            groups: Vec::new(),
            numbers: Vec::new(),
        }
    }

    /// Returns the group of a row, a new one if it is the first of its name.
    fn find(&mut self, row: usize, steps: &[Step<'_>]) -> usize {
        let bucket = self.bucket(row);
        let hash = self.hash(row, bucket);
        let newest = self.by_hash.get(&hash).copied();
        let mut candidate = newest;
        while let Some(position) = candidate {
            let group = &self.groups[position as usize];
            if group.bucket == bucket && self.same_dims(group.first_row, row) {
                return position as usize;
            }
            candidate = group.same_hash;
        }
        let position = self.groups.len();
        let short = u32::try_from(position).expect("a batch must have fewer than 2^32 rows");
        self.by_hash.insert(hash, short);
        self.groups.push(Group { first_row: row, bucket, rows: 0, same_hash: newest });
        self.numbers.extend(steps.iter().map(Step::nothing));
        position
    }

    /// Adds a row to a group; `None` is an overflow.
    fn add(&mut self, group: usize, row: usize, steps: &[Step<'_>]) -> Option<()> {
        self.groups[group].rows += 1;
        let numbers = self.numbers.get_mut(group * steps.len()..)?;
        for (step, number) in steps.iter().zip(numbers) {
            step.add(row, number)?;
        }
        Some(())
    }

    fn bucket(&self, row: usize) -> i64 {
        let Some(bucket) = self.view.bucket else { return 0 };
        match self.rows.cell(row, bucket.column) {
            Cell::Int(at) => bucket.start(at),
            // Never: a bucket's column is a timestamp and not nullable.
            Cell::Null | Cell::Text(_) | Cell::Float(_) => 0,
        }
    }

    fn hash(&self, row: usize, bucket: i64) -> u64 {
        let start = xxh3_64_with_seed(&bucket.to_le_bytes(), self.seed);
        // Each cell seeds the next, so ("ab", "c") and ("a", "bc") differ.
        self.view.group_by.iter().fold(start, |hash, column| match self.rows.cell(row, *column) {
            Cell::Null => hash.rotate_left(1),
            Cell::Text(text) => xxh3_64_with_seed(text.as_bytes(), hash),
            Cell::Int(value) => xxh3_64_with_seed(&value.to_le_bytes(), hash),
            Cell::Float(value) => xxh3_64_with_seed(&value.to_bits().to_le_bytes(), hash),
        })
    }

    fn same_dims(&self, a: usize, b: usize) -> bool {
        let mut dims = self.view.group_by.iter();
        dims.all(|column| self.rows.cell(a, *column) == self.rows.cell(b, *column))
    }

    fn name(&self, group: usize) -> Vec<Value> {
        let Group { first_row, bucket, .. } = self.groups[group];
        let dims = self.view.group_by.iter();
        let dims = dims.map(|column| Value::from(self.rows.cell(first_row, *column)));
        dims.chain(self.view.bucket.map(|_| Value::Int(bucket))).collect()
    }

    fn into_deltas(self) -> Vec<Delta> {
        let width = self.view.stored.len();
        let mut deltas: Vec<Delta> = (0..self.groups.len())
            .map(|group| {
                let numbers = self.numbers.iter().skip(group * width).take(width);
                Delta {
                    group: self.name(group),
                    rows: self.groups[group].rows,
                    stored: numbers.map(|number| number.into_value()).collect(),
                }
            })
            .collect();
        let parts: &[GroupPart] = self.view.access_paths.first().map_or(&[], Vec::as_slice);
        let order: Vec<usize> = parts.iter().map(|part| self.view.position_of(*part)).collect();
        deltas.sort_unstable_by(|a, b| {
            let mut parts = order.iter().map(|part| a.group[*part].order(&b.group[*part]));
            parts.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        deltas
    }
}

// === impl AlreadyHashed ===

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Never for keys of 64 bits; still a hash.
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }
}

#[cfg(test)]
mod tests;
