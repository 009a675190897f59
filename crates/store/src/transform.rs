//! What every engine computes in the same way, apart from its statements.
//!
//! Modules stand in the order in which a batch meets them.

pub(crate) mod envelope;
pub(crate) mod payload;
pub(crate) mod prepare;

pub(crate) mod outcome;

pub(crate) mod effects;

pub(crate) mod heat;
pub(crate) mod lease;
pub(crate) mod letter;
pub(crate) mod redact;
pub(crate) mod retention;
