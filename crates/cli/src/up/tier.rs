//! The four kinds of children.

/// A tier, by the subcommand that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Api,
    Control,
    Worker,
    Edge,
}

// === impl Tier ===

impl Tier {
    /// Edges first, then what they lean on: a request in flight finds all it needs.
    pub(crate) const STOP_ORDER: [Self; 4] = [Self::Edge, Self::Api, Self::Worker, Self::Control];

    /// Returns whether the allocator should ask for huge pages: they make much memory faster, and
    /// little memory large.
    pub(crate) fn wants_huge_pages(self) -> bool {
        match self {
            Self::Edge | Self::Api => true,
            Self::Worker | Self::Control => false,
        }
    }

    /// Returns the subcommand.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Control => "control",
            Self::Worker => "worker",
            Self::Edge => "edge",
        }
    }
}
