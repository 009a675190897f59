//! The system from outside: every test drives the real binary over real sockets.

mod air;

mod bad_input;
mod data_path;
mod demo;
mod faults;
mod freshness;
mod stand_alone;
mod supervision;
mod tidy;
