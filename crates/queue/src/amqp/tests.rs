//! The conformance claims on RabbitMQ, and what only a broker can do.

mod harness;

use self::harness::Rabbit;
use crate::conformance::conformance;

conformance!(Rabbit::new());
