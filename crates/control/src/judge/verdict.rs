//! All metrics of a release together, look by look.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_core::clock::Timestamp;

use super::evidence::Scale;
use super::{Counts, Evidence, Interval, Rules};

/// Share of the evidence for a FAIL that one look can bring at most: two looks agree.
const ONE_LOOK: f64 = 2.0 / 3.0;

/// What a canary is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Requests answered with 5xx, or not at all.
    Errors,
    /// Requests slower than the stable release's 95th percentile was before.
    SlowP95,
    /// Requests slower than its 99th percentile was before.
    SlowP99,
    /// Jobs whose attempt failed.
    JobFailures,
    /// Jobs that waited longer than the stable release's 95th percentile was before.
    JobAge,
    /// Requests for warm routes that the cache could not answer.
    CacheMisses,
}

/// What was counted since the last look.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// By metric; one that is missing or `None` has no data.
    pub metrics: BTreeMap<Metric, Option<MetricLook>>,
    /// A limit that needs no statistics was passed; in words.
    pub tripped: Option<String>,
}

/// What was counted of one metric.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricLook {
    /// Canary against baseline.
    pub canary: Interval,
    /// A second cohort of the stable release, of the canary's size, against the baseline: whatever
    /// it shows is no fault of the release. In the place of the canary.
    pub control: Interval,
}

/// A release that is being judged. Plain data: a journal keeps it, and it goes on from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    rules: Rules,
    looked_at: Timestamp,
    warm_at: Timestamp,
    /// Time of which every metric has data.
    watched: Duration,
    metrics: BTreeMap<Metric, MetricCase>,
    /// A release that failed stays so.
    failed: Option<Reason>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct MetricCase {
    /// Share of bad events from which on the release is not good enough.
    tolerated: f64,
    /// Variance over mean of the stable release's bad events a minute.
    dispersion: f64,
    canary: Evidence,
    /// The control cohort against the baseline, and the other way round.
    control: [Evidence; 2],
}

/// What the judge says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The release is worse than the stable one: it must go.
    Fail {
        /// Why.
        reason: Reason,
    },
    /// Every metric was shown to be good enough.
    Pass,
    /// Neither; never a reason to send it more traffic.
    Hold {
        /// Each reason why it is not yet a pass.
        reasons: Vec<Reason>,
    },
}

/// Why a verdict is what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The canary's events go badly more often than the baseline's.
    Worse {
        /// Which events.
        metric: Metric,
        /// The canary's events.
        canary: Counts,
        /// Logarithm of the e-value.
        evidence: f64,
    },
    /// A limit that needs no statistics was passed.
    Tripped {
        /// Which, in words.
        limit: String,
    },
    /// Nothing is counted until caches and connections are warm.
    WarmingUp,
    /// The release was not watched for long enough; time without data is no watch.
    TooEarly,
    /// There is no data, or it is too old.
    NoData {
        /// Of what.
        metric: Metric,
    },
    /// The control cohort differs from the baseline too: something else is wrong.
    ControlDiffers {
        /// In what.
        metric: Metric,
    },
    /// Too few events to tell that it is good enough, or it is not.
    NotShown {
        /// Which events.
        metric: Metric,
        /// The canary's events.
        canary: Counts,
    },
}

// === impl Case ===

impl Case {
    /// Begins to judge by metrics, each with its tolerated share of bad events and the
    /// over-dispersion of the stable release's.
    pub fn new(rules: Rules, metrics: &[(Metric, f64, f64)], now: Timestamp) -> Self {
        let case = |tolerated, dispersion| MetricCase {
            tolerated,
            dispersion,
            canary: Evidence::new(),
            control: [Evidence::new(), Evidence::new()],
        };
        let metrics = metrics
            .iter()
            .map(|(metric, tolerated, dispersion)| (*metric, case(*tolerated, *dispersion)));
        let warm_at = now.after(rules.warm_up);
        let (metrics, watched) = (metrics.collect(), Duration::ZERO);
        Self { looked_at: now, warm_at, watched, metrics, rules, failed: None }
    }

    /// Notes that the weight has changed: what is counted right after does not count.
    pub fn weight_changed(&mut self, now: Timestamp) {
        self.warm_at = now.after(self.rules.warm_up);
    }

    /// Takes in what was counted since the last look, and judges.
    pub fn look(&mut self, look: &Look, now: Timestamp) -> Verdict {
        if self.failed.is_none() {
            self.failed = look.tripped.clone().map(|limit| Reason::Tripped { limit });
        }
        let since = std::mem::replace(&mut self.looked_at, now);
        // What began while they were cold was counted while they were cold.
        let warm = since >= self.warm_at;
        let mut reasons: Vec<_> =
            self.silent(look).map(|metric| Reason::NoData { metric }).collect();
        if reasons.is_empty() {
            self.watched += now.since(since);
        }
        if warm {
            reasons.extend(self.observe(look));
        } else {
            reasons.push(Reason::WarmingUp);
        }
        if let Some(reason) = self.failed.clone() {
            return Verdict::Fail { reason };
        }
        if self.watched < self.rules.watch {
            reasons.push(Reason::TooEarly);
        }
        reasons.extend(self.not_shown());
        if reasons.is_empty() && !self.metrics.is_empty() {
            Verdict::Pass
        } else {
            Verdict::Hold { reasons }
        }
    }

    /// Returns the metrics without data.
    fn silent(&self, look: &Look) -> impl Iterator<Item = Metric> {
        let heard = |metric: &Metric| look.metrics.get(metric).copied().flatten().is_some();
        self.metrics.keys().copied().filter(move |metric| !heard(metric))
    }

    /// Takes in what was counted; returns why it can't pass now.
    fn observe(&mut self, look: &Look) -> Vec<Reason> {
        let goal = (self.metrics.len() as f64 / self.rules.false_fail).ln();
        let tolerated_ratio = self.rules.tolerated_ratio;
        let (mut reasons, mut worst) = (Vec::new(), None);
        for (metric, case) in &mut self.metrics {
            let Some(counted) = look.metrics.get(metric).copied().flatten() else {
                continue;
            };
            let (dispersion, most) = (case.dispersion, ONE_LOOK * goal);
            case.observe(&counted, &Scale { tolerated_ratio, dispersion, most });
            let evidence = case.canary.worse();
            if case.control.iter().any(|it| it.worse() >= goal) {
                reasons.push(Reason::ControlDiffers { metric: *metric });
            } else if evidence >= goal {
                let canary = case.canary.canary();
                worst = worst.or(Some(Reason::Worse { metric: *metric, canary, evidence }));
            }
        }
        self.failed = self.failed.take().or(worst);
        reasons
    }

    fn not_shown(&self) -> impl Iterator<Item = Reason> + '_ {
        let goal = (1.0 / self.rules.false_pass).ln();
        let open = self.metrics.iter().filter(move |(_, case)| {
            // Also what is no number: a comparison with it must not pass.
            let is_shown = case.canary.good_enough(case.tolerated, case.dispersion) >= goal;
            !is_shown
        });
        open.map(|(metric, case)| Reason::NotShown {
            metric: *metric,
            canary: case.canary.canary(),
        })
    }
}

// === impl MetricCase ===

impl MetricCase {
    fn observe(&mut self, counted: &MetricLook, scale: &Scale) {
        self.canary.observe(&counted.canary, scale);
        let Interval { canary: control, baseline } = counted.control;
        let [above, below] = &mut self.control;
        above.observe(&Interval { canary: control, baseline }, scale);
        below.observe(&Interval { canary: baseline, baseline: control }, scale);
    }
}

// === impl Metric ===

impl Metric {
    /// Returns its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::SlowP95 => "slow_p95",
            Self::SlowP99 => "slow_p99",
            Self::JobFailures => "job_failures",
            Self::JobAge => "job_age",
            Self::CacheMisses => "cache_misses",
        }
    }
}

// === impl Reason ===

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worse { metric, canary: Counts { trials, bad }, evidence } => write!(
                f,
                "{} are worse than the stable release's: {bad} of {trials} (ln e = {evidence:.1})",
                metric.as_str()
            ),
            Self::Tripped { limit } => f.write_str(limit),
            Self::WarmingUp => f.write_str("caches and connections are not warm yet"),
            Self::TooEarly => f.write_str("the watch is not over"),
            Self::NoData { metric } => write!(f, "there is no data on {}", metric.as_str()),
            Self::ControlDiffers { metric } => write!(
                f,
                "two cohorts of the stable release differ in {}: something else is wrong",
                metric.as_str()
            ),
            Self::NotShown { metric, canary: Counts { trials, bad } } => {
                write!(f, "{} were not shown to be good enough: {bad} of {trials}", metric.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Timestamp = Timestamp(1_800_000_000_000_000);

    struct Trial(Case);

    // === impl Trial ===

    impl Trial {
        fn new() -> Self {
            let metrics = [(Metric::Errors, 0.01, 1.0), (Metric::JobFailures, 0.01, 1.0)];
            Self(Case::new(Rules::default(), &metrics, BEGIN))
        }

        /// Begins with a first minute in which nothing happened.
        fn warm() -> Self {
            let mut trial = Self::new();
            trial.look(1, (0, 0), (0, 0));
            trial
        }

        /// Looks in a minute of the watch; the same was counted of both metrics.
        fn look(&mut self, minute: u64, canary: (u64, u64), control: (u64, u64)) -> Verdict {
            let counts = |(trials, bad)| Counts::new(trials, bad).unwrap();
            let against =
                |cohort| Interval { canary: counts(cohort), baseline: counts((9_000, 9)) };
            let counted = Some(MetricLook { canary: against(canary), control: against(control) });
            let metrics = [Metric::Errors, Metric::JobFailures].map(|metric| (metric, counted));
            self.0.look(&Look { metrics: metrics.into(), tripped: None }, at(minute))
        }
    }

    fn at(minute: u64) -> Timestamp {
        BEGIN.after(Duration::from_secs(60 * minute))
    }

    fn reasons(verdict: &Verdict) -> Vec<String> {
        let Verdict::Hold { reasons } = verdict else { panic!("{verdict:?}") };
        reasons.iter().map(Reason::to_string).collect()
    }

    #[test]
    fn a_good_release_passes_when_its_watch_is_over_and_not_before() {
        let mut trial = Trial::new();
        for minute in 1..15 {
            assert!(matches!(trial.look(minute, (500, 0), (500, 1)), Verdict::Hold { .. }));
        }
        assert_eq!(trial.look(15, (500, 1), (500, 0)), Verdict::Pass);
    }

    #[test]
    fn a_bad_one_fails_once_two_looks_agree_and_for_good() {
        let mut trial = Trial::warm();
        assert!(matches!(trial.look(2, (500, 40), (500, 0)), Verdict::Hold { .. }));
        let verdict = trial.look(3, (500, 40), (500, 0));
        let Verdict::Fail { reason: Reason::Worse { metric, .. } } = &verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(*metric, Metric::Errors);
        assert_eq!(trial.look(40, (500_000, 0), (500_000, 0)), verdict);
    }

    #[test]
    fn what_is_counted_while_caches_are_cold_does_not_count() {
        let mut trial = Trial::new();
        trial.0.weight_changed(at(5));
        let verdict = trial.look(5, (500, 500), (500, 0));
        assert!(reasons(&verdict).contains(&Reason::WarmingUp.to_string()));
        assert!(matches!(trial.look(6, (500, 0), (500, 0)), Verdict::Hold { .. }));

        let mut trial = Trial::new();
        let verdict = trial.look(1, (500, 500), (500, 0));
        assert!(reasons(&verdict).contains(&Reason::WarmingUp.to_string()));
        let warm = reasons(&trial.look(2, (300, 0), (500, 0)));
        assert!(warm.iter().any(|reason| reason.ends_with("0 of 300")), "{warm:?}");
    }

    #[test]
    fn time_without_data_is_no_watch() {
        let mut trial = Trial::warm();
        for minute in 2..10 {
            trial.look(minute, (2_000, 0), (2_000, 2));
        }
        trial.0.look(&Look::default(), at(40));
        for minute in 41..47 {
            let verdict = trial.look(minute, (2_000, 0), (2_000, 2));
            assert!(matches!(verdict, Verdict::Hold { .. }) == (minute < 46), "{verdict:?}");
        }
    }

    #[test]
    fn no_data_never_becomes_a_pass_however_long_it_lasts() {
        let mut trial = Trial::new();
        for minute in 1..=16 {
            trial.look(minute, (2_000, 0), (2_000, 0));
        }
        for minute in 17..2_000 {
            let verdict = trial.0.look(&Look::default(), at(minute));
            assert_eq!(reasons(&verdict).len(), 2, "{verdict:?}");
        }
        let mut trial = Trial::new();
        for minute in 1..2_000 {
            assert!(matches!(trial.look(minute, (0, 0), (0, 0)), Verdict::Hold { .. }));
        }
    }

    #[test]
    fn a_control_cohort_that_differs_too_speaks_for_the_release() {
        let mut trial = Trial::warm();
        trial.look(2, (500, 40), (500, 40));
        let verdict = trial.look(3, (500, 40), (500, 40));
        let reasons = reasons(&verdict);
        assert!(reasons.iter().any(|reason| reason.contains("two cohorts")), "{reasons:?}");
    }

    #[test]
    fn a_tripped_limit_needs_no_statistics_not_even_warm_caches() {
        let mut trial = Trial::new();
        let look =
            Look { tripped: Some("the api ends again and again".to_owned()), ..Look::default() };
        let verdict = trial.0.look(&look, at(0));
        assert!(matches!(verdict, Verdict::Fail { reason: Reason::Tripped { .. } }));
        assert_eq!(trial.look(30, (500_000, 0), (500_000, 0)), verdict);
    }

    #[test]
    fn a_release_without_metrics_passes_never() {
        let mut case = Case::new(Rules::default(), &[], BEGIN);
        assert!(matches!(case.look(&Look::default(), at(60)), Verdict::Hold { .. }));
    }

    #[test]
    fn a_case_goes_on_from_where_a_journal_kept_it() {
        let mut trial = Trial::warm();
        trial.look(2, (500, 2), (500, 1));
        let kept = serde_json::to_string(&trial.0).unwrap();
        assert_eq!(serde_json::from_str::<Case>(&kept).unwrap(), trial.0);
    }
}
