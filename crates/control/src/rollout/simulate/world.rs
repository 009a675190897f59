//! The world of one run: two controls on one journal, edges, workers, a judge, people.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_core::routing::grant::{Grant, Held};
use tidegate_core::routing::{DEFAULT_LEASE_MS, RENEW_EVERY_MS};

use crate::config::Environment;
use crate::rollout::event::{Action, Check, Event, Intent, Task, Verdict, Word};
use crate::rollout::guard::{Guard, Guards};
use crate::rollout::journal::{self, Entry, Record};
use crate::rollout::lease::{Claim, Tenure, Watch};
use crate::rollout::plan::{BlastRadius, Gate, Place, Plan, RollbackPath};
use crate::rollout::simulate::{Fault, Report, Violation};
use crate::rollout::state::{Phase, State};

/// After this many milliseconds a run ends as it stands.
const END_MS: u64 = 400_000;
const TICK_MS: u64 = 1_000;
const WATCH_MS: u64 = 20_000;
const EDGES: usize = 3;
const CANARY_BP: u16 = 500;

/// Numbers of `SplitMix64` (Steele, Lea and Flood, 2014): small, and equal everywhere.
struct Dice(u64);

/// Something that will happen; the derived order only breaks ties.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Control(usize),
    Poll(usize),
    Wake(usize),
    Answer { edge: usize, control: usize, asked_at: u64, grant: (u64, u64, u16) },
    Ack { edge: usize, control: usize, version: (u64, u64) },
    Effect(Task),
    Judge,
    Strike(Fault),
    Speak(Fault),
}

struct Control {
    state: Option<State>,
    tenure: Tenure,
    served: Option<Grant>,
    heard: Vec<u64>,
    read_back_at: Option<u64>,
}

/// Where a control runs.
struct Seat {
    life: Option<Control>,
    watch: Watch,
    /// Dead or stopped until then.
    until: u64,
}

#[derive(Default)]
struct Edge {
    held: Option<Held>,
    newest: (u64, u64),
    away_until: u64,
}

/// What is true, whatever control believes.
#[derive(Default)]
struct Truth {
    bad: bool,
    passed: BTreeSet<usize>,
    decided: BTreeSet<usize>,
    latest: Option<(usize, Verdict)>,
    stage_began: BTreeMap<usize, u64>,
    intents: BTreeSet<(u64, u64, u16)>,
    promoted: BTreeSet<(u64, u64)>,
    last_route: Option<((u64, u64), u16)>,
    aborted_at: Option<u64>,
    checks: BTreeSet<Check>,
    effects: BTreeSet<Task>,
    in_flight: BTreeSet<Task>,
    consuming: bool,
    retired: bool,
    epoch: u64,
}

pub(super) struct World<'a> {
    guards: Guards,
    seed: u64,
    faults: BTreeSet<Fault>,
    report: &'a mut Report,
    dice: Dice,
    now: u64,
    wall_ms: i64,
    order: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Step)>>,
    journal: Vec<u8>,
    claim: Claim,
    seats: [Seat; 2],
    /// The state of the last writer when it ended.
    last: Option<State>,
    crash_in: Option<u64>,
    edges: Vec<Edge>,
    truth: Truth,
    no_data_until: u64,
}

// === impl Dice ===

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }
}

// === impl World ===

impl<'a> World<'a> {
    pub(super) fn new(
        guards: Guards,
        seed: u64,
        faults: &BTreeSet<Fault>,
        report: &'a mut Report,
    ) -> Self {
        let seat = || Seat { life: None, watch: Watch::default(), until: 0 };
        let mut world = Self {
            guards,
            seed,
            faults: BTreeSet::new(),
            report,
            dice: Dice(seed),
            now: 0,
            wall_ms: 0,
            order: 0,
            queue: BinaryHeap::new(),
            journal: Vec::new(),
            claim: Claim::default(),
            seats: [seat(), seat()],
            last: None,
            crash_in: None,
            edges: (0..EDGES).map(|_| Edge::default()).collect(),
            truth: Truth::default(),
            no_data_until: 0,
        };
        // About a third of the faults in each run: all at once, no rollout gets anywhere.
        world.faults = faults.iter().copied().filter(|_| world.dice.chance(35)).collect();
        world
    }

    pub(super) fn run(mut self) {
        self.plan_steps();
        while let Some(Reverse((at, _, step))) = self.queue.pop() {
            if at > END_MS {
                break;
            }
            self.now = at;
            self.happen(step);
            self.check();
        }
        let phase = self.newest_state().map(|state| format!("{:?}", state.phase()));
        *self.report.ends.entry(phase.unwrap_or_else(|| "None".to_owned())).or_default() += 1;
    }

    fn plan_steps(&mut self) {
        self.after(0, Step::Control(0));
        self.after(500, Step::Control(1));
        for edge in 0..EDGES {
            self.after(100 * edge as u64, Step::Poll(edge));
        }
        self.after(2_000, Step::Judge);
        for fault in self.faults.clone() {
            match fault {
                Fault::BadBuild => {
                    self.truth.bad = true;
                    self.hit(fault);
                }
                Fault::Loss | Fault::Duplicate | Fault::Delay | Fault::StaleVerdict => {}
                Fault::Hold | Fault::Abort | Fault::Approve | Fault::Resubmit => {
                    let times = if fault == Fault::Abort { 1 } else { 6 };
                    for _ in 0..times {
                        let at = self.dice.below(150_000);
                        self.after(at, Step::Speak(fault));
                    }
                }
                _ => {
                    for _ in 0..=self.dice.below(3) {
                        let at = self.dice.below(150_000);
                        self.after(at, Step::Strike(fault));
                    }
                }
            }
        }
    }

    fn after(&mut self, delay: u64, step: Step) {
        self.order += 1;
        self.queue.push(Reverse((self.now + delay, self.order, step)));
    }

    fn clock(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    fn happen(&mut self, step: Step) {
        match step {
            Step::Control(control) => {
                self.tend(control);
                self.after(TICK_MS, Step::Control(control));
            }
            Step::Poll(edge) => {
                self.poll(edge);
                self.after(RENEW_EVERY_MS, Step::Poll(edge));
            }
            Step::Wake(edge) => self.poll(edge),
            Step::Answer { edge, control, asked_at, grant } => {
                self.answer(edge, control, asked_at, grant);
            }
            Step::Ack { edge, control, version: (epoch, generation) } => {
                let edge = edge_name(edge);
                self.feed(control, Event::Acked { edge, epoch, generation });
            }
            Step::Effect(task) => self.take_effect(task),
            Step::Judge => {
                self.judge();
                self.after(2_000, Step::Judge);
            }
            Step::Strike(fault) => self.strike(fault),
            Step::Speak(fault) => self.speak(fault),
        }
    }

    // Control.

    fn runs(&self, control: usize) -> bool {
        self.seats.get(control).is_some_and(|seat| seat.life.is_some() && seat.until <= self.now)
    }

    fn may_act(&self, control: usize) -> bool {
        let life = self.seats.get(control).and_then(|seat| seat.life.as_ref());
        life.is_some_and(|life| {
            life.tenure.may_act(self.clock()) || !self.guards.on(Guard::ControlLease)
        })
    }

    fn tend(&mut self, control: usize) {
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

    fn renew(&mut self, control: usize) -> bool {
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

    fn begin(&mut self, control: usize, claim: Claim) {
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

    fn end(&mut self, control: usize, away: u64) {
        if let Some(life) = self.seats[control].life.take()
            && self.truth.epoch <= life.tenure.claim().epoch
        {
            self.last = life.state;
        }
        self.seats[control].watch = Watch::default();
        self.seats[control].until = self.now + away;
    }

    fn newest_state(&self) -> Option<&State> {
        let lives = self.seats.iter().filter_map(|seat| seat.life.as_ref());
        let newest = lives.filter(|life| life.tenure.claim().epoch >= self.truth.epoch);
        newest.filter_map(|life| life.state.as_ref()).next().or(self.last.as_ref())
    }

    fn submit(&mut self, control: usize) {
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

    fn watch_edges(&mut self, control: usize) {
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

    fn try_gates(&mut self, control: usize) {
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
    fn append(&mut self, control: usize, entry: Entry) -> bool {
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

    fn feed(&mut self, control: usize, event: Event) {
        if !self.runs(control) || !self.may_act(control) {
            return;
        }
        if self.seats[control].life.as_ref().is_none_or(|life| life.state.is_none()) {
            return;
        }
        if !self.append(control, Entry::from(event.clone())) {
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
    fn learn(&mut self, event: &Event, before: Phase) {
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

    fn enter(&mut self, before: Phase, after: Phase, stage: Option<usize>) {
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
    fn may_rise(&mut self, stage: usize) {
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

    fn act(&mut self, control: usize, intent: &Intent) {
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

    fn route(&mut self, control: usize, version: (u64, u64), weight_bp: u16, promoted: bool) {
        if let Some((last, before)) = self.truth.last_route {
            if weight_bp != 0 && weight_bp < before {
                self.violate("I11", "a weight fell, but not to zero");
            }
            if weight_bp > before {
                if self.edges.iter().any(|edge| edge.newest < last) {
                    self.violate("I11", "a weight rose before every edge had the last one");
                }
                if self.truth.aborted_at.is_some() {
                    self.violate("I3", "a weight rose after an abort");
                }
            }
        }
        self.truth.last_route = Some((version, weight_bp));
        if promoted {
            self.truth.promoted.insert(version);
        }
        let (epoch, generation) = version;
        let lease_ms = DEFAULT_LEASE_MS;
        if let Some(life) = self.seats[control].life.as_mut() {
            life.served = Some(Grant { epoch, generation, weight_bp, lease_ms });
        }
        for edge in 0..EDGES {
            self.after(10, Step::Wake(edge));
        }
    }

    // Edges.

    fn poll(&mut self, edge: usize) {
        if self.edges[edge].away_until > self.now {
            return;
        }
        // One address stands for whichever control answers.
        let first = self.dice.index(2);
        for control in [first, 1 - first] {
            if !self.runs(control) || !self.may_act(control) {
                continue;
            }
            let now = self.now;
            let Some(life) = self.seats[control].life.as_mut() else { continue };
            life.heard[edge] = now;
            let Some(served) = life.served else { continue };
            if self.loses() {
                return;
            }
            let mut takes = 5 + self.dice.below(50);
            if self.faults.contains(&Fault::Delay) && self.dice.chance(15) {
                self.hit(Fault::Delay);
                takes += self.dice.below(25_000);
            }
            let grant = (served.epoch, served.generation, served.weight_bp);
            return self.after(takes, Step::Answer { edge, control, asked_at: now, grant });
        }
    }

    fn loses(&mut self) -> bool {
        let lost = self.faults.contains(&Fault::Loss) && self.dice.chance(15);
        if lost {
            self.hit(Fault::Loss);
        }
        lost
    }

    fn answer(&mut self, edge: usize, control: usize, asked_at: u64, grant: (u64, u64, u16)) {
        if self.edges[edge].away_until > self.now {
            return;
        }
        let (epoch, generation, weight_bp) = grant;
        let offered = Grant { epoch, generation, weight_bp, lease_ms: DEFAULT_LEASE_MS };
        let present = self.edges[edge].held.filter(|_| self.guards.on(Guard::EdgeVersion));
        let Ok(held) = Held::accept(present.as_ref(), offered, ms(asked_at)) else { return };
        if held.grant().version() < self.edges[edge].newest {
            self.violate("I4", "an edge went back to an older document");
        }
        if !self.truth.intents.contains(&grant) {
            self.violate("I5", "an edge acts on what was not written down");
        }
        self.edges[edge].held = Some(held);
        self.edges[edge].newest = held.grant().version();
        if self.loses() {
            return;
        }
        let version = (epoch, generation);
        let takes = 5 + self.dice.below(50);
        self.after(takes, Step::Ack { edge, control, version });
        if self.faults.contains(&Fault::Duplicate) && self.dice.chance(30) {
            self.hit(Fault::Duplicate);
            let takes = self.dice.below(20_000);
            self.after(takes, Step::Ack { edge, control, version });
        }
    }

    // Workers, judge, people.

    fn take_effect(&mut self, task: Task) {
        self.truth.in_flight.remove(&task);
        self.truth.effects.insert(task);
        match task {
            // A worker refuses to consume for a release that was revoked.
            Task::StartCanary => {
                self.truth.consuming = !self.truth.effects.contains(&Task::StopCanary);
            }
            Task::StopCanary => self.truth.consuming = false,
            Task::ReleaseEdges => drop(self.truth.checks.insert(Check::EdgesReleased)),
            _ => {}
        }
        if !self.loses() {
            self.tell(Event::Done { task });
        }
    }

    fn tell(&mut self, event: Event) {
        for control in 0..self.seats.len() {
            self.feed(control, event.clone());
        }
    }

    fn judge(&mut self) {
        let Some(state) = self.newest_state() else { return };
        let (Some(stage), artifact) = (state.stage(), state.plan().artifact.clone()) else {
            return;
        };
        if matches!(state.phase(), Phase::Verify | Phase::Edges) && !self.truth.bad {
            return;
        }
        if self.faults.contains(&Fault::StaleVerdict) && self.dice.chance(20) {
            self.hit(Fault::StaleVerdict);
            let other = self.dice.chance(50);
            let stage = if other { stage } else { stage.wrapping_sub(1) };
            let artifact = if other { digest('9') } else { artifact.clone() };
            self.tell(Event::Verdict { artifact, stage, verdict: Verdict::Pass });
        }
        let verdict = match (self.no_data_until > self.now, self.truth.bad) {
            (true, _) => Verdict::Hold,
            (false, true) if self.dice.chance(20) => Verdict::Fail,
            (false, false) if self.dice.chance(50) => Verdict::Pass,
            _ => Verdict::Hold,
        };
        let still = self.newest_state().and_then(State::stage) == Some(stage);
        if still && self.seats.iter().enumerate().any(|(at, _)| self.runs(at) && self.may_act(at)) {
            self.truth.latest = Some((stage, verdict));
            if verdict == Verdict::Pass {
                self.truth.passed.insert(stage);
            }
            self.tell(Event::Verdict { artifact, stage, verdict });
        }
    }

    fn strike(&mut self, fault: Fault) {
        let edge = self.dice.index(EDGES);
        let span = self.dice.below(40_000);
        match fault {
            // Struck when the write happens.
            Fault::Crash => return self.crash_in = Some(1 + self.dice.below(6)),
            Fault::Stop => {
                let Some(control) = (0..2).find(|control| self.runs(*control)) else { return };
                self.seats[control].until = self.now + span;
            }
            Fault::Partition => self.edges[edge].away_until = self.now + span,
            Fault::EdgeRestart => {
                let held = &mut self.edges[edge].held;
                *held = held.map(|held| Held::from_disk(held.grant()));
            }
            Fault::Clock => self.wall_ms = i64::try_from(span).unwrap_or(0) * 30 - 600_000,
            Fault::NoData => self.no_data_until = self.now + span,
            _ => return,
        }
        self.hit(fault);
    }

    fn speak(&mut self, fault: Fault) {
        let Some(state) = self.newest_state() else { return };
        let stage = state.stage();
        let (hash, environment) = (state.plan_hash().to_owned(), state.plan().place.environment);
        let held = state.held_by().is_some();
        let word = match fault {
            Fault::Hold if held => Word::Resume,
            Fault::Hold => Word::Hold,
            Fault::Abort if self.dice.chance(50) => Word::Abort,
            Fault::Abort => Word::Rollback,
            Fault::Approve => {
                let Some(stage) = stage else { return };
                let (right, signed) = (self.dice.chance(50), self.dice.chance(50));
                if right && (signed || environment != Environment::Production) {
                    self.truth.decided.insert(stage);
                }
                let plan_hash = if right { hash } else { digest('8') };
                Word::Approve { plan_hash, token: "t".to_owned(), stage, signed }
            }
            // A control that has a rollout under way takes no other.
            _ => {
                self.hit(fault);
                return (0..2).for_each(|control| self.submit(control));
            }
        };
        self.hit(fault);
        self.tell(Event::Said { who: "ada".to_owned(), word });
    }

    fn hit(&mut self, fault: Fault) {
        *self.report.faults.entry(format!("{fault:?}")).or_default() += 1;
    }

    // Invariants that hold at every moment.

    fn check(&mut self) {
        self.report.checks += 1;
        let now = ms(self.now);
        let lease = self.guards.on(Guard::EdgeLease);
        let weight = |held: Held| if lease { held.weight_at(now) } else { held.grant().weight_bp };
        let highest = self.edges.iter().filter_map(|edge| edge.held).map(weight).max();
        let over = self.truth.aborted_at.is_some_and(|at| self.now > at + DEFAULT_LEASE_MS);
        if over && highest.is_some_and(|weight| weight > 0) {
            self.violate("I3", "an edge has a weight a lease after an abort");
        }
        if self.truth.bad
            && self.truth.decided.is_empty()
            && highest.is_some_and(|weight| weight > CANARY_BP)
        {
            self.violate("I1", "a bad release went beyond its canary");
        }
        let left = |edge: &Edge| {
            edge.held.is_some_and(|held| self.truth.promoted.contains(&held.grant().version()))
        };
        if self.truth.retired && !self.edges.iter().all(left) {
            self.violate("I7", "an edge needs the old instances, which are gone");
        }
        if self.truth.consuming && self.truth.effects.contains(&Task::ReturnJobs) {
            self.violate("I8", "the canary consumes jobs that were given away");
        }
    }

    fn violate(&mut self, invariant: &'static str, seen: &str) {
        let seen = seen.to_owned();
        self.report.violate(Violation { seed: self.seed, at_ms: self.now, invariant, seen });
    }
}

fn ms(at: u64) -> Duration {
    Duration::from_millis(at)
}

fn edge_name(edge: usize) -> String {
    format!("edge-{edge}")
}

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

/// Watched for seconds instead of minutes: the rules are the same.
fn plan(seed: u64) -> Plan {
    let even = seed.is_multiple_of(2);
    Plan {
        release: format!("r{seed}"),
        artifact: digest('a'),
        from: digest('b'),
        place: Place {
            project: "p".to_owned(),
            product: "air".to_owned(),
            environment: if even { Environment::Production } else { Environment::Local },
            token: "t".to_owned(),
        },
        stages: Plan::default_stages(CANARY_BP, ms(WATCH_MS)),
        gates: Gate::ALL.into_iter().map(|gate| (gate, digest('c'))).collect(),
        migrations: Vec::new(),
        rollback: RollbackPath { artifact: digest('b'), schema: 1, schema_max: 1 },
        blast_radius: BlastRadius { canary_bp: CANARY_BP, failed_requests: 100 },
    }
}
