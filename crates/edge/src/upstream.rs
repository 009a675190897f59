//! Origins: which addresses they have, and how a request reaches one.

pub(crate) mod headers;
pub(crate) mod pool;

pub(crate) use pool::{Origin, Outbound, Stamp, Upstreams};
