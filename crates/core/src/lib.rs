//! What several tiers must agree on. No sockets, no HTTP server, no broker, no SQL.
//!
//! Modules are listed in the order in which a request meets them: how a process starts, what a
//! contract compiles to, how a response is named, how work and notices travel, how releases route.
#![warn(missing_docs)]

pub mod backend;
pub mod backoff;
pub mod clock;
pub mod config;
pub mod file;
pub mod shutdown;
pub mod telemetry;

pub mod profile;

pub mod cache_key;
pub mod cache_update;
pub mod edge_plan;
pub mod param;
pub mod path;
pub mod scope;

pub mod hot;
pub mod job;
pub mod notice;
pub mod outbox;
pub mod scale;
pub mod seq;
pub mod tag;
pub mod watermark;

pub mod cohort;
pub mod keys;
pub mod routing;
