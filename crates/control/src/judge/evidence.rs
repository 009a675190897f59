//! The evidence about one metric: two e-values, brought up to date interval by interval.
//!
//! **Worse.** Given that a bad event happened, it happened on the canary with probability
//! `s(r) = r·n_c / (r·n_c + n_b)`, if the canary's rate is `r` times the baseline's: the rate itself
//! cancels out, and with it whatever hits both arms alike. The likelihood ratio of `r` against the
//! tolerated ratio is a supermartingale as long as the true one is not above it, and so is a
//! mixture over a fixed grid of ratios. Intervals multiply, whatever the weights were in each.
//! (Lindon & Malek 2022, arXiv 2011.03567; here with a grid instead of an integral, so
//! that state is a few numbers and changing weights are exact.)
//!
//! **Good enough.** Against "its rate is `tolerated` or more", a mixture with a Beta(½, ½) prior
//! below that rate.
//!
//! Both hold for independent events. Bursts make events dependent. Of the first, each step is divided
//! by the over-dispersion φ, the variance of bad events a minute over their mean in the stable
//! release's history: exact if all bursts are of size φ. Bursts vary, so no step counts for more than
//! a share of what a FAIL takes: one long burst can't condemn a release, and to cap a step only
//! lowers its mean, which keeps the bound. The logarithm of the second is divided by φ.

use serde::{Deserialize, Serialize};
use statrs::function::beta::{beta_reg, ln_beta};

use super::{Counts, Interval};

/// Ratios on the grid.
const RATIOS: usize = 32;

/// Largest ratio, relative to the tolerated one: beyond it evidence grows as fast as it can anyway.
const LARGEST: f64 = 64.0;

/// Both parameters of the prior.
const PRIOR: f64 = 0.5;

/// How an interval is weighed; the same for all of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// How many times the baseline's rate the canary's may be, before that counts as worse.
    pub tolerated_ratio: f64,
    /// Variance over mean of the stable release's bad events a minute; 1 or more.
    pub dispersion: f64,
    /// Most that one interval adds to the logarithm of a likelihood ratio.
    pub most: f64,
}

/// What is known about one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Logarithm of the likelihood ratio of each ratio of the grid.
    #[serde(with = "bits")]
    worse: [f64; RATIOS],
    /// All events of the canary so far.
    canary: Counts,
}

// === impl Evidence ===

impl Evidence {
    /// Knows nothing.
    pub fn new() -> Self {
        Self { worse: [0.0; RATIOS], canary: Counts::default() }
    }

    /// Takes in what was counted between two looks.
    pub fn observe(&mut self, interval: &Interval, scale: &Scale) {
        let Interval { canary, baseline } = interval;
        self.canary = self.canary.and(*canary);
        // With one arm alone there is nothing to compare.
        if canary.trials == 0 || baseline.trials == 0 {
            return;
        }
        let (canary_trials, baseline_trials) = (canary.trials as f64, baseline.trials as f64);
        // Logarithms of the share of the bad events that fall on the canary, and on the baseline.
        let shares = |ratio: f64| {
            let odds = (ratio * canary_trials / baseline_trials).ln();
            (-(-odds).exp().ln_1p(), -odds.exp().ln_1p())
        };
        let (canary_tolerated, baseline_tolerated) = shares(scale.tolerated_ratio);
        for (index, sum) in self.worse.iter_mut().enumerate() {
            let (on_canary, on_baseline) = shares(ratio(index, scale.tolerated_ratio));
            let step = canary.bad as f64 * (on_canary - canary_tolerated)
                + baseline.bad as f64 * (on_baseline - baseline_tolerated);
            *sum += (step / scale.dispersion.max(1.0)).min(scale.most);
        }
    }

    /// Returns the logarithm of the e-value against "the canary's rate is at most the tolerated
    /// multiple of the baseline's".
    pub fn worse(&self) -> f64 {
        let largest = self.worse.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.worse.iter().map(|sum| (sum - largest).exp()).sum();
        largest + (sum / RATIOS as f64).ln()
    }

    /// Returns the logarithm of the e-value against "the canary's rate is `tolerated` or more".
    pub fn good_enough(&self, tolerated: f64, dispersion: f64) -> f64 {
        // Nothing is shown of a share that all events have, or none.
        if !(f64::MIN_POSITIVE..1.0).contains(&tolerated) {
            return f64::NEG_INFINITY;
        }
        let Counts { trials, bad } = self.canary;
        let (bad, well) = (bad as f64, trials.saturating_sub(bad) as f64);
        let posterior = ln_beta(PRIOR + bad, PRIOR + well)
            + beta_reg(PRIOR + bad, PRIOR + well, tolerated).ln();
        let prior = ln_beta(PRIOR, PRIOR) + beta_reg(PRIOR, PRIOR, tolerated).ln();
        let tolerated = bad * tolerated.ln() + well * (-tolerated).ln_1p();
        (posterior - prior - tolerated) / dispersion.max(1.0)
    }

    /// Returns all events of the canary so far.
    pub fn canary(&self) -> Counts {
        self.canary
    }
}

impl Default for Evidence {
    fn default() -> Self {
        Self::new()
    }
}

/// Numbers as their bits: what goes on from a journal must be what was written, to the last digit.
mod bits {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::RATIOS;

    pub(super) fn serialize<S: Serializer>(
        numbers: &[f64; RATIOS],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        numbers.map(f64::to_bits).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[f64; RATIOS], D::Error> {
        <[u64; RATIOS]>::deserialize(deserializer).map(|bits| bits.map(f64::from_bits))
    }
}

/// Returns a ratio of the grid, evenly spaced by logarithm, each above the tolerated one.
fn ratio(index: usize, tolerated: f64) -> f64 {
    let step = (index + 1) as f64 / RATIOS as f64;
    tolerated * LARGEST.powf(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events, and how many of them were bad.
    type Pair = (u64, u64);

    fn evidence(intervals: &[(Pair, Pair)]) -> Evidence {
        weighed(intervals, 1.0, f64::INFINITY)
    }

    fn weighed(intervals: &[(Pair, Pair)], dispersion: f64, most: f64) -> Evidence {
        let counts = |(trials, bad)| Counts::new(trials, bad).unwrap();
        let mut evidence = Evidence::new();
        for (canary, baseline) in intervals {
            let interval = Interval { canary: counts(*canary), baseline: counts(*baseline) };
            evidence.observe(&interval, &Scale { tolerated_ratio: 1.0, dispersion, most });
        }
        evidence
    }

    /// Fewest events of which `bad` are bad that pass at 95 %.
    fn fewest(bad: u64, tolerated: f64) -> u64 {
        let goal = 20f64.ln();
        let passes =
            |trials: u64| evidence(&[((trials, bad), (0, 0))]).good_enough(tolerated, 1.0) >= goal;
        (bad.max(1)..10_000).find(|trials| passes(*trials)).unwrap()
    }

    #[test]
    fn passing_takes_as_many_events_as_the_formula_says() {
        let found = [0, 1, 2, 5].map(|bad| fewest(bad, 0.01));
        assert_eq!(found, [377, 663, 883, 1_436]);
        assert_eq!(fewest(0, 0.005), 756);
        assert_eq!(fewest(0, 0.02), 188);
    }

    #[test]
    fn what_hits_both_arms_alike_is_no_evidence() {
        let outage = evidence(&[((500, 300), (9_500, 5_700))]);
        assert!(outage.worse() < 0.0, "{}", outage.worse());
        assert!(outage.good_enough(0.01, 1.0) < 0.0);
    }

    #[test]
    fn a_few_bad_events_on_a_small_canary_alone_are_strong_evidence() {
        let goal = 100f64.ln();
        assert!(evidence(&[((500, 4), (9_500, 0))]).worse() > goal);
        assert!(evidence(&[((500, 1), (9_500, 0))]).worse() < goal);
        assert!(evidence(&[((500, 4), (9_500, 20))]).worse() < goal);
    }

    #[test]
    fn intervals_of_different_weights_add_up() {
        let (small, large) = (((500, 2), (9_500, 1)), ((2_500, 12), (7_500, 3)));
        let both = evidence(&[small, large]);
        let sum: Vec<f64> = std::iter::zip(evidence(&[small]).worse, evidence(&[large]).worse)
            .map(|(one, other)| one + other)
            .collect();
        assert!(std::iter::zip(both.worse, sum).all(|(is, want)| (is - want).abs() < 1e-9));
        assert_eq!(both.canary(), Counts { trials: 3_000, bad: 14 });
    }

    #[test]
    fn one_arm_alone_tells_nothing_about_the_other() {
        assert_eq!(evidence(&[((500, 50), (0, 0))]).worse(), 0.0);
        assert_eq!(evidence(&[((0, 0), (500, 50))]).worse(), 0.0);
    }

    #[test]
    fn bursts_weaken_both_answers() {
        let single = evidence(&[((500, 20), (9_500, 10))]);
        let nine = [((500, 180), (9_500, 90))];
        assert!((weighed(&nine, 9.0, f64::INFINITY).worse() - single.worse()).abs() < 1e-9);
        let good = evidence(&[((5_000, 0), (95_000, 0))]);
        assert!((good.good_enough(0.01, 1.0) - 9.0 * good.good_enough(0.01, 9.0)).abs() < 1e-9);
        // Less than what independent events have is not believed.
        assert_eq!(weighed(&nine, 0.5, f64::INFINITY), evidence(&nine));
    }

    #[test]
    fn no_interval_alone_condemns_a_release() {
        let burst = ((500, 200), (9_500, 0));
        let most = 3.0;
        assert!(weighed(&[burst], 1.0, most).worse() <= most);
        assert!(weighed(&[burst; 2], 1.0, most).worse() > most);
    }

    #[test]
    fn nothing_is_shown_below_a_share_that_is_none() {
        let good = evidence(&[((5_000, 0), (95_000, 0))]);
        for share in [0.0, 1.0, 1.6, f64::NAN] {
            assert_eq!(good.good_enough(share, 1.0), f64::NEG_INFINITY);
        }
    }
}
