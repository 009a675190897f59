//! The api from outside: its real router over a real store and queue.

mod access;
mod fixture;
mod groups;
mod ingest;
mod internal;
mod jobs;
mod read;
mod stack;
