//! What is tried.

/// A release and the traffic it gets.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Requests a second, both arms and the control cohort together.
    pub(crate) rps: f64,
    /// Share of bad requests of the stable release.
    pub(crate) stable: f64,
    /// How many times that the release has.
    pub(crate) ratio: f64,
    /// Bad requests come in bursts of so many on average.
    pub(crate) burst: f64,
    pub(crate) shape: Shape,
}

/// What changes meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Steady,
    /// Traffic rises and falls by half.
    Waves,
    /// For three minutes a third of all requests fail, whoever serves them.
    Outage,
    /// The release is as good as the stable one for twelve minutes, then bad.
    Leak,
}

/// What a scenario says about the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// No worse than the stable release: it must not fail.
    Good,
    /// At the tolerated share or above: it must not pass.
    Bad,
    /// Worse, and within what is tolerated.
    Tolerated,
}

// === impl Scenario ===

impl Scenario {
    /// The share of bad requests that is no longer good enough: 1 %, or twice the usual.
    pub(crate) fn tolerated(&self) -> f64 {
        (2.0 * self.stable).max(0.01)
    }

    pub(crate) fn truth(&self) -> Truth {
        if self.ratio <= 1.0 {
            Truth::Good
        } else if self.stable * self.ratio >= self.tolerated() {
            Truth::Bad
        } else {
            Truth::Tolerated
        }
    }
}

/// Returns all scenarios.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (stable, ratios) in
        [(0.001, &[1.0, 2.0, 5.0, 10.0, 50.0, 500.0][..]), (0.008, &[1.0, 1.5, 2.0, 5.0])]
    {
        for ratio in ratios {
            for burst in [1.0, 5.0, 20.0] {
                for rps in [0.5, 5.0, 50.0, 500.0] {
                    let (name, shape, ratio) = ("steady", Shape::Steady, *ratio);
                    all.push(Scenario { name, rps, stable, ratio, burst, shape });
                }
            }
        }
    }
    for (name, shape, ratios) in [
        ("waves", Shape::Waves, &[1.0, 10.0][..]),
        ("shared outage", Shape::Outage, &[1.0, 10.0]),
        ("slow leak", Shape::Leak, &[50.0]),
    ] {
        for ratio in ratios {
            for rps in [0.5, 5.0, 50.0, 500.0] {
                let (stable, ratio, burst) = (0.001, *ratio, 1.0);
                all.push(Scenario { name, rps, stable, ratio, burst, shape });
            }
        }
    }
    all
}
