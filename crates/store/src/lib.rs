//! Semantic storage operations on SQLite.
