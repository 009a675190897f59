//! The world of one run: two controls on one journal, edges, workers, a judge, people.

mod control;
mod edge;
mod trouble;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use tidegate_core::routing::grant::{Grant, Held};
use tidegate_core::routing::{DEFAULT_LEASE_MS, RENEW_EVERY_MS};

use crate::config::Environment;
use crate::rollout::event::{Check, Event, Task, Verdict};
use crate::rollout::guard::{Guard, Guards};
use crate::rollout::lease::{Claim, Tenure, Watch};
use crate::rollout::plan::{BlastRadius, Gate, Place, Plan, RollbackPath};
use crate::rollout::simulate::{Fault, Report, Violation};
use crate::rollout::state::State;

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

    fn tell(&mut self, event: Event) {
        for control in 0..self.seats.len() {
            self.feed(control, event.clone());
        }
    }

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
