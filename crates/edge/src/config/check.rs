//! From the configuration as written to a checked one; every problem is reported at once.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::Authority;
use tidegate_core::config::Checked;
use tidegate_core::edge_plan::{Access, CachePlan, EdgePlan, QueryRule, Refresh, RoutePlan};
use tidegate_core::keys::PublicKey;
use tidegate_core::path::PathTemplate;
use tidegate_core::profile::Arrows;

use super::raw::{Raw, RawCache, RawControl, RawLimits, RawRoute, RawTls, RawUpstream};
use super::{Cache, Config, Governed, Limits, Listen, Mode, Tls, UpstreamConfig};
use crate::target::normalise_host;

// === impl Config ===

impl Checked for Config {
    type Raw = Raw;

    fn check(raw: Raw) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let listen = check_listen(&raw, &mut problems);
        let tls = check_tls(raw.tls.as_ref(), listen.https.is_some(), &mut problems);
        let cache = check_cache(&raw.cache, &mut problems);
        let limits = check_limits(&raw.limits, &mut problems);
        if raw.waf.mode != "off" {
            problems.push("waf.mode: only \"off\" is supported".to_owned());
        }
        let mode = check_mode(&raw, &mut problems);
        match (mode, problems.is_empty()) {
            (Some(mode), true) => {
                let Raw { log, supervised, .. } = raw;
                Ok(Self { listen, tls, cache, limits, mode, log, supervised })
            }
            _ => Err(problems),
        }
    }
}

fn check_listen(raw: &Raw, problems: &mut Vec<String>) -> Listen {
    let mut address = |key: &str, text: &Option<String>| -> Option<SocketAddr> {
        let parsed = text.as_deref()?.parse();
        parsed.map_err(|_| problems.push(format!("listen.{key}: write ADDRESS:PORT"))).ok()
    };
    let listen = Listen {
        http: address("http", &raw.listen.http),
        https: address("https", &raw.listen.https),
        private: address("private", &raw.listen.private),
    };
    if raw.listen.http.is_none() && raw.listen.https.is_none() {
        problems.push("listen: name http, https or both".to_owned());
    }
    listen
}

fn check_tls(raw: Option<&RawTls>, needed: bool, problems: &mut Vec<String>) -> Option<Tls> {
    let Some(raw) = raw else {
        if needed {
            problems.push("tls: listen.https needs certificate and key, or development".to_owned());
        }
        return None;
    };
    let RawTls { certificate, key, development, names } = raw;
    let bad_names = names.iter().filter(|name| !is_name(name));
    problems.extend(bad_names.map(|name| format!("tls.names: '{name}' is no host name")));
    match (certificate, key, development) {
        (Some(certificate), Some(key), None) => {
            if !names.is_empty() {
                problems.push("tls.names: only with tls.development".to_owned());
            }
            Some(Tls::Files { certificate: certificate.clone(), key: key.clone() })
        }
        (None, None, Some(directory)) => {
            Some(Tls::Development { directory: directory.clone(), names: names.clone() })
        }
        _ => {
            problems.push("tls: give certificate and key, or development alone".to_owned());
            None
        }
    }
}

fn check_cache(raw: &RawCache, problems: &mut Vec<String>) -> Cache {
    if raw.capacity_bytes == 0 {
        problems.push("cache.capacity_bytes: must not be 0".to_owned());
    }
    // Weights are counted in 32 bits.
    let max_object_bytes = usize::try_from(raw.max_object_bytes).unwrap_or(usize::MAX);
    if raw.max_object_bytes > 1 << 31 {
        problems.push("cache.max_object_bytes: must not exceed 2 GiB".to_owned());
    }
    if !is_token(&raw.node) {
        problems.push(
            "cache.node: must begin with a letter and hold letters, digits, '-', '_' or '.'"
                .to_owned(),
        );
    }
    Cache {
        capacity_bytes: raw.capacity_bytes,
        max_object_bytes,
        honour_client_no_cache: raw.honour_client_no_cache,
        node: raw.node.clone(),
    }
}

fn check_limits(raw: &RawLimits, problems: &mut Vec<String>) -> Limits {
    let mut positive = |key: &str, number: u64| {
        if number == 0 {
            problems.push(format!("limits.{key}: must not be 0"));
        }
        number
    };
    Limits {
        connections: positive("connections", raw.connections).try_into().unwrap_or(usize::MAX),
        request_body_bytes: raw.request_body_bytes,
        client_header: millis(positive("client_header_ms", raw.client_header_ms)),
        body_idle: millis(positive("body_idle_ms", raw.body_idle_ms)),
        connect: millis(positive("connect_ms", raw.connect_ms)),
        response_header: millis(positive("response_header_ms", raw.response_header_ms)),
        background: positive("background", raw.background).try_into().unwrap_or(usize::MAX),
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn check_mode(raw: &Raw, problems: &mut Vec<String>) -> Option<Mode> {
    match &raw.control {
        Some(control) => {
            if !raw.route.is_empty() || !raw.upstream.is_empty() {
                problems
                    .push("route: an edge with [control] gets its routes from there".to_owned());
            }
            check_governed(control, raw.queue.as_deref(), raw.arrows, problems)
                .map(|governed| Mode::Governed(Box::new(governed)))
        }
        None => {
            if raw.queue.is_some() {
                problems.push("queue: only an edge with [control] listens to a queue".to_owned());
            }
            if raw.arrows != Arrows::default() {
                problems.push("arrows: only an edge with [control] knows workers".to_owned());
            }
            Some(check_stand_alone(&raw.route, &raw.upstream, problems))
        }
    }
}

fn check_governed(
    raw: &RawControl,
    queue: Option<&str>,
    arrows: Arrows,
    problems: &mut Vec<String>,
) -> Option<Governed> {
    let mut noted = |problem: String| problems.push(problem);
    let queue = match queue.map(str::parse) {
        Some(Ok(backend)) => Some(backend),
        Some(Err(error)) => {
            noted(format!("queue: {error}"));
            None
        }
        None => {
            noted("queue: an edge with [control] needs one; write sqlite:PATH".to_owned());
            None
        }
    };
    let control = parse_address(&raw.address);
    if control.is_none() {
        noted("control.address: write HOST:PORT".to_owned());
    }
    let public_key = check_public_key(raw).map_err(noted).ok();
    if raw.project.is_empty() {
        problems.push("control.project: must not be empty".to_owned());
    }
    Some(Governed {
        queue: queue?,
        control: control?,
        public_key: public_key?,
        project: raw.project.clone(),
        state: raw.state.clone(),
        arrows,
    })
}

/// The key may come from a file: where images are deployed, it is made after they were configured.
fn check_public_key(raw: &RawControl) -> Result<PublicKey, String> {
    let (key, text) = match (&raw.public_key, &raw.public_key_file) {
        (Some(text), None) => ("public_key", text.clone()),
        (None, Some(path)) => (
            "public_key_file",
            std::fs::read_to_string(path).map_err(|error| {
                format!("control.public_key_file: {} can't be read: {error}", path.display())
            })?,
        ),
        _ => return Err("control: name public_key or public_key_file".to_owned()),
    };
    PublicKey::from_hex(text.trim()).map_err(|error| format!("control.{key}: {error}"))
}

fn check_stand_alone(
    routes: &[RawRoute],
    upstreams: &[RawUpstream],
    problems: &mut Vec<String>,
) -> Mode {
    if routes.is_empty() {
        problems.push("route: name at least one, or [control]".to_owned());
    }
    let checked: Vec<UpstreamConfig> =
        upstreams.iter().filter_map(|raw| check_upstream(raw, problems)).collect();
    let mut plan = EdgePlan { product: "-".to_owned(), routes: Vec::new() };
    for (position, raw) in routes.iter().enumerate() {
        if !upstreams.iter().any(|upstream| upstream.name == raw.upstream) {
            problems.push(format!(
                "route {}: no [[upstream]] is named '{}'",
                position + 1,
                raw.upstream
            ));
        }
        match check_route(raw) {
            Ok(route) => plan.routes.push(route),
            Err(problem) => problems.push(format!("route {}: {problem}", position + 1)),
        }
    }
    plan.sort_routes();
    Mode::StandAlone { plan, upstreams: checked }
}

fn check_upstream(raw: &RawUpstream, problems: &mut Vec<String>) -> Option<UpstreamConfig> {
    let before = problems.len();
    if raw.addresses.is_empty() {
        problems.push(format!("upstream '{}': addresses must not be empty", raw.name));
    }
    let parsed = raw.addresses.iter().filter_map(|text| {
        parse_address(text).or_else(|| {
            problems.push(format!("upstream '{}': '{text}' is not HOST:PORT", raw.name));
            None
        })
    });
    let addresses = parsed.collect();
    (problems.len() == before).then(|| UpstreamConfig { name: raw.name.clone(), addresses })
}

fn check_route(raw: &RawRoute) -> Result<RoutePlan, String> {
    let host = match &raw.host {
        // Without a scheme no port is the default, so one that is given stays and is refused.
        Some(host) => match normalise_host(host, "") {
            Some(host) if !host.contains(':') => Some(host),
            _ => return Err(format!("host '{host}' must be a name without a port")),
        },
        None => None,
    };
    let query = match raw.query.as_deref() {
        None | Some("keep") => QueryRule::Keep,
        Some("sort") => QueryRule::Sort,
        Some(other) => return Err(format!("query '{other}' must be keep or sort")),
    };
    Ok(RoutePlan {
        name: raw.path.clone(),
        host,
        path: PathTemplate::parse(&raw.path).map_err(|error| error.to_string())?,
        upstream: raw.upstream.clone(),
        query,
        access: Access::Origin,
        cache: CachePlan::Respect,
        refresh: Refresh::Api,
        epoch: String::new(),
    })
}

/// Parses `HOST:PORT`.
pub(crate) fn parse_address(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let complete = authority.port_u16().is_some_and(|port| port != 0)
        && !authority.host().is_empty()
        && !authority.as_str().contains('@');
    complete.then_some(authority)
}

fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*'))
    };
    text.parse::<std::net::IpAddr>().is_ok() || text.split('.').all(is_part)
}

/// What `Via` and `Cache-Status` both take as a name.
fn is_token(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
