//! The conformance claims on RabbitMQ, and what only a broker can do.

mod broker;
#[cfg(feature = "test-util")]
mod fail_points;
mod harness;
mod outage;
mod own;
mod proxy;

use self::harness::Rabbit;
use crate::conformance::conformance;

conformance!(Rabbit::new());
