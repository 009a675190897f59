//! The edge tier: TLS, cache, routing, upstream.
//!
//! Modules are listed in the order in which a request meets them.
#![warn(missing_docs)]

pub mod config;
mod error;
mod run;

mod tls;

mod serve;

mod edge;
mod handle;
mod target;

mod route;

mod scope;

mod cache;
mod fetch;

mod body;
mod internal;
mod upstream;

mod deliver;
mod hot;

mod refresh;

mod metrics;
mod notices;
mod write_back;

pub use config::Config;
pub use error::Error;
pub use run::run;

#[cfg(test)]
mod tests;
