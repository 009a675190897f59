//! The stateless api tier: authenticate, validate, accept, read.
