//! What edges make of a contract.

use std::time::Duration;

use tidegate_core::edge_plan::{Access, CachePlan, EdgePlan, Refresh};

use super::edge_plan;
use crate::fixture::{NOW, air, air_with};

/// Route name and normalised query of a request.
#[track_caller]
fn query(plan: &EdgePlan, path: &str, query: &str) -> (String, String) {
    let (route, captures) = plan.route("localhost", path).unwrap();
    (route.name.clone(), route.normalise_query(&captures, query, NOW).unwrap())
}

#[test]
fn requests_seconds_apart_share_one_key() {
    let plan = edge_plan(&air());
    let path = "/v1/air/cities/oslo/series";
    let (route, captures) = plan.route("localhost", path).unwrap();
    let key = |query: &str, seconds: u64| {
        route.normalise_query(&captures, query, NOW.after(Duration::from_secs(seconds))).unwrap()
    };
    let expected = "pollutant=pm25&from=2026-11-21T10:00:00Z&to=2026-11-22T11:00:00Z&step=1h";
    assert_eq!(key("", 0), expected);
    assert_eq!(key("", 59), expected);
    assert_eq!(key("step=1h&pollutant=pm25", 1_700), expected);
    assert_ne!(key("", 1_800), expected);
}

#[test]
fn what_follows_from_the_contract_is_part_of_the_key_too() {
    let plan = edge_plan(&air());
    assert_eq!(
        query(&plan, "/v1/air/worst", "pollutant=no2"),
        ("worst".to_owned(), "pollutant=no2&at=2026-11-22T09:00:00Z&k=20".to_owned())
    );
    assert_eq!(
        query(&plan, "/v1/air/readings", "city=oslo"),
        ("raw".to_owned(), "city=oslo&limit=100".to_owned())
    );
}

#[test]
fn everything_else_goes_to_the_api_and_is_not_stored() {
    let plan = edge_plan(&air());
    for path in ["/", "/v1/jobs/1", "/v1/air/datasets/readings/rows", "/v1/air/cities/oslo"] {
        let (route, _) = plan.route("localhost", path).unwrap();
        assert_eq!((route.name.as_str(), route.cache), ("other", CachePlan::Off), "{path}");
        assert_eq!(query(&plan, path, "b=1&a=%20").1, "b=1&a=%20");
    }
}

#[test]
fn access_and_cache_are_the_endpoints() {
    let contract = air_with("[endpoint.worst]\n", "[endpoint.worst]\nscope = \"public\"\n");
    let plan = edge_plan(&contract);
    let of = |name: &str| {
        let route = plan.routes.iter().find(|route| route.name == name).unwrap();
        (route.access, route.cache)
    };
    assert_eq!(of("city_series"), (Access::Scoped, CachePlan::Respect));
    assert_eq!(of("worst"), (Access::Public, CachePlan::Respect));
    assert_eq!(of("raw"), (Access::Scoped, CachePlan::Off));
    assert_eq!(of("other"), (Access::Origin, CachePlan::Off));
}

#[test]
fn workers_refresh_where_the_endpoint_says_so() {
    let series = |plan: &EdgePlan| {
        plan.routes.iter().find(|route| route.name == "city_series").unwrap().refresh
    };
    let (contract, plain) = (air(), air_with(", refresh = \"worker\"", ""));
    let (plan, plain) = (edge_plan(&contract), edge_plan(&plain));
    assert_eq!((series(&plan), series(&plain)), (Refresh::Worker, Refresh::Api));
    let others = plan.routes.iter().filter(|route| route.name != "city_series");
    assert!(others.into_iter().all(|route| route.refresh == Refresh::Api));
    // A matter of policy: stored responses stay what they were.
    let epoch = |plan: &EdgePlan| {
        plan.routes.iter().find(|route| route.name == "city_series").unwrap().epoch.clone()
    };
    assert_eq!(epoch(&plan), epoch(&plain));
    assert_ne!(contract.hash, air_with(", refresh = \"worker\"", "").hash);
}

#[test]
fn the_epoch_changes_with_the_shape_of_a_response() {
    let epochs = |plan: EdgePlan| {
        let mut epochs: Vec<(String, String)> =
            plan.routes.into_iter().map(|route| (route.name, route.epoch)).collect();
        epochs.retain(|(name, _)| name != "other");
        epochs
    };
    let before = epochs(edge_plan(&air()));
    assert_eq!(epochs(edge_plan(&air_with("ttl = \"30s\"", "ttl = \"31s\""))), before);
    assert_ne!(epochs(edge_plan(&air_with("\"avg\", \"max\"]", "\"max\"]"))), before);
}
