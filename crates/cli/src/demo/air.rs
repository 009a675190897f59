//! The air product's readings: what is measured where and when, and how it arrives.
//!
//! Everything is a pure function of seed and position, so a reading that arrives three days late
//! or twice needs no memory of the first time. Modules stand in the order in which a row is made.

pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod reading;
pub(crate) mod stream;

pub(crate) mod encode;
pub(crate) mod totals;

#[cfg(test)]
mod tests;
