//! What a control does: it claims, resumes, watches its edges and acts.

use tidegate_core::clock::Timestamp;
use tidegate_core::routing::DEFAULT_LEASE_MS;

use super::{Control, EDGES, Edge, Step, WATCH_MS, World, digest, edge_name, ms, plan};
use crate::rollout::event::{Action, Check, Event, Intent, Verdict, Word};
use crate::rollout::guard::Guard;
use crate::rollout::journal::{self, Entry, Record};
use crate::rollout::lease::{Claim, Tenure, Watch};
use crate::rollout::plan::Gate;
use crate::rollout::simulate::Fault;
use crate::rollout::state::{Phase, State};

// === impl World ===

impl World<'_> {
    pub(super) fn runs(&self, control: usize) -> bool {
        self.seats.get(control).is_some_and(|seat| seat.life.is_some() && seat.until <= self.now)
    }

    pub(super) fn may_act(&self, control: usize) -> bool {
        let life = self.seats.get(control).and_then(|seat| seat.life.as_ref());
        life.is_some_and(|life| {
            life.tenure.may_act(self.clock()) || !self.guards.on(Guard::ControlLease)
        })
    }

    pub(super) fn tend(&mut self, control: usize) {
        if self.seats[control].until > self.now {
            return;
        }
        if self.seats[control].life.is_none() {
            let now = self.clock();
            if let Some(claim) = self.seats[control].watch.look(self.claim, now) {
                self.begin(control, claim);
            }
            return;
        }
        if !self.renew(control) {
            return self.end(control, 1_000);
        }
        self.submit(control);
        self.watch_edges(control);
        self.try_gates(control);
        self.feed(control, Event::Tick);
    }

    pub(super) fn renew(&mut self, control: usize) -> bool {
        let now = self.clock();
        let present = self.claim;
        let guarded = self.guards.on(Guard::ControlLease);
        let Some(life) = self.seats[control].life.as_mut() else { return false };
        if let Some(claim) = life.tenure.renewal(now)
            && life.tenure.claim() == present
        {
            life.tenure = Tenure::new(claim, now);
            self.claim = claim;
        }
        life.tenure.may_act(now) || !guarded
    }

    pub(super) fn begin(&mut self, control: usize, claim: Claim) {
        self.claim = claim;
        let Ok((records, whole)) = journal::decode(&self.journal) else {
            return self.violate("I12", "the journal is damaged");
        };
        self.journal.truncate(whole);
        let Ok(state) = journal::resume_under(self.guards, &records) else {
            return self.violate("I12", "the journal's records are out of order");
        };
        if state.as_ref() != self.newest_state() {
            self.violate("I12", "the resumed state is not the one before");
        }
        let begun = state.is_some();
        let tenure = Tenure::new(claim, self.clock());
        let heard = vec![self.now; EDGES];
        let life = Control { state, tenure, served: None, heard, read_back_at: None };
        self.seats[control].life = Some(life);
        if begun {
            self.feed(control, Event::Resumed { epoch: claim.epoch });
        }
    }

    pub(super) fn end(&mut self, control: usize, away: u64) {
        if let Some(life) = self.seats[control].life.take()
            && self.truth.epoch <= life.tenure.claim().epoch
        {
            self.last = life.state;
        }
        self.seats[control].watch = Watch::default();
        self.seats[control].until = self.now + away;
    }

    pub(super) fn newest_state(&self) -> Option<&State> {
        let lives = self.seats.iter().filter_map(|seat| seat.life.as_ref());
        let newest = lives.filter(|life| life.tenure.claim().epoch >= self.truth.epoch);
        newest.filter_map(|life| life.state.as_ref()).next().or(self.last.as_ref())
    }

    pub(super) fn submit(&mut self, control: usize) {
        let Some(life) = self.seats[control].life.as_ref() else { return };
        if life.state.is_some() {
            return;
        }
        let plan = plan(self.seed);
        let edges: Vec<String> = (0..EDGES).map(edge_name).collect();
        let epoch = life.tenure.claim().epoch;
        let entry = Entry::Begun { plan: Box::new(plan.clone()), edges: edges.clone() };
        if self.append(control, entry)
            && let Some(life) = self.seats[control].life.as_mut()
        {
            life.state = Some(State::new(plan, edges, epoch));
        }
    }

    pub(super) fn watch_edges(&mut self, control: usize) {
        let now = self.now;
        let Some(life) = self.seats[control].life.as_mut() else { return };
        if life.read_back_at.take_if(|at| *at <= now).is_some() {
            let there = self.edges.iter().enumerate().filter(|(_, edge)| edge.away_until <= now);
            let weight = |edge: &Edge| edge.held.map_or(0, |held| held.weight_at(ms(now)));
            let weights = there.map(|(name, edge)| (edge_name(name), weight(edge))).collect();
            return self.feed(control, Event::ReadBack { weights });
        }
        let flows = life.state.as_ref().is_some_and(|state| state.stage().is_some());
        let silent = life.heard.iter().position(|at| now - at > DEFAULT_LEASE_MS);
        if let Some(edge) = silent.filter(|_| flows) {
            self.feed(control, Event::LeaseLost { edge: edge_name(edge) });
        }
    }

    pub(super) fn try_gates(&mut self, control: usize) {
        let life = self.seats[control].life.as_ref();
        let Some(state) = life.and_then(|life| life.state.as_ref()) else { return };
        match state.phase() {
            Phase::Planned => {
                let gate = Gate::ALL[self.dice.index(Gate::ALL.len())];
                let found = digest('c');
                self.feed(control, Event::Gate { gate, found, passed: true });
            }
            Phase::Edges => {
                let check = Check::ALL[self.dice.index(Check::ALL.len() - 1)];
                self.truth.checks.insert(check);
                self.feed(control, Event::Checked { check });
            }
            _ => {}
        }
    }

    /// Writes a line; a crash may strike in its midst.
    pub(super) fn append(&mut self, control: usize, entry: Entry) -> bool {
        let Some(life) = self.seats[control].life.as_ref() else { return false };
        let epoch = life.tenure.claim().epoch;
        if epoch < self.claim.epoch && self.guards.on(Guard::ControlLease) {
            self.end(control, 1_000);
            return false;
        }
        if epoch < self.truth.epoch {
            self.violate("I4", "two lives of control write");
        }
        let at = Timestamp((self.wall_ms + i64::try_from(self.now).unwrap_or(0)) * 1_000);
        let line = Record { epoch, at, now_ms: self.now, entry }.encode();
        self.truth.epoch = self.truth.epoch.max(epoch);
        self.crash_in = self.crash_in.map(|left| left.saturating_sub(1));
        if self.crash_in.take_if(|left| *left == 0).is_some() {
            let torn = self.dice.index(line.len());
            self.journal.extend(line.bytes().take(torn));
            self.hit(Fault::Crash);
            let away = self.dice.below(30_000);
            self.end(control, away);
            return false;
        }
        self.journal.extend(line.bytes());
        true
    }

    pub(super) fn feed(&mut self, control: usize, event: Event) {
        if !self.runs(control) || !self.may_act(control) {
            return;
        }
        if self.seats[control].life.as_ref().is_none_or(|life| life.state.is_none()) {
            return;
        }
        if !self.append(control, Entry::Happened(event.clone())) {
            return;
        }
        let now = self.clock();
        let guards = self.guards;
        let Some(life) = self.seats[control].life.as_mut() else { return };
        let Some(state) = life.state.take() else { return };
        let before = state.phase();
        let (state, intents) = state.step_under(guards, &event, now);
        let after = state.phase();
        let stage = state.stage();
        life.state = Some(state);
        self.learn(&event, before);
        if before != after {
            let name = format!("{before:?} -> {after:?}");
            *self.report.transitions.entry(name).or_default() += 1;
            self.enter(before, after, stage);
        }
        for intent in intents {
            if guards.on(Guard::WriteAhead) {
                if !self.append(control, Entry::Intent(intent.clone())) {
                    return;
                }
                if let Action::Route { generation, weight_bp, .. } = intent.action {
                    self.truth.intents.insert((intent.epoch, generation, weight_bp));
                }
            }
            self.act(control, &intent);
        }
    }

    /// Notes what must lead to zero.
    pub(super) fn learn(&mut self, event: &Event, before: Phase) {
        let aborts = match event {
            Event::Verdict { verdict, .. } => {
                *verdict == Verdict::Fail && !matches!(before, Phase::Planned | Phase::Staged)
            }
            Event::Said { word, .. } => matches!(word, Word::Abort | Word::Rollback),
            Event::LeaseLost { .. } => true,
            _ => false,
        };
        if aborts && !before.is_final() && self.truth.aborted_at.is_none() {
            self.truth.aborted_at = Some(self.now);
        }
    }

    pub(super) fn enter(&mut self, before: Phase, after: Phase, stage: Option<usize>) {
        if matches!(before, Phase::Aborting(_))
            && !matches!(after, Phase::Aborting(_) | Phase::RolledBack)
        {
            self.violate("I3", "an abort was left");
        }
        if after == Phase::Signed && self.truth.checks.len() < Check::ALL.len() {
            self.violate("I6", "signed without the whole checklist");
        }
        if let Some(stage) = stage {
            self.truth.stage_began.entry(stage).or_insert(self.now);
            if after == Phase::Verify { self.may_rise(stage + 1) } else { self.may_rise(stage) }
        }
    }

    /// Checks what must have been before this stage.
    pub(super) fn may_rise(&mut self, stage: usize) {
        for before in 0..stage {
            let decided = self.truth.decided.contains(&before);
            if !decided && !self.truth.passed.contains(&before) {
                self.violate("I1", "a stage followed without PASS or decision");
            }
        }
        let Some(before) = stage.checked_sub(1) else { return };
        let began = self.truth.stage_began.get(&before).copied().unwrap_or(self.now);
        if stage < 4 && self.now - began < WATCH_MS {
            self.violate("I1", "a stage was watched too briefly");
        }
        let held = self.truth.latest == Some((before, Verdict::Hold));
        if held && !self.truth.decided.contains(&before) {
            self.violate("I2", "a weight rose on HOLD");
        }
    }

    pub(super) fn act(&mut self, control: usize, intent: &Intent) {
        match &intent.action {
            Action::ReadBack => {
                if let Some(life) = self.seats[control].life.as_mut() {
                    life.read_back_at = Some(self.now + 2_000);
                }
            }
            Action::Route { generation, weight_bp, promoted, .. } => {
                self.route(control, (intent.epoch, *generation), *weight_bp, *promoted);
            }
            Action::Run { task } => {
                if self.truth.in_flight.insert(*task) {
                    let takes = 200 + self.dice.below(3_000);
                    self.after(takes, Step::Effect(*task));
                }
            }
            Action::RetireStable => self.truth.retired = true,
            Action::OpenIncident => {}
        }
    }
}
