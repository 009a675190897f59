//! The edge from outside: real sockets, a scripted origin, and what `Cache-Status` says.

mod client;
mod governed;
mod harness;
mod hits;
mod hostile;
mod limits;
mod origin;
mod passing;
mod purges;
mod scopes;
mod stale;
mod transport;
