//! The pure data product compiler: contract, row validation, fold, query plans, rendering.
//!
//! Modules stand in the order in which data moves: source → contract → rows → deltas → answers.

pub mod compile;
pub mod contract;
pub mod edge_plan;

mod decimal;
mod expr;
mod instant;
mod names;
mod pattern;
mod rule;

pub mod rows;
pub mod validate;

pub mod fold;
mod measure;
pub mod read;
pub mod render;
pub mod response;

pub mod error;

#[cfg(test)]
mod fixture;

pub use compile::compile;
pub use edge_plan::edge_plan;
