//! Purging by tag, and the guard against storing what was read before a purge.
//!
//! Each tag has one *mark*: the position of its last purge. A stored response holds the marks of
//! its own tags and the position it was read at, so a purge costs as much as it names tags, however
//! many responses carry them, and a lookup that saw the present generation costs one comparison.
//!
//! A position is a number in a *space*: the data sequence of one tenant's product in one store
//! incarnation, or, for responses that carry no sequence, the order in which purges arrived here.
//!
//! Where purges were missed, a fetch that began afterwards saw their commits. A response that was
//! rendered elsewhere did only if it is no older than what such a fetch brought, or if it was
//! rendered well afterwards.

mod space;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use tidegate_core::clock::Timestamp;
use tidegate_core::seq::{self, DataSeq, Space};
use tidegate_core::tag;

use self::space::{Mark, Marks};

/// Most tags one response may carry; one with more is not stored.
const MAX_TAGS: usize = 1_024;

/// Most tenant-products followed at a time; beyond it everything is invalidated and counted anew.
const MAX_PRODUCTS: usize = 65_536;

/// Past store incarnations remembered, so that a late notice of one is not taken for a new one.
const MAX_PAST: usize = 8;

/// How far the clocks of a worker and an edge may be apart for times of one to mean anything to the
/// other. Between what was rendered and what is purged only the sequence decides.
const MAX_SKEW: Duration = Duration::from_secs(2);

/// All marks of this edge.
pub(crate) struct Tags {
    /// Raised after marks changed: whoever reads the new value also sees the marks.
    generation: AtomicU64,
    registry: Mutex<Registry>,
}

struct Registry {
    /// For responses without a data sequence: positions are generations.
    arrival: Arc<Marks>,
    products: HashMap<(String, String), Product>,
    barrier: Barrier,
}

/// Since when no purge was missed.
#[derive(Clone, Copy)]
struct Barrier {
    /// Fetches that began before this generation may have missed a purge.
    generation: u64,
    at: Timestamp,
}

struct Product {
    incarnation: String,
    marks: Arc<Marks>,
    past: VecDeque<String>,
}

/// What is known of when a response was read from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Began {
    /// This edge asked for it in this generation.
    Asked(u64),
    /// It was rendered elsewhere, about this time.
    Rendered(Timestamp),
}

/// Ties a stored response to the marks of its tags.
#[derive(Debug)]
pub(crate) struct Links {
    space: Arc<Marks>,
    position: u64,
    marks: Box<[Mark]>,
    /// Generation in which the response was last known to be unpurged.
    checked: AtomicU64,
    /// Position at which another response is known to be right.
    doubted: AtomicU64,
}

/// Why a response can't be tied to its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It was read before the last purge of one of its tags, or that can't be excluded.
    Outdated,
    /// Its tags or its sequence can't be read.
    Unreadable,
}

// === impl Tags ===

impl Tags {
    pub(crate) fn new() -> Self {
        let registry = Registry {
            arrival: Arc::new(Marks::starting_at(0)),
            products: HashMap::new(),
            barrier: Barrier { generation: 0, at: Timestamp(i64::MIN) },
        };
        Self { generation: AtomicU64::new(1), registry: Mutex::new(registry) }
    }

    /// Marks the beginning of a fetch.
    pub(crate) fn begin(&self) -> Began {
        Began::Asked(self.generation.load(Ordering::Acquire))
    }

    /// Takes note of a commit: what carries one of the tags and was read before `at` is invalid.
    pub(crate) fn purge(&self, at: &DataSeq, tags: &[String]) {
        let mut registry = self.registry.lock();
        let next = self.generation.load(Ordering::Acquire) + 1;
        if let Some(marks) = registry.adopt(&at.space) {
            marks.purge(tags, at.seq);
            registry.arrival.purge(tags, next);
        }
        self.advance(next);
    }

    /// Invalidates everything: notices were missed, so anything may have changed.
    pub(crate) fn invalidate_all(&self, now: Timestamp) {
        let mut registry = self.registry.lock();
        let next = self.generation.load(Ordering::Acquire) + 1;
        registry.restart(Barrier { generation: next, at: now });
        self.advance(next);
    }

    /// Invalidates one product: notices of its space were missed.
    pub(crate) fn invalidate_product(&self, space: &Space, now: Timestamp) {
        let mut registry = self.registry.lock();
        let next = self.generation.load(Ordering::Acquire) + 1;
        if let Some(product) = registry.products.get_mut(&product_of(space)) {
            product.marks = product.marks.supersede();
        }
        // Responses without a sequence can't be told apart by product.
        registry.arrival = registry.arrival.supersede();
        registry.barrier = Barrier { generation: next, at: now };
        self.advance(next);
    }

    /// Ties a response to its tags, if it may be stored.
    pub(crate) fn link(&self, headers: &HeaderMap, began: Began) -> Result<Links, Refused> {
        let tags = surrogate_keys(headers)?;
        let at = data_seq(headers)?;
        let mut registry = self.registry.lock();
        let generation = self.generation.load(Ordering::Acquire);
        let barrier = registry.barrier;
        if matches!(began, Began::Asked(began) if began < barrier.generation) {
            return Err(Refused::Outdated);
        }
        let (space, position) = match (at, began) {
            (None, Began::Asked(began)) => (Arc::clone(&registry.arrival), began),
            // Without a position there is no telling what it would overtake.
            (None, Began::Rendered(_)) => return Err(Refused::Unreadable),
            (Some(at), _) => {
                let known = registry.follows(&at.space);
                let marks = registry.join(&at.space, began).ok_or(Refused::Outdated)?;
                if !known {
                    self.advance(generation + 1);
                }
                (marks, at.seq)
            }
        };
        match began {
            Began::Asked(_) => space.prove(position),
            Began::Rendered(at) => {
                let well_after = at >= barrier.at.after(MAX_SKEW);
                if !well_after && !space.is_proven(position) {
                    return Err(Refused::Outdated);
                }
            }
        }
        drop(registry);
        let marks = space.link(&tags, position).ok_or(Refused::Outdated)?;
        let (checked, doubted) = (AtomicU64::new(generation), AtomicU64::new(0));
        Ok(Links { space, position, marks, checked, doubted })
    }

    /// Takes note that at a position something else than a stored response was found; returns
    /// whether the response is older than that.
    pub(crate) fn doubt(&self, links: &Links, at: &DataSeq) -> bool {
        let present = self.registry.lock().present(&at.space);
        let is_older = links.position < at.seq
            && present.is_some_and(|marks| Arc::ptr_eq(&marks, &links.space));
        if is_older {
            links.doubted.fetch_max(at.seq, Ordering::Relaxed);
        }
        is_older
    }

    /// Says whether a stored response was purged since it was read.
    pub(crate) fn is_purged(&self, links: &Links) -> bool {
        let generation = self.generation.load(Ordering::Acquire);
        if links.checked.load(Ordering::Relaxed) == generation {
            return false;
        }
        let purged = links.space.is_superseded()
            || links.marks.iter().any(|mark| mark.load(Ordering::Relaxed) > links.position);
        if !purged {
            links.checked.store(generation, Ordering::Relaxed);
        }
        purged
    }

    fn advance(&self, next: u64) {
        self.generation.store(next, Ordering::Release);
    }
}

// === impl Registry ===

impl Registry {
    fn follows(&self, space: &Space) -> bool {
        self.products
            .get(&product_of(space))
            .is_some_and(|product| product.incarnation == space.incarnation)
    }

    /// Returns the marks of a space if it is the present one of its product.
    fn present(&self, space: &Space) -> Option<Arc<Marks>> {
        let product = self.products.get(&product_of(space))?;
        (product.incarnation == space.incarnation).then(|| Arc::clone(&product.marks))
    }

    /// Returns the marks of the space that a response was read from. Only an answer to a question
    /// of this edge tells of a new incarnation: what was rendered elsewhere may be late.
    fn join(&mut self, space: &Space, began: Began) -> Option<Arc<Marks>> {
        match began {
            Began::Rendered(_) if self.products.contains_key(&product_of(space)) => {
                self.present(space)
            }
            Began::Rendered(_) | Began::Asked(_) => self.adopt(space),
        }
    }

    /// Returns the marks of a space, making it the present one of its product if it is new;
    /// `None` if it is a past one.
    fn adopt(&mut self, space: &Space) -> Option<Arc<Marks>> {
        if self.products.len() >= MAX_PRODUCTS && !self.products.contains_key(&product_of(space)) {
            let barrier = self.barrier;
            self.restart(barrier);
            self.products.clear();
        }
        let product = self.products.entry(product_of(space)).or_insert_with(|| Product {
            incarnation: space.incarnation.clone(),
            marks: Arc::new(Marks::starting_at(0)),
            past: VecDeque::new(),
        });
        if product.incarnation != space.incarnation {
            if product.past.contains(&space.incarnation) {
                return None;
            }
            let past = std::mem::replace(&mut product.incarnation, space.incarnation.clone());
            if product.past.len() >= MAX_PAST {
                product.past.pop_front();
            }
            product.past.push_back(past);
            product.marks.retire();
            product.marks = Arc::new(Marks::starting_at(0));
        }
        Some(Arc::clone(&product.marks))
    }

    fn restart(&mut self, barrier: Barrier) {
        self.arrival = self.arrival.supersede();
        for product in self.products.values_mut() {
            product.marks = product.marks.supersede();
        }
        self.barrier = barrier;
    }
}

// === impl Links ===

impl Links {
    /// Says whether something else is known to be right by now.
    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed) > self.position
    }

    /// Says whether it would be a step back to store a response in place of this one: within a
    /// space, positions decide. Of different ones the later counts, which was the present one when
    /// the response was linked.
    pub(crate) fn outranks(&self, response: &Self) -> bool {
        if Arc::ptr_eq(&self.space, &response.space) {
            return self.position.max(self.doubted.load(Ordering::Relaxed)) > response.position;
        }
        response.space.is_superseded() && !self.space.is_superseded()
    }

    /// Says whether both were read at the same position.
    pub(crate) fn is_level_with(&self, response: &Self) -> bool {
        Arc::ptr_eq(&self.space, &response.space) && self.position == response.position
    }

    /// Returns the bytes it takes in memory, with its share of the marks.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.marks.len() * Marks::WEIGHT_OF_A_MARK
    }
}

fn product_of(space: &Space) -> (String, String) {
    (space.tenant.clone(), space.product.clone())
}

fn surrogate_keys(headers: &HeaderMap) -> Result<Vec<&str>, Refused> {
    let mut tags = Vec::new();
    for line in headers.get_all(tag::HEADER) {
        tags.extend(line.to_str().map_err(|_| Refused::Unreadable)?.split_ascii_whitespace());
    }
    tags.sort_unstable();
    tags.dedup();
    if tags.len() > MAX_TAGS { Err(Refused::Unreadable) } else { Ok(tags) }
}

fn data_seq(headers: &HeaderMap) -> Result<Option<DataSeq>, Refused> {
    let mut lines = headers.get_all(seq::HEADER).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Refused::Unreadable);
    }
    let text = line.to_str().map_err(|_| Refused::Unreadable)?;
    text.parse().map(Some).map_err(|_| Refused::Unreadable)
}

#[cfg(test)]
mod tests;
