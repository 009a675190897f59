//! Who brings a stale response up to date while it is served: a worker, by a refresh job, or this
//! edge itself, whenever no worker can.

mod outstanding;
mod publish;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::ETAG;
use parking_lot::Mutex;
use tidegate_core::cache_key::CacheKey;
use tidegate_core::cache_update::Reader;
use tidegate_core::clock::Timestamp;
use tidegate_core::edge_plan::Refresh;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::outstanding::{Outstanding, Turn};
pub(crate) use self::publish::Publisher;
use crate::edge::Edge;
use crate::fetch::{self, Lookup, Stale};
use crate::metrics::metrics;
use crate::scope;

/// Orders that wait to be published; beyond it this edge asks itself.
const MAX_WAITING: usize = 1_024;

/// How long no order is tried after the queue refused some.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest anyone is interested in the outcome of an order.
const MAX_DEADLINE: Duration = Duration::from_secs(10);

/// The orders of one edge.
pub(crate) struct Orders {
    waiting: mpsc::Sender<Order>,
    outstanding: Mutex<Outstanding>,
    /// The queue refused orders: until then, none are made.
    paused_until: Mutex<Option<Instant>>,
}

/// A stale response that a worker is to look at.
pub(crate) struct Order {
    lookup: Lookup,
    stale: Stale,
    reader: Reader,
    entity_tag: String,
    placed_at: Timestamp,
}

/// Why this edge asks the api itself though the route leaves that to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// The deployment hands no work from edges to workers.
    NoArrow,
    /// The stored response has no `ETag` by which a worker could tell that it is still right.
    NoEntityTag,
    /// It was selected by fields of the request, which a job does not carry.
    Varies,
    /// There is no telling for whom to render it.
    NoReader,
    /// A worker was asked and did not answer in time.
    Unanswered,
    /// Too many orders are waiting or outstanding.
    Full,
    /// The queue took no orders just now.
    QueueDown,
}

/// What happens to a stale response that was served.
enum Course {
    Ordered,
    /// A worker has been asked.
    Awaited,
    /// This edge asks; counted if there is a reason to.
    Own(Option<Fallback>),
}

/// Has a stale response brought up to date that was just served.
pub(crate) fn bring_up_to_date(edge: &Arc<Edge>, lookup: &Lookup, stale: Stale) {
    let course = match (lookup.refresh, &edge.orders) {
        (Refresh::Api, _) => Course::Own(None),
        (Refresh::Worker, None) => Course::Own(Some(Fallback::NoArrow)),
        (Refresh::Worker, Some(orders)) => orders.place(lookup, &stale),
    };
    if let Course::Own(fallback) = course {
        if let Some(fallback) = fallback {
            metrics().workers.fell_back(fallback);
        }
        fetch::validate_in_background(edge, lookup, stale);
    }
}

// === impl Orders ===

impl Orders {
    /// Makes the orders of an edge and what a [`Publisher`] publishes them from.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let (outstanding, paused_until) = (Mutex::default(), Mutex::default());
        (Self { waiting: sender, outstanding, paused_until }, receiver)
    }

    /// Takes note that something was said about a response.
    pub(crate) fn answered(&self, key: &CacheKey) {
        if let Some(took) = self.outstanding.lock().answered(key, Instant::now()) {
            metrics().workers.refresh_seconds.observe(took.as_secs_f64());
        }
    }

    fn place(&self, lookup: &Lookup, stale: &Stale) -> Course {
        let response = &stale.response;
        let Some(entity_tag) = response.headers.get(ETAG).map(HeaderValue::to_str) else {
            return Course::Own(Some(Fallback::NoEntityTag));
        };
        let Ok(entity_tag) = entity_tag else { return Course::Own(Some(Fallback::NoEntityTag)) };
        if !response.selecting.is_plain() {
            return Course::Own(Some(Fallback::Varies));
        }
        let Some(reader) = scope::reader(lookup.scope.as_deref(), response) else {
            return Course::Own(Some(Fallback::NoReader));
        };
        let now = Instant::now();
        if self.is_paused(now) {
            return Course::Own(Some(Fallback::QueueDown));
        }
        match self.outstanding.lock().turn(&lookup.key, now) {
            Turn::Order => {}
            Turn::Wait => return Course::Awaited,
            Turn::GiveUp => return Course::Own(Some(Fallback::Unanswered)),
            Turn::GivenUp => return Course::Own(None),
            Turn::Full => return Course::Own(Some(Fallback::Full)),
        }
        let order = Order {
            lookup: lookup.clone(),
            stale: stale.clone(),
            reader,
            entity_tag: entity_tag.to_owned(),
            placed_at: Timestamp::now(),
        };
        match self.waiting.try_send(order) {
            Ok(()) => Course::Ordered,
            Err(_) => {
                self.withdraw(&lookup.key);
                Course::Own(Some(Fallback::Full))
            }
        }
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.lock().is_some_and(|until| now < until)
    }

    fn pause(&self, now: Instant) {
        *self.paused_until.lock() = Some(now + PAUSE);
    }

    /// Forgets an order that was not published.
    fn withdraw(&self, key: &CacheKey) {
        self.outstanding.lock().withdraw(key);
    }
}

// === impl Fallback ===

impl Fallback {
    /// Every reason.
    pub(crate) const ALL: [Self; 7] = [
        Self::NoArrow,
        Self::NoEntityTag,
        Self::Varies,
        Self::NoReader,
        Self::Unanswered,
        Self::Full,
        Self::QueueDown,
    ];

    /// Returns the word for it in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NoArrow => "no_arrow",
            Self::NoEntityTag => "no_entity_tag",
            Self::Varies => "varies",
            Self::NoReader => "no_reader",
            Self::Unanswered => "unanswered",
            Self::Full => "full",
            Self::QueueDown => "queue_down",
        }
    }
}
