//! What the store promises, on real files.

mod support;

mod access;
mod contracts;
mod hazards;
mod ingest;
mod migration;
mod model;
mod outbox;
mod overflow;
mod reads;
mod tokens;
mod writers;
