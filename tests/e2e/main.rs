//! The system from outside: every test drives the real binary over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod air;

mod bad_input;
mod data_path;
mod broken_servers;
mod demo;
mod fail_points;
mod faults;
mod freshness;
mod servers;
mod stand_alone;
mod supervision;
mod tidy;
