//! The state machine of a rollout: events in, intents out, no I/O.
//!
//! `now` is monotonic, since any fixed moment of this life of control: a wall clock that is moved
//! can neither shorten a watch nor a lease. After a restart it counts on from where it stood.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_core::routing::DEFAULT_LEASE_MS;

use crate::config::Environment;
use crate::rollout::event::{Action, Check, Event, Intent, Task, Verdict, Word};
use crate::rollout::guard::{Guard, Guards};
use crate::rollout::plan::{Gate, Plan};

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Gates and staging are under way.
    Planned,
    /// It stood the test of staging; its instances are started.
    Staged,
    /// The first stage of traffic.
    Canary,
    /// A later stage, by its number in the plan.
    Ramp(usize),
    /// All traffic.
    Full,
    /// Caches are warmed, tasks kicked, smoke and objectives checked.
    Verify,
    /// The edges themselves are released; then the checklist.
    Edges,
    /// The new release is the stable one. Final.
    Signed,
    /// On the way back; leads nowhere else.
    Aborting(Undo),
    /// The old release serves all. Final.
    RolledBack,
}

/// Steps of the way back, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Every edge goes to zero, by word or because its lease is over.
    Routes,
    /// The canary's consumers stop.
    Consumers,
    /// The canary's jobs go to stable.
    Jobs,
}

/// A rollout, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    plan: Plan,
    plan_hash: String,
    phase: Phase,
    /// Life of the control that decides.
    epoch: u64,
    /// Of the newest document in this epoch.
    generation: u64,
    /// In the newest document, in basis points.
    weight_bp: u16,
    /// Each edge, and whether it acts on the newest document.
    edges: BTreeMap<String, bool>,
    gates: BTreeSet<Gate>,
    /// The latest on the present stage.
    verdict: Option<Verdict>,
    /// Who took the decision that stands in for a PASS of the present stage.
    decided_by: Option<String>,
    held_by: Option<String>,
    checks: BTreeSet<Check>,
    /// Control has restarted, and does not know yet what edges do.
    reading: bool,
    retired: bool,
    /// Why it goes back.
    cause: Option<String>,
    /// Milliseconds of the present phase that count.
    counted_ms: u64,
    clock: Option<Duration>,
}

// === impl Phase ===

impl Phase {
    /// Tells whether nothing changes any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Signed | Self::RolledBack)
    }

    fn at(stage: usize, stages: usize) -> Self {
        match stage {
            0 => Self::Canary,
            last if last + 1 == stages => Self::Full,
            ramp => Self::Ramp(ramp),
        }
    }
}

// === impl State ===

impl State {
    /// Begins a rollout of a plan that was checked, on these edges.
    pub fn new(plan: Plan, edges: impl IntoIterator<Item = String>, epoch: u64) -> Self {
        Self {
            plan_hash: plan.hash(),
            plan,
            phase: Phase::Planned,
            epoch,
            generation: 0,
            weight_bp: 0,
            edges: edges.into_iter().map(|edge| (edge, false)).collect(),
            gates: BTreeSet::new(),
            verdict: None,
            decided_by: None,
            held_by: None,
            checks: BTreeSet::new(),
            reading: false,
            retired: false,
            cause: None,
            counted_ms: 0,
            clock: None,
        }
    }

    /// Returns where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the hash that approvals must name.
    pub fn plan_hash(&self) -> &str {
        &self.plan_hash
    }

    /// Returns the life of control that decides.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns epoch and generation of the newest document.
    pub fn version(&self) -> (u64, u64) {
        (self.epoch, self.generation)
    }

    /// Returns the weight of the newest document, in basis points.
    pub fn weight_bp(&self) -> u16 {
        self.weight_bp
    }

    /// Returns who holds the present stage.
    pub fn held_by(&self) -> Option<&str> {
        self.held_by.as_deref()
    }

    /// Returns why it went back.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Returns the number of the stage whose traffic flows, if any does.
    pub fn stage(&self) -> Option<usize> {
        match self.phase {
            Phase::Canary => Some(0),
            Phase::Ramp(stage) => Some(stage),
            Phase::Full | Phase::Verify | Phase::Edges => self.plan.stages.len().checked_sub(1),
            _ => None,
        }
    }

    /// Takes in one event, and tells what is to be done: write the intents down, then act on them.
    pub fn step(self, event: &Event, now: Duration) -> (Self, Vec<Intent>) {
        self.step_under(Guards::ALL, event, now)
    }

    pub(crate) fn step_under(
        mut self,
        guards: Guards,
        event: &Event,
        now: Duration,
    ) -> (Self, Vec<Intent>) {
        let mut intents = Vec::new();
        self.count(now);
        self.take(guards, event, &mut intents);
        self.advance(guards, &mut intents);
        if matches!(event, Event::Tick) && intents.is_empty() {
            // Whoever acts knows by the key what is done already.
            intents.extend(self.task().map(|task| self.intent(Action::Run { task })));
        }
        (self, intents)
    }

    /// Counts time of the present phase: on the way up only while every edge acts on its weight.
    fn count(&mut self, now: Duration) {
        let since = self.clock.replace(now).map_or(Duration::ZERO, |at| now.saturating_sub(at));
        let returning = matches!(self.phase, Phase::Aborting(_));
        if returning || (!self.reading && self.all_act()) {
            let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            self.counted_ms = self.counted_ms.saturating_add(since);
        }
    }

    fn take(&mut self, guards: Guards, event: &Event, intents: &mut Vec<Intent>) {
        match event {
            Event::Resumed { epoch } => self.resume(*epoch, intents),
            Event::ReadBack { weights } => self.read_back(weights, intents),
            Event::Acked { edge, epoch, generation } => {
                let newest = (*epoch, *generation) == self.version();
                if let Some(acts) = self.edges.get_mut(edge) {
                    *acts = newest;
                }
            }
            Event::Gate { gate, found, passed } => {
                if *passed && self.plan.gates.get(gate) == Some(found) {
                    self.gates.insert(*gate);
                } else {
                    self.abort(guards, format!("gate {gate:?}"), intents);
                }
            }
            Event::Verdict { artifact, stage, verdict } => {
                self.judge(guards, (artifact, *stage), *verdict, intents);
            }
            Event::Trip { rule } => self.abort(guards, format!("trip {rule}"), intents),
            Event::LeaseLost { edge } => self.abort(guards, format!("lease of {edge}"), intents),
            Event::HealthLost { tier } => self.abort(guards, format!("health of {tier}"), intents),
            Event::Said { who, word } => self.hear(guards, who, word, intents),
            Event::Done { task } => self.finish(*task, intents),
            Event::Checked { check } => {
                if self.phase == Phase::Edges {
                    self.checks.insert(*check);
                }
            }
            Event::Tick => {}
        }
    }

    fn resume(&mut self, epoch: u64, intents: &mut Vec<Intent>) {
        if epoch <= self.epoch {
            return;
        }
        self.epoch = epoch;
        self.generation = 0;
        self.clock = None;
        self.edges.values_mut().for_each(|acts| *acts = false);
        intents.push(self.intent(Action::ReadBack));
        // The way back and what is final wait for nothing: both are the same whatever edges do.
        if self.phase.is_final() || matches!(self.phase, Phase::Aborting(_)) {
            self.route(self.weight_bp, intents);
        } else {
            self.reading = true;
        }
    }

    /// Goes on if the edges still act on this stage or the one before; goes back otherwise, as
    /// control was away for longer than their lease.
    fn read_back(&mut self, weights: &BTreeMap<String, u16>, intents: &mut Vec<Intent>) {
        if !std::mem::take(&mut self.reading) {
            return;
        }
        let Some(stage) = self.stage() else { return };
        let known = |at: usize| self.plan.stages.get(at).map(|stage| stage.weight_bp);
        let (present, before) = (known(stage), stage.checked_sub(1).and_then(known));
        let lost = self.edges.keys().find(|edge| {
            let acts_on = weights.get(*edge).copied();
            acts_on.is_none() || (acts_on != present && acts_on != before)
        });
        match lost.cloned() {
            Some(edge) => self.abort(Guards::ALL, format!("lease of {edge}"), intents),
            None => self.route(self.weight_bp, intents),
        }
    }

    fn judge(
        &mut self,
        guards: Guards,
        (artifact, stage): (&str, usize),
        verdict: Verdict,
        intents: &mut Vec<Intent>,
    ) {
        let subject = artifact == self.plan.artifact;
        if subject && verdict == Verdict::Fail && self.stage().is_some() {
            return self.abort(guards, format!("FAIL of stage {stage}"), intents);
        }
        // A verdict that was long on its way says nothing of the present stage.
        if (subject && self.stage() == Some(stage)) || !guards.on(Guard::VerdictSubject) {
            self.verdict = Some(verdict);
        }
    }

    fn hear(&mut self, guards: Guards, who: &str, word: &Word, intents: &mut Vec<Intent>) {
        match word {
            Word::Hold => self.held_by = Some(who.to_owned()),
            Word::Resume => self.held_by = None,
            Word::Abort | Word::Rollback => self.abort(guards, format!("{who}: {word:?}"), intents),
            Word::Approve { plan_hash, token, stage, signed } => {
                let named = *plan_hash == self.plan_hash && *token == self.plan.place.token;
                let named = named || !guards.on(Guard::ApprovedPlan);
                let weighs = *signed
                    || self.plan.place.environment != Environment::Production
                    || !guards.on(Guard::SignedDecision);
                if named && weighs && self.stage() == Some(*stage) {
                    self.decided_by = Some(who.to_owned());
                }
            }
        }
    }

    fn finish(&mut self, task: Task, intents: &mut Vec<Intent>) {
        // A task of another phase was repeated: its effect is known.
        if self.task() != Some(task) {
            return;
        }
        match task {
            Task::Stage => self.enter(Phase::Staged),
            Task::StartCanary => self.serve(0, intents),
            Task::Verify => self.enter(Phase::Edges),
            Task::ReleaseEdges => {}
            Task::StopCanary => self.enter(Phase::Aborting(Undo::Jobs)),
            Task::ReturnJobs => {
                self.enter(Phase::RolledBack);
                intents.push(self.intent(Action::OpenIncident));
            }
        }
        if task == Task::ReleaseEdges {
            self.checks.insert(Check::EdgesReleased);
        }
        intents.extend(self.task().map(|next| self.intent(Action::Run { task: next })));
    }

    fn advance(&mut self, guards: Guards, intents: &mut Vec<Intent>) {
        match self.phase {
            Phase::Aborting(Undo::Routes) => self.leave_routes(guards, intents),
            Phase::Signed => self.retire(guards, intents),
            _ if self.reading || self.held_by.is_some() => {}
            Phase::Canary | Phase::Ramp(_) | Phase::Full => self.climb(guards, intents),
            Phase::Edges => self.sign(guards, intents),
            _ => {}
        }
    }

    fn climb(&mut self, guards: Guards, intents: &mut Vec<Intent>) {
        let Some(stage) = self.stage() else { return };
        let watch_ms = self.plan.stages.get(stage).map_or(u64::MAX, |stage| stage.watch_ms);
        let watched = self.counted_ms >= watch_ms || !guards.on(Guard::Watch);
        let act = self.all_act() || !guards.on(Guard::Barrier);
        let good = match self.verdict {
            Some(Verdict::Pass) => true,
            Some(Verdict::Hold) if !guards.on(Guard::HoldStays) => true,
            _ => self.decided_by.is_some() || !guards.on(Guard::Pass),
        };
        if !(watched && act && good) {
            return;
        }
        if stage + 1 < self.plan.stages.len() {
            self.serve(stage + 1, intents);
        } else {
            self.enter(Phase::Verify);
            intents.extend(self.task().map(|task| self.intent(Action::Run { task })));
        }
    }

    fn sign(&mut self, guards: Guards, intents: &mut Vec<Intent>) {
        let whole = Check::ALL.iter().all(|check| self.checks.contains(check));
        if whole || !guards.on(Guard::Checklist) {
            self.enter(Phase::Signed);
            self.route(0, intents);
        }
    }

    /// Lets the old instances go once every edge has the new release as its stable one.
    fn retire(&mut self, guards: Guards, intents: &mut Vec<Intent>) {
        if !self.retired && (self.all_act() || !guards.on(Guard::StableKept)) {
            self.retired = true;
            intents.push(self.intent(Action::RetireStable));
        }
    }

    fn leave_routes(&mut self, guards: Guards, intents: &mut Vec<Intent>) {
        if self.all_act() || self.counted_ms >= DEFAULT_LEASE_MS {
            self.enter(Phase::Aborting(Undo::Consumers));
            intents.extend(self.task().map(|task| self.intent(Action::Run { task })));
            if !guards.on(Guard::StopFirst) {
                self.enter(Phase::Aborting(Undo::Jobs));
                intents.extend(self.task().map(|task| self.intent(Action::Run { task })));
            }
        }
    }

    fn abort(&mut self, guards: Guards, cause: String, intents: &mut Vec<Intent>) {
        if self.phase.is_final() || matches!(self.phase, Phase::Aborting(_)) {
            return;
        }
        // Deaf to it while someone holds: the mistake of a gate that suspends the judge.
        if self.held_by.is_some() && !guards.on(Guard::AbortWins) {
            return;
        }
        self.cause = Some(cause);
        self.reading = false;
        self.enter(Phase::Aborting(Undo::Routes));
        self.route(0, intents);
    }

    fn serve(&mut self, stage: usize, intents: &mut Vec<Intent>) {
        let Some(weight_bp) = self.plan.stages.get(stage).map(|stage| stage.weight_bp) else {
            return;
        };
        self.enter(Phase::at(stage, self.plan.stages.len()));
        self.route(weight_bp, intents);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.counted_ms = 0;
        self.verdict = None;
        self.decided_by = None;
    }

    fn route(&mut self, weight_bp: u16, intents: &mut Vec<Intent>) {
        let expected = self.generation;
        self.generation = self.generation.saturating_add(1);
        self.weight_bp = weight_bp;
        self.edges.values_mut().for_each(|acts| *acts = false);
        let promoted = self.phase == Phase::Signed;
        let generation = self.generation;
        intents.push(self.intent(Action::Route { expected, generation, weight_bp, promoted }));
    }

    fn intent(&self, action: Action) -> Intent {
        Intent::new(&self.plan.release, self.epoch, action)
    }

    fn all_act(&self) -> bool {
        self.edges.values().all(|acts| *acts)
    }

    /// Returns what runs outside in the present phase.
    fn task(&self) -> Option<Task> {
        if self.reading {
            return None;
        }
        match self.phase {
            Phase::Planned => {
                Gate::ALL.iter().all(|one| self.gates.contains(one)).then_some(Task::Stage)
            }
            Phase::Staged => Some(Task::StartCanary),
            Phase::Verify => Some(Task::Verify),
            Phase::Edges if !self.checks.contains(&Check::EdgesReleased) => {
                Some(Task::ReleaseEdges)
            }
            Phase::Aborting(Undo::Consumers) => Some(Task::StopCanary),
            Phase::Aborting(Undo::Jobs) => Some(Task::ReturnJobs),
            _ => None,
        }
    }
}
