//! The worker tier: consume, apply, settle.
//!
//! Modules stand in the order in which a delivery meets them. **Invariant:** a delivery is
//! acknowledged after its effects are committed, never before; a worker that dies at any point
//! leaves work that another does again, and effects that are there once.

pub mod config;
mod error;
mod run;

mod consume;

mod ingest;

mod settle;

mod backlog;
mod metrics;
mod sweep;

pub use config::Config;
pub use error::Error;
pub use run::run;

#[cfg(test)]
mod tests;
