//! The worker tier: consume, run, settle.
//!
//! Modules stand in the order in which a delivery meets them. **Invariant:** a delivery is
//! acknowledged after its effects are committed, never before; a worker that dies at any point
//! leaves work that another does again, and effects that are there once.

pub mod config;
mod error;
mod worker;

mod consume;
mod kinds;
mod ledger;
mod pace;
mod slots;

mod api;
mod run;

mod retry;
mod settle;

mod write_back;

mod canary;
mod dead_letters;
mod heartbeat;
mod notices;
mod schedule;
mod sweep;

mod backlog;
mod faults;
mod metrics;

pub use config::Config;
pub use error::Error;
pub use worker::run;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
