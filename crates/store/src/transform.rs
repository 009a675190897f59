//! What every engine does in the same way, apart from its statements.
//!
//! Modules stand in the order in which a batch meets them.

pub(crate) mod compiled;
pub(crate) mod names;
pub(crate) mod shape;

pub(crate) mod message;
pub(crate) mod payload;
pub(crate) mod prepare;
pub(crate) mod space;
pub(crate) mod work;

pub(crate) mod outcome;

pub(crate) mod effects;

pub(crate) mod heat;
pub(crate) mod job;
pub(crate) mod lease;
pub(crate) mod letter;
pub(crate) mod redact;
pub(crate) mod retention;

pub(crate) mod plan;
pub(crate) mod recompute;
