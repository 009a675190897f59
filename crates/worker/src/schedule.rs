//! Puts the regular reconcile job of every view.
//!
//! The next one waits in the store, with its time: it runs although all workers were restarted.
//! Every worker puts it, and only the first one counts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{EVERY_TENANT, Job, Lane, RECONCILE};
use tidegate_core::shutdown::Shutdown;
use tidegate_store::{NewJob, SharedStore, StoreError};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often to look whether there is a new view, or the next time has come.
const LOOK: Duration = Duration::from_secs(30);

/// How long putting jobs may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all jobs have in common.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// Where they wait.
    pub(crate) lane: Lane,
    /// This worker's release.
    pub(crate) release: Option<String>,
}

/// A product and one of its views.
type View = (String, String);

/// Puts jobs until `shutdown`, one for each view and each multiple of `every`.
pub(crate) async fn run(
    store: SharedStore,
    every: Duration,
    template: Template,
    shutdown: Shutdown,
) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut put = BTreeMap::new();
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let putting = look(&store, every, &template, &mut put);
        match timeout(PATIENCE, putting).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "Reconcile jobs could not be put.");
            }
            Err(_) => tracing::debug!("Putting reconcile jobs took too long."),
        }
    }
}

async fn look(
    store: &SharedStore,
    every: Duration,
    template: &Template,
    put: &mut BTreeMap<View, Timestamp>,
) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let at = next(now, every);
    let contracts = store.contracts().await?;
    let views = contracts.iter().flat_map(|stored| {
        let product = &stored.contract.name;
        stored.contract.views.iter().map(move |view| (product.clone(), view.name.clone()))
    });
    let due: Vec<View> = views.filter(|view| put.get(view) != Some(&at)).collect();
    if due.is_empty() {
        return Ok(());
    }
    let jobs = due.iter().map(|view| job(view, at, template, now)).collect();
    store.enqueue(jobs, now).await?;
    put.extend(due.into_iter().map(|view| (view, at)));
    Ok(())
}

/// Returns the first multiple of `every` after `now`.
fn next(now: Timestamp, every: Duration) -> Timestamp {
    now.align_down(every).after(every)
}

fn job((product, view): &View, at: Timestamp, template: &Template, now: Timestamp) -> NewJob {
    let body = json!({ "view": view, "repair": true });
    let job = Job {
        release: template.release.clone(),
        ..Job::new(RECONCILE, template.lane, (EVERY_TENANT, product), body, now)
    };
    let idempotency_key = Some(format!("regular/{view}/{}", at.seconds()));
    NewJob { job, run_at: Some(at), idempotency_key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_is_the_same_for_all_workers() {
        let day = Duration::from_secs(86_400);
        let at = |text| Timestamp::parse_rfc3339(text).unwrap();
        for now in ["2026-11-25T00:00:00Z", "2026-11-25T09:30:00Z", "2026-11-25T23:59:59.9Z"] {
            assert_eq!(next(at(now), day), at("2026-11-26T00:00:00Z"), "{now}");
        }
    }

    #[test]
    fn a_view_s_job_has_one_key_for_each_time() {
        let view = ("air".to_owned(), "city_hour".to_owned());
        let (one, other) = (Timestamp(1_000_000), Timestamp(2_000_000));
        let template = Template { lane: Lane::Long, release: None };
        let key = |at, now| job(&view, at, &template, now).idempotency_key;
        assert_eq!(key(other, one), key(other, Timestamp(5)));
        assert_ne!(key(other, one), key(one, one));
    }
}
