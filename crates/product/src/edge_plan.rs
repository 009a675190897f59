//! What an edge must know of a contract.

use tidegate_core::edge_plan::{Access, CachePlan, EdgePlan, QueryRule, Refresh, RoutePlan};
use tidegate_core::path::PathTemplate;

use crate::contract::{Contract, Endpoint};

/// Upstream pool of the api tier.
const UPSTREAM: &str = "api";

/// Name of the route that takes what no endpoint does.
pub const OTHER: &str = "other";

/// Compiles a contract to routes: one for each endpoint, and one for everything else the api
/// serves, which is passed on and never stored.
pub fn edge_plan(contract: &Contract) -> EdgePlan {
    let endpoints = contract.endpoints.iter().map(route);
    let mut plan = EdgePlan {
        product: contract.name.clone(),
        routes: endpoints.chain([other(contract)]).collect(),
    };
    plan.sort_routes();
    plan
}

fn route(endpoint: &Endpoint) -> RoutePlan {
    RoutePlan {
        name: endpoint.name.clone(),
        host: None,
        path: template(&endpoint.path),
        upstream: UPSTREAM.to_owned(),
        query: QueryRule::Declared { params: endpoint.params.clone() },
        access: match endpoint.scope {
            Some(_) => Access::Scoped,
            None => Access::Public,
        },
        cache: match endpoint.cache.ttl_s {
            0 => CachePlan::Off,
            _ => CachePlan::Respect,
        },
        refresh: endpoint.cache.refresh,
        epoch: endpoint.hash.clone(),
    }
}

fn other(contract: &Contract) -> RoutePlan {
    RoutePlan {
        name: OTHER.to_owned(),
        host: None,
        path: template("/*"),
        upstream: UPSTREAM.to_owned(),
        query: QueryRule::Keep,
        access: Access::Origin,
        cache: CachePlan::Off,
        refresh: Refresh::Api,
        epoch: contract.hash.clone(),
    }
}

fn template(path: &str) -> PathTemplate {
    PathTemplate::parse(path).expect("a path must be checked when its contract is compiled")
}

#[cfg(test)]
mod tests;
