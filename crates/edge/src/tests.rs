//! The edge from outside: real sockets, a scripted origin, and what `Cache-Status` says.

mod client;
mod gaps;
mod governed;
mod harness;
mod hits;
mod hostile;
mod hot;
mod limits;
mod origin;
mod passing;
mod purges;
mod queue;
mod refreshes;
mod scopes;
mod stale;
mod stamps;
mod transport;
mod write_backs;
