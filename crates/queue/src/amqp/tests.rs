//! The conformance claims on RabbitMQ, and what only a broker can do.

mod broker;
mod harness;
mod outage;
mod own;
mod proxy;

use self::harness::Rabbit;
use crate::conformance::conformance;

conformance!(Rabbit::new());
