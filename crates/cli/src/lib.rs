//! The tidegate binary: every tier as a subcommand, up, demo.
