//! What an edge must know of a contract: routes, cache keys and cache policy.
//!
//! `product` compiles a contract to an [`EdgePlan`]; an edge that stands alone builds the same type
//! from its `[[route]]` tables.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::param::{ParamError, ParamPlan, bind, percent_encode_into};
use crate::path::PathTemplate;

/// The routes of one contract, most specific first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgePlan {
    /// Product name, or `-` for an edge that stands alone.
    pub product: String,
    /// Routes in the order in which they are tried.
    pub routes: Vec<RoutePlan>,
}

/// One route: which requests it takes and how their responses are cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutePlan {
    /// Name in metrics and logs: the endpoint's, or the path.
    pub name: String,
    /// Only requests for this host, lower case without port; any host if absent.
    pub host: Option<String>,
    /// Which paths.
    pub path: PathTemplate,
    /// Name of the upstream pool.
    pub upstream: String,
    /// How the query enters the cache key and goes upstream.
    pub query: QueryRule,
    /// Who may read it.
    pub access: Access,
    /// Whether and how long responses are stored.
    pub cache: CachePlan,
    /// Who refreshes a stale response.
    pub refresh: Refresh,
    /// Changes whenever the route's response shape does; part of the cache key.
    pub epoch: String,
}

/// How a route's query is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum QueryRule {
    /// As it was sent.
    Keep,
    /// Pairs sorted by name and value.
    Sort,
    /// Only declared parameters, in declared order, with defaults filled in and times aligned.
    Declared {
        /// The parameters, those of the path included.
        params: Vec<ParamPlan>,
    },
}

/// Who may read a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Anyone: the credential, if any, is no part of the cache key.
    Public,
    /// The credential is resolved to a scope key, which is part of the cache key.
    Scoped,
    /// The origin decides: `Authorization` is handled as RFC 9111 section 3.5 says.
    Origin,
}

/// Whether and how long responses are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum CachePlan {
    /// Never.
    Off,
    /// As the origin's fields say.
    Respect,
    /// As declared here, whatever the origin says. Seconds.
    Override {
        /// Freshness lifetime.
        ttl_s: u32,
        /// How long a stale response may be served while it is validated in the background.
        swr_s: u32,
        /// How long a stale response may be served when the origin fails.
        sie_s: u32,
    },
}

/// Who refreshes a stale response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// The edge asks the api.
    #[default]
    Api,
    /// The edge publishes a refresh job.
    Worker,
}

// === impl EdgePlan ===

impl EdgePlan {
    /// Returns the plan without routes, which a deployment follows until it has a product.
    ///
    /// Everyone knows its digest: an edge need not fetch it.
    pub fn empty() -> Self {
        Self { product: "-".to_owned(), routes: Vec::new() }
    }

    /// Puts the more specific routes first, so that the first match is the best one.
    pub fn sort_routes(&mut self) {
        self.routes.sort_by(|a, b| {
            let rank = |route: &RoutePlan| (route.host.is_some(), route.path.specificity());
            rank(b).cmp(&rank(a))
        });
    }

    /// Returns the digest by which a routing document names this plan: `sha256:` and hex of its
    /// JSON, whose field order is the declaration's.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("a plan must serialize: it holds plain data");
        let mut digest = String::from("sha256:");
        for byte in Sha256::digest(&json) {
            // Writing to a string does not fail.
            write!(digest, "{byte:02x}").ok();
        }
        digest
    }

    /// Returns the first route that takes the request, with its decoded path captures.
    pub fn route(&self, host: &str, path: &str) -> Option<(&RoutePlan, Vec<(String, String)>)> {
        self.routes.iter().find_map(|route| {
            if route.host.as_deref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(host)) {
                return None;
            }
            route.path.matches(path).map(|captures| (route, captures))
        })
    }
}

// === impl RoutePlan ===

impl RoutePlan {
    /// Returns the query that goes upstream and into the cache key, without the question mark.
    ///
    /// # Errors
    /// The declared parameters don't take this query; the origin will say so to the client.
    pub fn normalise_query(
        &self,
        captures: &[(String, String)],
        raw_query: &str,
        now: Timestamp,
    ) -> Result<String, ParamError> {
        match &self.query {
            QueryRule::Keep => Ok(raw_query.to_owned()),
            QueryRule::Sort => {
                let mut pairs: Vec<&str> = raw_query.split('&').filter(|p| !p.is_empty()).collect();
                pairs.sort_unstable();
                Ok(pairs.join("&"))
            }
            QueryRule::Declared { params } => {
                let values = bind(params, captures, raw_query, now)?;
                let mut query = String::new();
                for (plan, value) in params.iter().zip(values) {
                    let in_path = captures.iter().any(|(name, _)| *name == plan.name);
                    let Some(value) = value.filter(|_| !in_path) else { continue };
                    if !query.is_empty() {
                        query.push('&');
                    }
                    percent_encode_into(&mut query, &plan.name);
                    query.push('=');
                    percent_encode_into(&mut query, &value.to_string());
                }
                Ok(query)
            }
        }
    }
}
