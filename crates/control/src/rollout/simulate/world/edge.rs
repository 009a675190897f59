//! What edges and everything else that is acted on do.

use tidegate_core::routing::DEFAULT_LEASE_MS;
use tidegate_core::routing::grant::{Grant, Held};

use super::{EDGES, Step, World, ms};
use crate::rollout::event::{Check, Event, Task};
use crate::rollout::guard::Guard;
use crate::rollout::simulate::Fault;

// === impl World ===

impl World<'_> {
    pub(super) fn route(
        &mut self,
        control: usize,
        version: (u64, u64),
        weight_bp: u16,
        promoted: bool,
    ) {
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

    pub(super) fn poll(&mut self, edge: usize) {
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

    pub(super) fn loses(&mut self) -> bool {
        let lost = self.faults.contains(&Fault::Loss) && self.dice.chance(15);
        if lost {
            self.hit(Fault::Loss);
        }
        lost
    }

    pub(super) fn answer(
        &mut self,
        edge: usize,
        control: usize,
        asked_at: u64,
        grant: (u64, u64, u16),
    ) {
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

    pub(super) fn take_effect(&mut self, task: Task) {
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
}
