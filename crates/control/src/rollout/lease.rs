//! Who may write: control's own lease, by monotonic clocks only.
//!
//! A holder counts its lease from before it asked for it, a contender from when it last saw the
//! claim change, and waits longer: whatever the two clocks show, the holder stops first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a claim counts without a renewal.
pub const LEASE: Duration = Duration::from_secs(10);

/// How often a holder renews.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);

/// How much longer than [`LEASE`] a contender waits: for clocks that run unlike.
pub const MARGIN: Duration = Duration::from_secs(1);

/// What is kept where controls contend; replaced only as a whole, and only if unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Life of the control that holds it.
    pub epoch: u64,
    /// Times that it was renewed.
    pub renewals: u64,
}

/// A claim as its holder knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    claim: Claim,
    since: Duration,
}

/// A claim as a contender knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    seen: Option<(Claim, Duration)>,
}

// === impl Tenure ===

impl Tenure {
    /// Holds a claim that was asked for at `asked_at`, and granted.
    pub fn new(claim: Claim, asked_at: Duration) -> Self {
        Self { claim, since: asked_at }
    }

    /// Returns the claim that is held.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// Returns the claim to ask for as a renewal, if it is time to.
    pub fn renewal(&self, now: Duration) -> Option<Claim> {
        let due = now.saturating_sub(self.since) >= RENEW_EVERY && self.may_act(now);
        due.then(|| Claim { renewals: self.claim.renewals.saturating_add(1), ..self.claim })
    }

    /// Tells whether the holder may still act; once false, its life must end.
    pub fn may_act(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) < LEASE
    }
}

// === impl Watch ===

impl Watch {
    /// Looks at the claim, and returns the one to ask for if its holder is gone.
    pub fn look(&mut self, claim: Claim, now: Duration) -> Option<Claim> {
        let since = match self.seen {
            Some((seen, since)) if seen == claim => since,
            _ => {
                self.seen = Some((claim, now));
                now
            }
        };
        // Nobody has ever held it: there is nobody to wait for.
        let gone = claim == Claim::default() || now.saturating_sub(since) >= LEASE + MARGIN;
        gone.then(|| Claim { epoch: claim.epoch.saturating_add(1), renewals: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_holder_stops_before_a_contender_begins() {
        let held = Tenure::new(Claim { epoch: 4, renewals: 9 }, AT(100));
        assert_eq!([109, 110].map(|at| held.may_act(AT(at))), [true, false]);
        assert_eq!(held.renewal(AT(101)), None);
        assert_eq!(held.renewal(AT(102)), Some(Claim { epoch: 4, renewals: 10 }));
        assert_eq!(held.renewal(AT(110)), None);

        // Granted at once, and seen at once: the earliest that can be.
        let mut watch = Watch::default();
        assert_eq!(watch.look(held.claim(), AT(100)), None);
        assert_eq!(watch.look(held.claim(), AT(110)), None);
        assert_eq!(watch.look(held.claim(), AT(111)), Some(Claim { epoch: 5, renewals: 0 }));
    }

    #[test]
    fn a_renewal_starts_the_wait_anew_and_the_first_control_waits_for_nobody() {
        let mut watch = Watch::default();
        watch.look(Claim { epoch: 1, renewals: 0 }, AT(0));
        assert_eq!(watch.look(Claim { epoch: 1, renewals: 1 }, AT(10)), None);
        assert_eq!(watch.look(Claim { epoch: 1, renewals: 1 }, AT(20)), None);
        let first = Watch::default().look(Claim::default(), AT(0));
        assert_eq!(first, Some(Claim { epoch: 1, renewals: 0 }));
    }
}
