//! The control tier: project profile and the signed routing document.
