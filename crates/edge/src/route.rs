//! Which origin takes a request, and under which rules.

pub(crate) mod disk;
pub(crate) mod govern;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::uri::Authority;
use tidegate_core::edge_plan::{EdgePlan, RoutePlan};
use tidegate_core::routing::RoutingDocument;

use crate::config::{UpstreamConfig, parse_address};
use crate::upstream::Origin;

/// The routing in use. Requests read it without a lock.
pub(crate) struct Routes(ArcSwapOption<Routing>);

/// Routes and origins that belong together.
#[derive(Debug)]
pub(crate) struct Routing {
    plan: EdgePlan,
    origins: Origins,
    /// The api's private listeners, for resolving scopes.
    pub(crate) internal: Vec<Authority>,
}

#[derive(Debug)]
enum Origins {
    /// Each route names its own; what no route takes is refused.
    Named(HashMap<String, Arc<Origin>>),
    /// All requests go to one pool, also those that no route takes: it knows what it serves.
    Pool(Arc<Origin>),
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Match<'a> {
    /// A route takes it; with the captures of its path.
    Route(&'a RoutePlan, Vec<(String, String)>, Arc<Origin>),
    /// It is passed on, never stored.
    Unplanned(Arc<Origin>),
    /// Nothing takes it.
    Nothing,
}

// === impl Routes ===

impl Routes {
    pub(crate) fn none() -> Self {
        Self(ArcSwapOption::empty())
    }

    /// Returns the routing in use, if there is one yet.
    pub(crate) fn load(&self) -> Option<Arc<Routing>> {
        self.0.load_full()
    }

    pub(crate) fn store(&self, routing: Routing) {
        self.0.store(Some(Arc::new(routing)));
    }
}

// === impl Routing ===

impl Routing {
    /// The routing of an edge that stands alone.
    pub(crate) fn stand_alone(plan: &EdgePlan, upstreams: &[UpstreamConfig]) -> Self {
        let origins = upstreams.iter().filter_map(|upstream| {
            let origin = Origin::new(&upstream.name, upstream.addresses.clone())?;
            Some((upstream.name.clone(), origin))
        });
        Self {
            plan: plan.clone(),
            origins: Origins::Named(origins.collect()),
            internal: Vec::new(),
        }
    }

    /// The routing of a document and the plan it names; `None` if it names no usable address.
    pub(crate) fn governed(document: &RoutingDocument, plan: EdgePlan) -> Option<Self> {
        let addresses = |texts: &[String]| -> Vec<Authority> {
            texts.iter().filter_map(|text| parse_address(text)).collect()
        };
        let stable = &document.stable;
        let pool = Origin::of_release(&stable.release, addresses(&stable.api))?;
        let internal = addresses(&stable.internal);
        Some(Self { plan, origins: Origins::Pool(pool), internal })
    }

    /// Returns the product whose plan is followed.
    pub(crate) fn product(&self) -> &str {
        &self.plan.product
    }

    /// Returns the release that serves what no canary takes; none for an edge that stands alone.
    pub(crate) fn release(&self) -> Option<&str> {
        match &self.origins {
            Origins::Named(_) => None,
            Origins::Pool(origin) => origin.release(),
        }
    }

    /// Finds the route of a response that a worker speaks of; an edge that stands alone knows no
    /// workers.
    pub(crate) fn planned(
        &self,
        host: &str,
        path: &str,
    ) -> Option<(&RoutePlan, Vec<(String, String)>)> {
        self.release()?;
        self.plan.route(host, path)
    }

    /// Finds the route for a request.
    pub(crate) fn find(&self, host: &str, path: &str) -> Match<'_> {
        match (&self.origins, self.plan.route(host, path)) {
            (Origins::Named(origins), Some((route, captures))) => {
                match origins.get(&route.upstream) {
                    Some(origin) => Match::Route(route, captures, Arc::clone(origin)),
                    None => Match::Nothing,
                }
            }
            (Origins::Named(_), None) => Match::Nothing,
            (Origins::Pool(origin), Some((route, captures))) => {
                Match::Route(route, captures, Arc::clone(origin))
            }
            (Origins::Pool(origin), None) => Match::Unplanned(Arc::clone(origin)),
        }
    }
}
