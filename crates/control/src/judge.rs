//! The judge: counts in, verdict out.
//!
//! Every metric is made of events that went well or badly, and is asked two questions at every
//! look: is the canary worse than the baseline (FAIL), and was it shown to be good enough (PASS)?
//! Each is answered by an e-value, a number that exceeds `1/α` with probability at most `α` if the
//! opposite holds, however often one looks (Ville's inequality). Whatever is neither is HOLD.
//!
//! Pure: what was counted, when, and how stale it is are parameters.

mod counts;
mod evidence;
mod rules;
mod verdict;

pub use counts::{Counts, Interval};
pub use evidence::Evidence;
pub use rules::Rules;
pub use verdict::{Case, Look, Metric, MetricLook, Reason, Verdict};
