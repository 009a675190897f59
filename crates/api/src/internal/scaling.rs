//! `GET /internal/scaling`: how many workers the load asks for, for an autoscaler.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Lane};
use tidegate_core::scale::{LaneLoad, Signal, Target, desired};
use tidegate_queue::Depths;
use tidegate_store::{Backlog, WorkerBeat};

use crate::admin::document;
use crate::app::App;
use crate::error::Refusal;
use crate::metrics::metrics;

/// Answers with the present signal, and shows it among the metrics.
pub(crate) async fn get(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    Ok(document(signal(&app).await?))
}

/// Reads queue, store and heartbeats, and decides.
pub(crate) async fn signal(app: &App) -> Result<Signal, Refusal> {
    let now = Timestamp::now();
    let depths = app.queue.depth().await.map_err(Refusal::Queue)?;
    let backlog = app.store.backlog().await?;
    let workers = app.store.workers(now).await?;
    let signal = decide(&depths, &backlog, &workers, &app.limits.scale, now);
    metrics().desired_workers.set(i64::from(signal.desired));
    Ok(signal)
}

/// Computes the signal: what waits is the larger of what the queue and what the store say, as a
/// message may be on its way and a row without one.
fn decide(
    depths: &Depths,
    backlog: &Backlog,
    workers: &[WorkerBeat],
    target: &Target,
    now: Timestamp,
) -> Signal {
    let stable = |worker: &&WorkerBeat| worker.arm == Arm::Stable && !worker.draining;
    let current = workers.iter().filter(stable).count();
    let current = u32::try_from(current).unwrap_or(u32::MAX);
    let (mut ready, mut unacked, mut oldest) = (0u64, 0u64, None::<Timestamp>);
    let mut loads = Vec::with_capacity(Lane::ALL.len());
    for lane in Lane::ALL {
        let in_queue = depths.stable(lane);
        let in_store = backlog.lanes.iter().find(|known| known.lane == lane);
        let busy: u64 = workers.iter().map(|worker| u64::from(busy(worker, lane))).sum();
        let held = in_queue.map_or(0, |depth| depth.unacked).max(busy);
        let waits = in_queue.map_or(0, |depth| depth.ready);
        let known = in_store.map_or(0, |known| known.waiting);
        let lane_oldest =
            [in_queue.and_then(|depth| depth.oldest), in_store.and_then(|known| known.oldest)];
        let lane_oldest = lane_oldest.into_iter().flatten().min();
        ready = ready.saturating_add(waits.max(known.saturating_sub(held)));
        unacked = unacked.saturating_add(held);
        oldest = [oldest, lane_oldest].into_iter().flatten().min();
        loads.push(LaneLoad {
            waiting: waits.saturating_add(held).max(known),
            p50: p50(workers, lane),
            oldest_age: lane_oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)),
        });
    }
    let measured: Vec<Duration> = loads.iter().map(|load| load.p50).collect();
    Signal {
        desired: desired(&loads, current, target),
        current,
        ready,
        unacked,
        oldest_age_seconds: oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64()),
        p50_seconds: median(measured).as_secs_f64(),
    }
}

fn busy(worker: &WorkerBeat, lane: Lane) -> u32 {
    worker.lanes.iter().find(|beat| beat.lane == lane).map_or(0, |beat| beat.busy)
}

/// Returns the median over the workers of their own medians: near enough to size a pool by.
fn p50(workers: &[WorkerBeat], lane: Lane) -> Duration {
    let beats = workers.iter().flat_map(|worker| &worker.lanes);
    let measured = beats.filter(|beat| beat.lane == lane);
    median(measured.map(|beat| Duration::from_micros(beat.p50_us)).collect())
}

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.retain(|span| !span.is_zero());
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tidegate_queue::Depth;
    use tidegate_store::{LaneBacklog, LaneBeat};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn worker(busy: u32, p50_ms: u64, draining: bool) -> WorkerBeat {
        let lanes = vec![LaneBeat { lane: Lane::Default, busy, p50_us: p50_ms * 1_000 }];
        WorkerBeat {
            id: "w".to_owned(),
            arm: Arm::Stable,
            release: None,
            started_at: NOW,
            slots: 8,
            busy,
            lanes,
            draining,
        }
    }

    fn depths(ready: u64) -> Depths {
        let lane = Lane::Default;
        let depth = Depth { lane, canary: None, ready, unacked: 0, oldest: None, next: None };
        Depths { lanes: vec![depth], ..Depths::default() }
    }

    #[test]
    fn held_jobs_count_as_work_and_draining_workers_do_not_count() {
        let target = Target { drain_seconds: 10, slots: 1, ..Target::default() };
        let workers = [worker(20, 1_000, false), worker(0, 1_000, true)];
        let signal = decide(&depths(10), &Backlog::default(), &workers, &target, NOW);
        assert_eq!((signal.current, signal.ready, signal.unacked, signal.desired), (1, 10, 20, 3));
    }

    #[test]
    fn what_waits_only_in_the_store_is_work_too() {
        let oldest = Some(NOW.before(Duration::from_secs(120)));
        let lanes = vec![LaneBacklog { lane: Lane::Default, waiting: 7, oldest }];
        let backlog = Backlog { lanes, ..Backlog::default() };
        let target = Target { age_seconds: 60, ..Target::default() };
        let signal = decide(&depths(0), &backlog, &[worker(0, 1, false)], &target, NOW);
        assert_eq!((signal.ready, signal.desired), (7, 2));
        assert!((signal.oldest_age_seconds - 120.0).abs() < 1e-9);
    }
}
