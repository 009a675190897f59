//! Writes and signs routing documents, one generation after the other.

use std::sync::Arc;

use serde::Serialize;
use tidegate_core::clock::Timestamp;
use tidegate_core::keys::{PrivateKey, PublicKey};
use tidegate_core::routing::{DEFAULT_LEASE_MS, Pool, RoutingDocument};
use tokio::sync::watch;

use crate::config::{Config, Environment, Stable};
use crate::contract::Governed;
use crate::metrics::METRICS;

/// Writes the documents of one life of control.
#[derive(Debug)]
pub(crate) struct Issuer {
    key: PrivateKey,
    project: String,
    environment: Environment,
    release: String,
    stable: Stable,
    epoch: u64,
    newest: watch::Sender<Arc<Issued>>,
}

/// A document as edges get it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    /// Epoch and generation.
    pub(crate) version: (u64, u64),
    /// The signed document, as JSON.
    pub(crate) body: String,
    product: Option<String>,
}

/// What control says of itself.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    project: String,
    environment: Environment,
    release: String,
    epoch: u64,
    generation: u64,
    product: Option<String>,
}

// === impl Issuer ===

impl Issuer {
    /// Issues the first document of a life.
    pub(crate) fn new(
        config: &Config,
        key: PrivateKey,
        epoch: u64,
        governed: &Governed,
        now: Timestamp,
    ) -> Self {
        let nothing = Issued { version: (epoch, 0), body: String::new(), product: None };
        let issuer = Self {
            key,
            project: config.profile.name.clone(),
            environment: config.environment,
            release: config.release.clone(),
            stable: config.stable.clone(),
            epoch,
            newest: watch::Sender::new(Arc::new(nothing)),
        };
        issuer.issue(governed, now);
        issuer
    }

    /// Issues the next generation, and wakes those who wait for it.
    pub(crate) fn issue(&self, governed: &Governed, now: Timestamp) {
        self.newest.send_modify(|newest| {
            let generation = newest.version.1.saturating_add(1);
            *newest = Arc::new(self.write(governed, generation, now));
        });
        let (epoch, generation) = self.newest.borrow().version;
        METRICS.issued(epoch, generation);
        tracing::info!(
            routing.epoch = epoch,
            routing.generation = generation,
            routing.edge_plan = %governed.edge_plan,
            "Routing document was issued."
        );
    }

    /// Returns a view of the newest document that can be waited on.
    pub(crate) fn newest(&self) -> watch::Receiver<Arc<Issued>> {
        self.newest.subscribe()
    }

    /// Returns the key that edges must trust.
    pub(crate) fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// Returns what control says of itself.
    pub(crate) fn status(&self) -> Status {
        let newest = Arc::clone(&self.newest.borrow());
        Status {
            project: self.project.clone(),
            environment: self.environment,
            release: self.release.clone(),
            epoch: newest.version.0,
            generation: newest.version.1,
            product: newest.product.clone(),
        }
    }

    fn write(&self, governed: &Governed, generation: u64, now: Timestamp) -> Issued {
        let document = RoutingDocument {
            project: self.project.clone(),
            epoch: self.epoch,
            generation,
            issued_at: now,
            stable: Pool {
                release: self.release.clone(),
                edge_plan: governed.edge_plan.clone(),
                api: self.stable.api.clone(),
                internal: self.stable.internal.clone(),
            },
            canary: None,
            weight_bp: 0,
            lease_ms: DEFAULT_LEASE_MS,
        };
        let text = serde_json::to_string(&document)
            .expect("a routing document must serialize: it holds plain data");
        let body = serde_json::to_string(&self.key.sign(text))
            .expect("a signed document must serialize: it holds text");
        Issued { version: document.version(), body, product: governed.product.clone() }
    }
}
