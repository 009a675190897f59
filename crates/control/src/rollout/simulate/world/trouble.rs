//! The judge, faults, and people who interfere.

use tidegate_core::routing::grant::Held;

use super::{EDGES, World, digest};
use crate::config::Environment;
use crate::rollout::event::{Event, Verdict, Word};
use crate::rollout::simulate::Fault;
use crate::rollout::state::{Phase, State};

// === impl World ===

impl World<'_> {
    pub(super) fn judge(&mut self) {
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

    pub(super) fn strike(&mut self, fault: Fault) {
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

    pub(super) fn speak(&mut self, fault: Fault) {
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

    pub(super) fn hit(&mut self, fault: Fault) {
        *self.report.faults.entry(format!("{fault:?}")).or_default() += 1;
    }
}
