//! How much runs at a time, and whose turn it is.
//!
//! Each run holds a slot. Some slots are reserved for one lane, so that none can crowd out another:
//! someone who waits finds a free one, and what can wait still goes on. The rest are shared, and go
//! to the most urgent lane that wants one.

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_core::job::Lane;
use tokio::sync::Notify;

use crate::kinds::{Kind, Kinds};

/// Fewest slots for short jobs: one for each lane that has some.
pub(crate) const FEWEST: u32 = 3;

const LANES: usize = Lane::ALL.len();
const KINDS: usize = Kind::ALL.len();

/// Which slots there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// For one lane only.
    reserved: [u32; LANES],
    /// For any lane but the one of long jobs.
    shared: u32,
    /// Most runs of each kind.
    kinds: [u32; KINDS],
}

/// What runs now, and who waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    lanes: [u32; LANES],
    kinds: [u32; KINDS],
    waiting: [bool; LANES],
}

/// The slots of one process.
#[derive(Debug)]
pub(crate) struct Slots {
    plan: Plan,
    load: Mutex<Load>,
    changed: Notify,
}

/// The right to run something; given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    slots: Arc<Slots>,
    lane: Lane,
    kind: Kind,
}

/// A lane that has something to run. Said no more on drop, so that nobody waits for a lane that
/// has changed its mind.
struct Waiting<'a> {
    slots: &'a Slots,
    lane: Lane,
}

// === impl Plan ===

impl Plan {
    /// Shares out `short` slots for short jobs beside `long` ones: a quarter each is reserved for
    /// what is urgent and for ingest, an eighth for what can wait.
    pub(crate) fn new(short: u32, long: u32, kinds: &Kinds) -> Self {
        let short = short.max(FEWEST);
        let mut reserved = [0; LANES];
        reserved[at(Lane::High)] = short.div_ceil(4);
        reserved[at(Lane::Default)] = (short / 4).max(1);
        reserved[at(Lane::Low)] = (short / 8).max(1);
        let shared = short.saturating_sub(reserved.iter().sum());
        reserved[at(Lane::Long)] = long.max(1);
        Self { reserved, shared, kinds: Kind::ALL.map(|kind| kinds.of(kind).concurrency.max(1)) }
    }

    /// Returns the slots of all lanes.
    pub(crate) fn total(&self) -> u32 {
        self.reserved.iter().sum::<u32>() + self.shared
    }

    /// Returns which of `kinds`, in order of their turn, `lane` may start now.
    fn choose(&self, load: &Load, lane: Lane, kinds: &[Kind]) -> Option<Kind> {
        if !self.has_room(load, lane) {
            return None;
        }
        let below = |kind: &&Kind| load.kinds[kind.index()] < self.kinds[kind.index()];
        kinds.iter().find(below).copied()
    }

    fn has_room(&self, load: &Load, lane: Lane) -> bool {
        if load.lanes[at(lane)] < self.reserved[at(lane)] {
            return true;
        }
        if lane == Lane::Long {
            return false;
        }
        let taken: u32 = Lane::ALL
            .map(|lane| load.lanes[at(lane)].saturating_sub(self.reserved[at(lane)]))
            .iter()
            .sum();
        let free = self.shared.saturating_sub(taken);
        let urgent = Lane::ALL.into_iter().take_while(|other| *other != lane);
        let first = urgent.filter(|other| load.waiting[at(*other)]).count();
        usize::try_from(free).is_ok_and(|free| free > first)
    }
}

fn at(lane: Lane) -> usize {
    match lane {
        Lane::High => 0,
        Lane::Default => 1,
        Lane::Low => 2,
        Lane::Long => 3,
    }
}

// === impl Slots ===

impl Slots {
    pub(crate) fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self { plan, load: Mutex::default(), changed: Notify::new() })
    }

    /// Waits until `lane` may start one of `kinds`, the first if it can choose. Cancel safe.
    pub(crate) async fn start(self: &Arc<Self>, lane: Lane, kinds: &[Kind]) -> Permit {
        let mut waiting = None;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before looking: what changes while looking is not slept through.
            changed.as_mut().enable();
            if let Some(permit) = self.try_start(lane, kinds) {
                return permit;
            }
            waiting.get_or_insert_with(|| self.wait(lane));
            changed.await;
        }
    }

    fn try_start(self: &Arc<Self>, lane: Lane, kinds: &[Kind]) -> Option<Permit> {
        let mut load = self.load.lock();
        let kind = self.plan.choose(&load, lane, kinds)?;
        load.lanes[at(lane)] += 1;
        load.kinds[kind.index()] += 1;
        Some(Permit { slots: Arc::clone(self), lane, kind })
    }

    fn wait(&self, lane: Lane) -> Waiting<'_> {
        self.load.lock().waiting[at(lane)] = true;
        Waiting { slots: self, lane }
    }

    pub(crate) fn total(&self) -> u32 {
        self.plan.total()
    }

    /// Returns how many slots of `lane` are taken.
    pub(crate) fn busy(&self, lane: Lane) -> u32 {
        self.load.lock().lanes[at(lane)]
    }
}

// === impl Permit ===

impl Permit {
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut load = self.slots.load.lock();
        load.lanes[at(self.lane)] -= 1;
        load.kinds[self.kind.index()] -= 1;
        drop(load);
        self.slots.changed.notify_waiters();
    }
}

// === impl Waiting ===

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.slots.load.lock().waiting[at(self.lane)] = false;
        self.slots.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight short slots: 2 reserved for high, 2 for default, 1 for low, 3 shared; 2 long ones.
    fn plan() -> Plan {
        let mut kinds = Kinds::default();
        for kind in Kind::ALL {
            kinds.of_mut(kind).concurrency = 100;
        }
        Plan::new(8, 2, &kinds)
    }

    /// Which lanes may start something, with so many runs in each lane and these lanes waiting.
    #[track_caller]
    fn check(lanes: [u32; 4], waiting: &[Lane], expected: &[Lane]) {
        let mut load = Load { lanes, ..Load::default() };
        waiting.iter().for_each(|lane| load.waiting[at(*lane)] = true);
        let may: Vec<_> =
            Lane::ALL.into_iter().filter(|lane| plan().has_room(&load, *lane)).collect();
        assert_eq!(may, expected, "{lanes:?} {waiting:?}");
    }

    #[test]
    fn a_quarter_is_kept_for_what_is_urgent_and_a_slot_for_what_can_wait() {
        for (short, reserved, shared) in [
            (3, [1, 1, 1, 1], 0),
            (4, [1, 1, 1, 1], 1),
            (8, [2, 2, 1, 1], 3),
            (33, [9, 8, 4, 1], 12),
        ] {
            let plan = Plan::new(short, 1, &Kinds::default());
            assert_eq!((plan.reserved, plan.shared), (reserved, shared), "{short}");
            assert_eq!(plan.total(), short + 1);
        }
        assert_eq!(Plan::new(0, 0, &Kinds::default()).total(), 4);
    }

    #[test]
    fn no_lane_can_take_what_is_reserved_for_another() {
        use Lane::{Default, High, Long, Low};
        check([0, 0, 0, 0], &[], &[High, Default, Low, Long]);
        check([5, 0, 0, 0], &[], &[Default, Low, Long]);
        check([0, 5, 0, 0], &[], &[High, Low, Long]);
        check([0, 0, 4, 0], &[], &[High, Default, Long]);
        check([2, 2, 1, 0], &[], &[High, Default, Low, Long]);
        check([3, 3, 2, 2], &[], &[]);
        check([2, 2, 1, 2], &[], &[High, Default, Low]);
    }

    #[test]
    fn shared_slots_go_to_the_most_urgent_lane_that_waits() {
        use Lane::{Default, High, Long, Low};
        // One shared slot is left.
        check([2, 4, 1, 0], &[], &[High, Default, Low, Long]);
        check([2, 4, 1, 0], &[High], &[High, Long]);
        check([2, 4, 1, 0], &[Default], &[High, Default, Long]);
        check([2, 4, 1, 0], &[Low, Long], &[High, Default, Low, Long]);
        // Its reserved slots a lane has whoever waits.
        check([2, 4, 0, 0], &[High, Default], &[High, Low, Long]);
    }

    #[test]
    fn a_kind_at_its_limit_lets_the_next_one_in() {
        let mut load = Load::default();
        let plan = Plan::new(8, 2, &Kinds::default());
        let both = [Kind::Probe, Kind::Ingest];
        let choose = |load: &Load| plan.choose(load, Lane::Default, &both);
        assert_eq!(choose(&load), Some(Kind::Probe));
        load.kinds[Kind::Probe.index()] = Kinds::default().of(Kind::Probe).concurrency;
        assert_eq!(choose(&load), Some(Kind::Ingest));
        load.kinds[Kind::Ingest.index()] = Kinds::default().of(Kind::Ingest).concurrency;
        assert_eq!(choose(&load), None);
        assert_eq!(plan.choose(&load, Lane::Default, &[]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_freed_slot_goes_to_the_lane_that_waits_for_it() {
        let slots = Slots::new(Plan::new(3, 1, &Kinds::default()));
        let first = slots.start(Lane::High, &[Kind::Refresh]).await;
        assert_eq!((first.kind(), slots.busy(Lane::High), slots.total()), (Kind::Refresh, 1, 4));
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.start(Lane::High, &[Kind::Refresh]).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let second = waiting.await.unwrap();
        assert_eq!(slots.busy(Lane::High), 1);
        drop(second);
        assert_eq!(slots.busy(Lane::High), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_waits_no_more_holds_up_no_other() {
        let slots = Slots::new(Plan::new(4, 1, &Kinds::default()));
        let _reserved = slots.start(Lane::High, &[Kind::Refresh]).await;
        let _default = slots.start(Lane::Default, &[Kind::Probe]).await;
        let shared = slots.start(Lane::High, &[Kind::Refresh]).await;
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.start(Lane::High, &[Kind::Refresh]).await }
        });
        tokio::task::yield_now().await;
        let other = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.start(Lane::Default, &[Kind::Probe]).await }
        });
        tokio::task::yield_now().await;
        waiting.abort();
        drop(shared);
        other.await.unwrap();
    }
}
