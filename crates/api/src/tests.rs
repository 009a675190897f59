//! The api from outside: its real router over a real store and queue.

mod access;
mod admin;
mod fixture;
mod groups;
mod ingest;
mod internal;
mod jobs;
mod read;
mod refresh;
mod stack;
