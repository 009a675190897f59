//! The edge tier: TLS, cache, routing, upstream.
