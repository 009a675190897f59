//! Requests that wait for their job to finish.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_store::{JobStatus, Store, StoreError};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// The job is looked at this often, in case its notice was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who waits for which job.
#[derive(Clone)]
pub(crate) struct Waiting {
    jobs: Arc<Mutex<HashMap<Uuid, Waiter>>>,
    capacity: usize,
}

struct Waiter {
    finished: Arc<Notify>,
    tickets: usize,
}

/// A place among those who wait; given up when dropped.
pub(crate) struct Ticket {
    job: Uuid,
    finished: Arc<Notify>,
    waiting: Waiting,
}

// === impl Waiting ===

impl Waiting {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { jobs: Arc::default(), capacity }
    }

    /// Takes a place to wait for `job`, or `None` if too many wait already.
    ///
    /// Take it before the job is looked at: a job that finishes in between then wakes the ticket.
    pub(crate) fn join(&self, job: Uuid) -> Option<Ticket> {
        let mut jobs = self.jobs.lock();
        // Counts jobs rather than tickets; several tickets for one job are rare.
        if jobs.len() >= self.capacity {
            return None;
        }
        let waiter =
            jobs.entry(job).or_insert_with(|| Waiter { finished: Arc::default(), tickets: 0 });
        waiter.tickets += 1;
        Some(Ticket { job, finished: Arc::clone(&waiter.finished), waiting: self.clone() })
    }

    /// Wakes those who wait for these jobs.
    pub(crate) fn finish(&self, finished: &[Uuid]) {
        let jobs = self.jobs.lock();
        for waiter in finished.iter().filter_map(|job| jobs.get(job)) {
            waiter.wake();
        }
    }

    /// Wakes everyone to look for themselves: notices may have been missed.
    pub(crate) fn wake_all(&self) {
        for waiter in self.jobs.lock().values() {
            waiter.wake();
        }
    }
}

// === impl Waiter ===

impl Waiter {
    fn wake(&self) {
        self.finished.notify_waiters();
        // Kept for a ticket that is between looking at the job and waiting for it.
        self.finished.notify_one();
    }
}

// === impl Ticket ===

impl Ticket {
    /// Waits until the job is final or `deadline` has passed; returns it as it is then.
    pub(crate) async fn wait(
        self,
        store: &dyn Store,
        tenant: &str,
        deadline: Instant,
    ) -> Result<Option<JobStatus>, StoreError> {
        loop {
            let status = store.job(tenant, self.job).await?;
            let now = Instant::now();
            let over = status.as_ref().is_none_or(|job| job.state.is_final()) || now >= deadline;
            if over {
                return Ok(status);
            }
            // Woken or not: the job itself is the answer.
            timeout_at(deadline.min(now + LOOK_AGAIN), self.woken()).await.ok();
        }
    }

    /// Waits until someone says that the job is final, or may be.
    pub(crate) async fn woken(&self) {
        self.finished.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut jobs = self.waiting.jobs.lock();
        if let Some(waiter) = jobs.get_mut(&self.job) {
            waiter.tickets -= 1;
            if waiter.tickets == 0 {
                jobs.remove(&self.job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_finishes_before_the_wait_begins_still_wakes_it() {
        let waiting = Waiting::new(2);
        let job = Uuid::from_u128(1);
        let ticket = waiting.join(job).unwrap();
        waiting.finish(&[job]);
        ticket.woken().await;
    }

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let waiting = Waiting::new(1);
        let ticket = waiting.join(Uuid::from_u128(1)).unwrap();
        assert!(waiting.join(Uuid::from_u128(2)).is_none());
        drop(ticket);
        assert!(waiting.jobs.lock().is_empty());
        assert!(waiting.join(Uuid::from_u128(2)).is_some());
    }
}
