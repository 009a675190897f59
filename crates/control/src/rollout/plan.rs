//! The plan of a release: everything that is fixed before the first change.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_core::cohort::COHORTS;
use tidegate_core::scope::hex;

use crate::config::Environment;

/// Weights after the canary's, in basis points, unless the plan says otherwise.
pub const DEFAULT_RAMP_BP: [u16; 3] = [2_500, 5_000, COHORTS];

/// Shortest watch of a stage in production.
pub const LEAST_PRODUCTION_WATCH: Duration = Duration::from_secs(15 * 60);

/// Watch of a stage on a developer's machine, unless the plan says otherwise.
pub const DEFAULT_LOCAL_WATCH: Duration = Duration::from_secs(60);

/// Most stages of a plan.
pub const MAX_STAGES: usize = 16;

/// What is to be released, where, and in which steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Names the release; cohorts are dealt by it.
    pub release: String,
    /// Digest of the artifact that is released, as `sha256:` and 64 hex digits.
    pub artifact: String,
    /// Digest of the artifact that serves at present.
    pub from: String,
    /// Where it is released.
    pub place: Place,
    /// Traffic, stage by stage: the canary first, the whole last.
    pub stages: Vec<Stage>,
    /// Digest of what each gate found.
    pub gates: BTreeMap<Gate, String>,
    /// Changes of the schema, in order.
    pub migrations: Vec<Migration>,
    /// Where a rollback leads.
    pub rollback: RollbackPath,
    /// What a bad release may cost.
    pub blast_radius: BlastRadius,
}

/// Where a control governs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Name of the project profile.
    pub project: String,
    /// Name of the product.
    pub product: String,
    /// Decides how long a stage is watched at least.
    pub environment: Environment,
    /// The project's guardrail token, a public marker.
    pub token: String,
}

/// One step of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Share of clients, in basis points.
    pub weight_bp: u16,
    /// Least time for which it is watched, in milliseconds.
    pub watch_ms: u64,
}

/// What must be known to be good before anything changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// The old and the new build both run on the schema.
    Schema,
    /// The guardrail token is in the artifact's metadata.
    Token,
    /// The changelog tells of the release.
    Changelog,
    /// The tests of the build passed.
    Ci,
}

/// One change of the schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// Its file name.
    pub name: String,
    /// Digest of its text.
    pub digest: String,
    /// What it does to what runs on the schema.
    pub kind: MigrationKind,
}

/// What a migration does to what runs on the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MigrationKind {
    /// Adds: the old build runs on as before.
    Expand,
    /// Takes away: only once no build needs it.
    Contract,
}

/// Where a rollback leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackPath {
    /// Digest of the artifact that serves afterwards.
    pub artifact: String,
    /// Version of the schema once the plan's migrations are applied.
    pub schema: u64,
    /// Highest version of the schema that this artifact runs on.
    pub schema_max: u64,
}

/// What a bad release may cost at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlastRadius {
    /// Highest weight of the canary stage, in basis points.
    pub canary_bp: u16,
    /// Most failed requests before the judge is sure.
    pub failed_requests: u64,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is for another place: submit it to the control that governs there.
    #[error("the plan's {what} is '{plan}', this control governs '{here}'")]
    Elsewhere {
        /// Project, product, environment or guardrail token.
        what: &'static str,
        /// What the plan says.
        plan: String,
        /// What control says.
        here: String,
    },
    /// It names an artifact by something else than a digest.
    #[error("{what} '{text}' is not 'sha256:' and 64 hex digits")]
    Digest {
        /// Which of the digests.
        what: String,
        /// What the plan says.
        text: String,
    },
    /// It has no name.
    #[error("the release has no name")]
    Unnamed,
    /// What is released serves already.
    #[error("the artifact is the one that serves at present")]
    Unchanged,
    /// A stage is missing.
    #[error("the plan has {0} stages: it needs a canary and the whole, and at most {MAX_STAGES}")]
    Stages(usize),
    /// The canary takes more than the blast radius, or nothing.
    #[error("the canary's weight is {0} bp: it must be between 1 and {1}, the blast radius")]
    CanaryWeight(u16, u16),
    /// A stage takes no more than the one before.
    #[error("stage {0} has weight {1} bp, not more than the {2} bp before it")]
    Falls(usize, u16, u16),
    /// The last stage is not the whole.
    #[error("the last stage has weight {0} bp, not {COHORTS}")]
    NotWhole(u16),
    /// A stage is watched too briefly.
    #[error("stage {0} is watched for {1} ms: it must be {2} ms at least")]
    Watch(usize, u64, u64),
    /// The result of a gate is missing.
    #[error("the result of the gate {0:?} is missing")]
    Gate(Gate),
    /// A migration takes away what the old build needs.
    #[error("migration '{0}' is not an expansion: it must be a release of its own")]
    Contracts(String),
    /// A rollback would lead elsewhere than back.
    #[error("the rollback leads to '{0}', not to what serves at present")]
    RollbackElsewhere(String),
    /// The old build can't run on the new schema.
    #[error("no way back: the old build runs on schema {max} at most, the plan leads to {schema}")]
    NoWayBack {
        /// Version after the plan.
        schema: u64,
        /// Highest version of the old build.
        max: u64,
    },
}

// === impl Plan ===

impl Plan {
    /// Returns the default stages: the canary's weight, then [`DEFAULT_RAMP_BP`] above it.
    pub fn default_stages(canary_bp: u16, watch: Duration) -> Vec<Stage> {
        let watch_ms = u64::try_from(watch.as_millis()).unwrap_or(u64::MAX);
        let ramp = DEFAULT_RAMP_BP.into_iter().filter(|weight| *weight > canary_bp);
        let weights = std::iter::once(canary_bp).chain(ramp);
        weights.map(|weight_bp| Stage { weight_bp, watch_ms }).collect()
    }

    /// Returns the plan's hash: `sha256:` and the digest of its canonical JSON.
    ///
    /// Canonical as in RFC 8785: members sorted, no space; the plan holds no fractions and all its
    /// member names are ASCII, for which sorting by bytes is sorting by UTF-16 units.
    pub fn hash(&self) -> String {
        // A `Value` keeps its members in a sorted map.
        let value = serde_json::to_value(self)
            .expect("a plan must serialize: it holds text, numbers and maps with text keys");
        format!("sha256:{}", hex(&Sha256::digest(value.to_string())))
    }

    /// Checks the plan against the place that control governs, and what it serves there.
    ///
    /// # Errors
    /// Tells every problem at once.
    pub fn check(&self, here: &Place, serving: &str) -> Result<(), Vec<Refusal>> {
        let mut refusals = elsewhere(&self.place, here, &self.from, serving);
        refusals.extend(self.check_artifacts());
        refusals.extend(self.check_stages());
        refusals.extend(self.check_gates());
        if refusals.is_empty() { Ok(()) } else { Err(refusals) }
    }

    fn check_artifacts(&self) -> Vec<Refusal> {
        let mut found = Vec::new();
        let gates = self.gates.iter().map(|(gate, hash)| (format!("gate {gate:?}"), hash));
        let migrations =
            self.migrations.iter().map(|one| (format!("migration {}", one.name), &one.digest));
        let named = [("artifact", &self.artifact), ("from", &self.from)];
        let named = named.into_iter().map(|(what, text)| (what.to_owned(), text));
        for (what, text) in named.chain(gates).chain(migrations) {
            if !is_digest(text) {
                found.push(Refusal::Digest { what, text: text.clone() });
            }
        }
        if self.release.is_empty() {
            found.push(Refusal::Unnamed);
        }
        if self.artifact == self.from {
            found.push(Refusal::Unchanged);
        }
        found
    }

    fn check_stages(&self) -> Vec<Refusal> {
        let mut found = Vec::new();
        if !(2..=MAX_STAGES).contains(&self.stages.len()) {
            found.push(Refusal::Stages(self.stages.len()));
        }
        let Some((canary, last)) = self.stages.first().zip(self.stages.last()) else {
            return found;
        };
        if !(1..=self.blast_radius.canary_bp).contains(&canary.weight_bp) {
            found.push(Refusal::CanaryWeight(canary.weight_bp, self.blast_radius.canary_bp));
        }
        for (number, pair) in self.stages.windows(2).enumerate() {
            if let [before, stage] = pair
                && stage.weight_bp <= before.weight_bp
            {
                found.push(Refusal::Falls(number + 1, stage.weight_bp, before.weight_bp));
            }
        }
        if last.weight_bp != COHORTS {
            found.push(Refusal::NotWhole(last.weight_bp));
        }
        let least = match self.place.environment {
            Environment::Production => LEAST_PRODUCTION_WATCH,
            Environment::Local | Environment::Staging => Duration::from_millis(1),
        };
        let least = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
        for (number, stage) in self.stages.iter().enumerate() {
            if stage.watch_ms < least {
                found.push(Refusal::Watch(number, stage.watch_ms, least));
            }
        }
        found
    }

    fn check_gates(&self) -> Vec<Refusal> {
        let missing = Gate::ALL.into_iter().filter(|gate| !self.gates.contains_key(gate));
        let mut found: Vec<Refusal> = missing.map(Refusal::Gate).collect();
        let contracting = self.migrations.iter().filter(|one| one.kind == MigrationKind::Contract);
        found.extend(contracting.map(|one| Refusal::Contracts(one.name.clone())));
        let back = &self.rollback;
        if back.artifact != self.from {
            found.push(Refusal::RollbackElsewhere(back.artifact.clone()));
        }
        if back.schema_max < back.schema {
            found.push(Refusal::NoWayBack { schema: back.schema, max: back.schema_max });
        }
        found
    }
}

// === impl Gate ===

impl Gate {
    /// Every gate: none can be left out.
    pub const ALL: [Self; 4] = [Self::Schema, Self::Token, Self::Changelog, Self::Ci];
}

fn elsewhere(plan: &Place, here: &Place, from: &str, serving: &str) -> Vec<Refusal> {
    let pairs = [
        ("project", plan.project.as_str(), here.project.as_str()),
        ("product", plan.product.as_str(), here.product.as_str()),
        ("environment", plan.environment.as_str(), here.environment.as_str()),
        ("guardrail token", plan.token.as_str(), here.token.as_str()),
        ("stable release", from, serving),
    ];
    let other = pairs.into_iter().filter(|(_, plan, here)| plan != here);
    let refusal = |(what, plan, here): (_, &str, &str)| Refusal::Elsewhere {
        what,
        plan: plan.to_owned(),
        here: here.to_owned(),
    };
    other.map(refusal).collect()
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn digest(letter: char) -> String {
        format!("sha256:{}", letter.to_string().repeat(64))
    }

    pub(crate) fn plan() -> Plan {
        Plan {
            release: "r1".to_owned(),
            artifact: digest('a'),
            from: digest('b'),
            place: Place {
                project: "p".to_owned(),
                product: "air".to_owned(),
                environment: Environment::Production,
                token: "t".to_owned(),
            },
            stages: Plan::default_stages(500, LEAST_PRODUCTION_WATCH),
            gates: Gate::ALL.into_iter().map(|gate| (gate, digest('c'))).collect(),
            migrations: Vec::new(),
            rollback: RollbackPath { artifact: digest('b'), schema: 3, schema_max: 3 },
            blast_radius: BlastRadius { canary_bp: 500, failed_requests: 100 },
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Plan), expected: &[Refusal]) {
        let mut changed = plan();
        change(&mut changed);
        let found = changed.check(&plan().place, &digest('b')).err().unwrap_or_default();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_skipped_stage_a_falling_weight_and_a_short_watch_are_refused() {
        check(|_| {}, &[]);
        check(|plan| plan.stages.truncate(3), &[Refusal::NotWhole(5_000)]);
        check(|plan| plan.stages[1].weight_bp = 500, &[Refusal::Falls(1, 500, 500)]);
        check(|plan| plan.stages[0].watch_ms = 899_999, &[Refusal::Watch(0, 899_999, 900_000)]);
        check(|plan| plan.stages[0].weight_bp = 501, &[Refusal::CanaryWeight(501, 500)]);
        check(|plan| drop(plan.stages.drain(..)), &[Refusal::Stages(0)]);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let elsewhere = |what, plan: &str, here: &str| Refusal::Elsewhere {
            what,
            plan: plan.to_owned(),
            here: here.to_owned(),
        };
        check(
            |plan| {
                plan.place.project = "q".to_owned();
                plan.place.environment = Environment::Local;
                plan.place.product = "shop".to_owned();
                plan.artifact = "latest".to_owned();
                plan.gates.remove(&Gate::Schema);
                plan.rollback.schema = 4;
            },
            &[
                elsewhere("project", "q", "p"),
                elsewhere("product", "shop", "air"),
                elsewhere("environment", "local", "production"),
                Refusal::Digest { what: "artifact".to_owned(), text: "latest".to_owned() },
                Refusal::Gate(Gate::Schema),
                Refusal::NoWayBack { schema: 4, max: 3 },
            ],
        );
    }

    #[test]
    fn only_expansions_precede_a_canary() {
        let kind = MigrationKind::Contract;
        let drop = Migration { name: "9_drop".to_owned(), digest: digest('d'), kind };
        check(|plan| plan.migrations.push(drop), &[Refusal::Contracts("9_drop".to_owned())]);
    }

    #[test]
    fn the_hash_changes_with_every_gate_and_survives_a_round_trip() {
        let text = serde_json::to_string_pretty(&plan()).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap().hash(), plan().hash());
        for gate in Gate::ALL {
            let mut other = plan();
            other.gates.insert(gate, digest('e'));
            assert_ne!(other.hash(), plan().hash(), "{gate:?}");
        }
        let value = serde_json::to_value(plan()).unwrap().to_string();
        assert!(value.starts_with(r#"{"artifact":"#), "{value}");
    }
}
