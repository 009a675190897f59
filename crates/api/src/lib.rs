//! The stateless api tier: authenticate, validate, accept, read.
//!
//! Modules stand in the order in which a request meets them. **Invariant:** the api keeps no state
//! between requests that the store does not hold, so any number of instances may run.

pub mod config;
mod error;
mod faults;

mod app;
mod run;

mod router;
mod stack;

mod metrics;
mod problem;
mod request_id;

mod authenticate;
mod authorize;

mod catalog;

mod backlog;
mod body;
mod fields;
mod ingest;

mod hear;
mod jobs;
mod waiting;

mod groups;
mod link;
mod read;

mod admin;

mod internal;

pub use config::Config;
pub use error::Error;
pub use run::run;

#[cfg(test)]
mod tests;
