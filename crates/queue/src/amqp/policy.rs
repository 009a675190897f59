//! Limits of the queues, set through the broker's management API.
//!
//! Who can't use it sets the same limits with the lines of docs/MESSAGES.md.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use lapin::uri::AMQPUri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::names::Names;
use super::settings::{Management, Node};

/// For all policies.
const PATIENCE: Duration = Duration::from_secs(5);

/// Deliveries without an end before the broker keeps a message aside: its consumers crash.
const DELIVERY_LIMIT: u32 = 10;

/// Most bytes in one work queue. Beyond it publishers are refused, and outboxes grow.
const WORK_BYTES: u64 = 2 << 30;

/// Most bytes of what was kept aside and is not filed.
const DEAD_BYTES: u64 = 1 << 30;

/// Who sets policies, and in which virtual host.
pub(super) struct Account {
    user: String,
    password: String,
    vhost: String,
}

/// One policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) pattern: String,
    pub(super) definition: Value,
}

// === impl Account ===

impl Account {
    pub(super) fn of(uri: &AMQPUri) -> Self {
        let (user, vhost) = (uri.authority.userinfo.username.clone(), uri.vhost.clone());
        Self { user, password: uri.authority.userinfo.password.clone(), vhost }
    }
}

/// Returns the policies. One queue obeys one policy, so each has all that its queues need.
pub(super) fn policies(names: &Names) -> [Policy; 3] {
    let prefix = names.prefix();
    let policy = |name: &str, queues: &str, definition| Policy {
        name: format!("{prefix}-{name}"),
        pattern: format!("^{prefix}\\.q\\.{queues}\\.v[0-9]+$"),
        definition,
    };
    let lanes = "(high|default|low|long)";
    [
        policy(
            "work",
            &format!("{lanes}(\\.canary\\.[0-9a-f]+)?"),
            json!({ "delivery-limit": DELIVERY_LIMIT, "max-length-bytes": WORK_BYTES }),
        ),
        policy(
            "retry",
            &format!("{lanes}\\.retry\\.[0-9a-z]+"),
            json!({ "max-length-bytes": WORK_BYTES }),
        ),
        policy(
            "dead",
            "(dlq|unrouted)",
            json!({ "overflow": "reject-publish", "max-length-bytes": DEAD_BYTES }),
        ),
    ]
}

/// Sets the policies.
pub(super) async fn apply(
    management: &Management,
    account: &Account,
    names: &Names,
) -> Result<(), String> {
    let Node { host, port } = &management.node;
    let applied = async {
        for policy in policies(names) {
            put(&management.node, account, &policy).await?;
        }
        Ok(())
    };
    let applied = timeout(PATIENCE, applied).await;
    applied
        .unwrap_or_else(|_| Err("no answer".to_owned()))
        .map_err(|error: String| format!("management API at http://{host}:{port}: {error}"))
}

async fn put(node: &Node, account: &Account, policy: &Policy) -> Result<(), String> {
    let Node { host, port } = node;
    let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|e| e.to_string())?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    // Ends with this call.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let body = json!({
        "pattern": policy.pattern,
        "definition": policy.definition,
        "apply-to": "queues",
        "priority": 0,
    });
    let path = format!("/api/policies/{}/{}", encoded(&account.vhost), encoded(&policy.name));
    let request = Request::put(path)
        .header(HOST, format!("{host}:{port}"))
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, basic(&account.user, &account.password))
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(format!("the user '{}' may not set policies (tag: policymaker)", account.user))
        }
        status => Err(format!("policy {}: {status}", policy.name)),
    }
}

/// RFC 7617.
fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_written_as_base64() {
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn each_queue_obeys_exactly_one_policy() {
        use super::super::rung::Rung;
        use tidegate_core::job::Lane;

        let names = Names::new("tidegate".to_owned());
        let mut queues = vec![names.dead_queue(), names.unrouted_queue()];
        for lane in Lane::ALL {
            queues.push(names.lane_queue(lane));
            queues.push(names.canary_queue(lane, "release"));
            queues.extend(Rung::ALL.map(|rung| names.rung_queue(lane, rung)));
        }
        let patterns = policies(&names).map(|policy| regex::Regex::new(&policy.pattern).unwrap());
        for queue in queues {
            let fitting = patterns.iter().filter(|pattern| pattern.is_match(queue.as_str()));
            assert_eq!(fitting.count(), 1, "{queue}");
        }
    }

    #[test]
    fn the_lines_for_those_who_set_policies_by_hand_say_the_same() {
        let page = include_str!("../../../../docs/MESSAGES.md");
        for Policy { name, pattern, definition } in policies(&Names::new("tidegate".to_owned())) {
            let line = format!(
                "rabbitmqctl set_policy --vhost / --apply-to queues {name} '{pattern}' '{definition}'"
            );
            assert!(page.contains(&line), "docs/MESSAGES.md lacks: {line}");
        }
    }
}
