//! The worker tier: consume, apply, settle.
