//! Publish, consume, settle and broadcast on SQLite.
