//! The rollout of one release: decided by pure functions, durable by its journal.
//!
//! Modules stand in the order in which data moves: what is to be done → what happens → what is
//! decided → what is written down → who may write → all of it, in a world that lets it down.

pub mod plan;

pub mod event;
pub mod guard;
pub mod state;

pub mod journal;
pub mod lease;
pub mod simulate;
