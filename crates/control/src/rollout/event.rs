//! What a rollout learns, and what it wants done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rollout::plan::Gate;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A gate was tried.
    Gate {
        /// Which one.
        gate: Gate,
        /// Digest of what it found: counts only if it is the plan's.
        found: String,
        /// Whether it lets the release through.
        passed: bool,
    },
    /// An edge acts on a document.
    Acked {
        /// Name of the edge.
        edge: String,
        /// Epoch of the document.
        epoch: u64,
        /// Generation of the document.
        generation: u64,
    },
    /// The judge has looked at a stage.
    Verdict {
        /// Digest of the artifact that was judged.
        artifact: String,
        /// Number of the stage that was judged.
        stage: usize,
        /// What it found.
        verdict: Verdict,
    },
    /// A rule without statistics was broken.
    Trip {
        /// Which one.
        rule: String,
    },
    /// An edge has not renewed its lease.
    LeaseLost {
        /// Name of the edge.
        edge: String,
    },
    /// The canary's instances are not healthy.
    HealthLost {
        /// Which tier's.
        tier: String,
    },
    /// A person spoke; who they are was verified before.
    Said {
        /// Their identity.
        who: String,
        /// What they said.
        word: Word,
    },
    /// A task has had its effect.
    Done {
        /// Which one.
        task: Task,
    },
    /// An item of the checklist is there.
    Checked {
        /// Which one.
        check: Check,
    },
    /// Time has passed.
    Tick,
    /// Another life of control goes on with it.
    Resumed {
        /// Its epoch.
        epoch: u64,
    },
    /// What edges act on, asked after a restart; an edge that did not answer is missing.
    ReadBack {
        /// Weight by edge, in basis points.
        weights: BTreeMap<String, u16>,
    },
}

/// What the judge found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The release was shown good.
    Pass,
    /// The release was shown bad.
    Fail,
    /// Neither: also without any data.
    Hold,
}

/// What a person may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Word {
    /// Stands in for a missing PASS of one stage; in production only as a signed decision.
    Approve {
        /// Hash of the plan that is approved.
        plan_hash: String,
        /// The guardrail token.
        token: String,
        /// Number of the stage.
        stage: usize,
        /// Whether it is a decision signed by a key that may take it; verified before.
        signed: bool,
    },
    /// Stay at this stage.
    Hold,
    /// Stay no longer.
    Resume,
    /// Go back.
    Abort,
    /// Go back.
    Rollback,
}

/// An item of the checklist before the sign-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The artifact's digest is the registry's.
    Artifact,
    /// The deployment has completed.
    Deployment,
    /// The guardrail token is in the audit log.
    Token,
    /// The metrics that were judged are kept.
    Snapshots,
    /// The edges were released too.
    EdgesReleased,
}

/// Work outside of the state machine; each can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Run staging: expand the schema, integration and smoke.
    Stage,
    /// Start the canary's instances.
    StartCanary,
    /// Kick background tasks, warm and check caches, smoke, objectives.
    Verify,
    /// Release the edges, node by node.
    ReleaseEdges,
    /// Stop and revoke the canary's consumers.
    StopCanary,
    /// Give the canary's jobs to stable, or park them.
    ReturnJobs,
}

/// What is to be done, once it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Equal for the same effect: who acts on it does so once.
    pub key: String,
    /// Life of the control that wants it.
    pub epoch: u64,
    /// What is wanted.
    pub action: Action,
}

/// What a rollout wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Ask every edge what it acts on.
    ReadBack,
    /// Issue a routing document.
    Route {
        /// Generation it follows.
        expected: u64,
        /// Its generation.
        generation: u64,
        /// The canary's share, in basis points.
        weight_bp: u16,
        /// Whether the new release is the stable one.
        promoted: bool,
    },
    /// Run a task.
    Run {
        /// Which one.
        task: Task,
    },
    /// Stop the instances of the old release.
    RetireStable,
    /// Open an incident with the evidence.
    OpenIncident,
}

// === impl Check ===

impl Check {
    /// The whole checklist.
    pub const ALL: [Self; 5] =
        [Self::Artifact, Self::Deployment, Self::Token, Self::Snapshots, Self::EdgesReleased];
}

// === impl Intent ===

impl Intent {
    /// Names an effect: that of a document or a question belongs to one epoch, any other to the
    /// release, so that a takeover does not repeat it.
    pub(crate) fn new(release: &str, epoch: u64, action: Action) -> Self {
        let key = match &action {
            Action::ReadBack => format!("{release}/read_back/{epoch}"),
            Action::Route { generation, .. } => format!("{release}/route/{epoch}.{generation}"),
            Action::Run { task } => format!("{release}/run/{task:?}"),
            Action::RetireStable => format!("{release}/retire_stable"),
            Action::OpenIncident => format!("{release}/open_incident"),
        };
        Self { key, epoch, action }
    }
}
