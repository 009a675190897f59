//! Purging by tag, and the guard against storing what was read before a purge.
//!
//! Each tag has one *mark*: the position of its last purge. A stored response holds the marks of
//! its own tags and the position it was read at, so a purge costs as much as it names tags, however
//! many responses carry them, and a lookup that saw the present generation costs one comparison.
//!
//! A position is a number in a *space*: the data sequence of one tenant's product in one store
//! incarnation, or, for responses that carry no sequence, the order in which purges arrived here.

mod space;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use parking_lot::Mutex;
use tidegate_core::seq::{self, DataSeq, Space};
use tidegate_core::tag;

use self::space::{Mark, Marks};

/// Most tags one response may carry; one with more is not stored.
const MAX_TAGS: usize = 1_024;

/// Most tenant-products followed at a time; beyond it everything is invalidated and counted anew.
const MAX_PRODUCTS: usize = 65_536;

/// Past store incarnations remembered, so that a late notice of one is not taken for a new one.
const MAX_PAST: usize = 8;

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
    /// Fetches that began before this generation may have missed a purge.
    barrier: u64,
}

struct Product {
    incarnation: String,
    marks: Arc<Marks>,
    past: VecDeque<String>,
}

/// The generation in which a fetch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Began(u64);

/// Ties a stored response to the marks of its tags.
#[derive(Debug)]
pub(crate) struct Links {
    space: Arc<Marks>,
    position: u64,
    marks: Box<[Mark]>,
    /// Generation in which the response was last known to be unpurged.
    checked: AtomicU64,
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
            barrier: 0,
        };
        Self { generation: AtomicU64::new(1), registry: Mutex::new(registry) }
    }

    /// Marks the beginning of a fetch.
    pub(crate) fn begin(&self) -> Began {
        Began(self.generation.load(Ordering::Acquire))
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
    pub(crate) fn invalidate_all(&self) {
        let mut registry = self.registry.lock();
        let next = self.generation.load(Ordering::Acquire) + 1;
        registry.restart(next);
        self.advance(next);
    }

    /// Invalidates one product: notices of its space were missed.
    pub(crate) fn invalidate_product(&self, space: &Space) {
        let mut registry = self.registry.lock();
        let next = self.generation.load(Ordering::Acquire) + 1;
        if let Some(product) = registry.products.get_mut(&product_of(space)) {
            product.marks = product.marks.supersede();
        }
        // Responses without a sequence can't be told apart by product.
        registry.arrival = registry.arrival.supersede();
        registry.barrier = next;
        self.advance(next);
    }

    /// Ties a response whose fetch began at `began` to its tags, if it may be stored.
    pub(crate) fn link(&self, headers: &HeaderMap, began: Began) -> Result<Links, Refused> {
        let tags = surrogate_keys(headers)?;
        let at = data_seq(headers)?;
        let mut registry = self.registry.lock();
        let generation = self.generation.load(Ordering::Acquire);
        if began.0 < registry.barrier {
            return Err(Refused::Outdated);
        }
        let (space, position) = match at {
            None => (Arc::clone(&registry.arrival), began.0),
            Some(at) => {
                let known = registry.follows(&at.space);
                let marks = registry.adopt(&at.space).ok_or(Refused::Outdated)?;
                if !known {
                    self.advance(generation + 1);
                }
                (marks, at.seq)
            }
        };
        drop(registry);
        let marks = space.link(&tags, position).ok_or(Refused::Outdated)?;
        Ok(Links { space, position, marks, checked: AtomicU64::new(generation) })
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

    fn restart(&mut self, barrier: u64) {
        self.arrival = self.arrival.supersede();
        for product in self.products.values_mut() {
            product.marks = product.marks.supersede();
        }
        self.barrier = barrier;
    }
}

// === impl Links ===

impl Links {
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
