//! The pure data product compiler: contract, row validation, fold, query plans, rendering.
//!
//! Modules stand in the order in which data moves: source → contract → rows → deltas → answers.

pub mod contract;
pub mod rows;

pub mod fold;
pub mod read;
