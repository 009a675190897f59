//! The rules that keep a bad release small, by name: tests switch off one at a time to show that
//! each is needed.

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// A stage follows a PASS, or a decision.
    Pass,
    /// HOLD raises no weight.
    HoldStays,
    /// A verdict counts for its artifact and stage only.
    VerdictSubject,
    /// A stage is watched for its time.
    Watch,
    /// A stage follows once every edge acts on the one before.
    Barrier,
    /// Nothing suspends an abort.
    AbortWins,
    /// An approval names the plan's hash and the guardrail token.
    ApprovedPlan,
    /// In production only a signed decision stands in for a PASS.
    SignedDecision,
    /// A sign-off follows the whole checklist.
    Checklist,
    /// The old instances run until every edge has left them.
    StableKept,
    /// Consumers stop before their jobs are given away.
    StopFirst,
    /// Nothing is done that was not written down.
    WriteAhead,
    /// A control whose lease is over does nothing.
    ControlLease,
    /// An edge refuses what is older than what it holds.
    EdgeVersion,
    /// An edge acts on no weight beyond its lease.
    EdgeLease,
}

/// The rules that hold: all of them, but in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards {
    off: Option<Guard>,
}

// === impl Guard ===

impl Guard {
    /// Every rule.
    pub const ALL: [Self; 15] = [
        Self::Pass,
        Self::HoldStays,
        Self::VerdictSubject,
        Self::Watch,
        Self::Barrier,
        Self::AbortWins,
        Self::ApprovedPlan,
        Self::SignedDecision,
        Self::Checklist,
        Self::StableKept,
        Self::StopFirst,
        Self::WriteAhead,
        Self::ControlLease,
        Self::EdgeVersion,
        Self::EdgeLease,
    ];
}

// === impl Guards ===

impl Guards {
    /// Every rule holds.
    pub const ALL: Self = Self { off: None };

    /// Returns the rules without one of them.
    #[cfg(test)]
    pub(crate) fn without(guard: Guard) -> Self {
        Self { off: Some(guard) }
    }

    /// Tells whether a rule holds.
    pub fn on(self, guard: Guard) -> bool {
        self.off != Some(guard)
    }
}
