//! A governed edge: a control, an api and a queue that a test scripts.

use std::path::Path;
use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::edge_plan::{Access, CachePlan, EdgePlan, QueryRule, Refresh, RoutePlan};
use tidegate_core::keys::PrivateKey;
use tidegate_core::param::{ParamKind, ParamPlan};
use tidegate_core::path::PathTemplate;
use tidegate_core::routing::{DEFAULT_LEASE_MS, EDGE_PLAN_PATH, PATH, Pool, RoutingDocument};
use tidegate_core::scope::{self, ResolvedScope};
use tidegate_core::seq::{DataSeq, Space};
use tidegate_queue::SharedQueue;
use tokio::sync::Semaphore;

use super::harness::{TestEdge, eventually};
use super::origin::{Asked, Origin, Reply};
use super::queue::{ScriptedQueue, Shared};

/// Everything around a governed edge.
pub(super) struct Deployment {
    pub(super) control: Origin,
    pub(super) api: Origin,
    pub(super) queue: Arc<ScriptedQueue>,
    key: PrivateKey,
    dir: tempfile::TempDir,
}

// === impl Deployment ===

impl Deployment {
    pub(super) async fn new(api: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = PrivateKey::load_or_create(&dir.path().join("key")).unwrap();
        let silent = Origin::start(|_| Reply::new(503, &[], "")).await;
        let control = Origin::start(|_| Reply::new(503, &[], "")).await;
        let queue = Arc::default();
        let deployment = Self { control, api: silent, queue, key, dir };
        deployment.answer(api);
        deployment.govern(1, 1);
        deployment
    }

    /// Replaces what the api answers on its public listener.
    pub(super) fn answer(&self, api: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        self.api.now(move |asked| answer_internal(asked).unwrap_or_else(|| api(asked)));
    }

    /// Lets control serve a document of this version.
    pub(super) fn govern(&self, epoch: u64, generation: u64) {
        let signed = self.key.sign(self.document(epoch, generation));
        let signed = serde_json::to_string(&signed).unwrap();
        let never = Arc::new(Semaphore::new(0));
        let held = format!("{PATH}?after={epoch}.{generation}&");
        self.control.now(move |asked| match asked.uri.to_string().starts_with(&held) {
            true => Reply::new(204, &[], "").behind(&never),
            false => Reply::new(200, &[], &signed),
        });
    }

    fn document(&self, epoch: u64, generation: u64) -> String {
        let api = vec![self.api.address.to_string()];
        let document = RoutingDocument {
            project: "p".to_owned(),
            epoch,
            generation,
            issued_at: Timestamp(0),
            stable: Pool {
                release: "sha256:r".to_owned(),
                edge_plan: plan().digest(),
                api: api.clone(),
                internal: api,
            },
            canary: None,
            weight_bp: 0,
            lease_ms: DEFAULT_LEASE_MS,
        };
        serde_json::to_string(&document).unwrap()
    }

    /// Starts an edge and waits until it is ready.
    pub(super) async fn edge(&self) -> TestEdge {
        let edge = self.starting_edge().await;
        edge.ready().await;
        edge
    }

    pub(super) async fn starting_edge(&self) -> TestEdge {
        self.starting_edge_with("").await
    }

    /// Starts an edge with these arrows to and from workers and waits until it is ready.
    pub(super) async fn edge_with(&self, arrows: &str) -> TestEdge {
        let edge = self.starting_edge_with(&format!("[arrows]\n{arrows} = true\n")).await;
        edge.ready().await;
        edge
    }

    /// Starts an edge on another queue.
    pub(super) async fn edge_on(&self, queue: SharedQueue, arrows: &str) -> TestEdge {
        let edge = self.starting_edge_on(queue, arrows).await;
        edge.ready().await;
        edge
    }

    pub(super) async fn starting_edge_on(&self, queue: SharedQueue, arrows: &str) -> TestEdge {
        self.configured(&format!("[arrows]\n{arrows} = true\n"), queue).await
    }

    async fn starting_edge_with(&self, extra: &str) -> TestEdge {
        self.configured(extra, Arc::new(Shared(Arc::clone(&self.queue)))).await
    }

    async fn configured(&self, extra: &str, queue: SharedQueue) -> TestEdge {
        let text = format!(
            "queue = \"sqlite:unused\"\n\
             [listen]\nhttp = \"127.0.0.1:0\"\nprivate = \"127.0.0.1:0\"\n\
             [control]\naddress = \"{}\"\npublic_key = \"{}\"\nproject = \"p\"\nstate = \"{}\"\n{extra}",
            self.control.address,
            self.key.public().to_hex(),
            self.state().display(),
        );
        TestEdge::configured(&text, Some(queue)).await
    }

    pub(super) fn state(&self) -> std::path::PathBuf {
        Path::new(self.dir.path()).join("state")
    }
}

/// What every api answers on its private listener. Tokens are named after their scope and end in
/// a digit, so that several have one scope; `bad` is unknown.
fn answer_internal(asked: &Asked) -> Option<Reply> {
    let path = asked.uri.path();
    if path == scope::PATH {
        let token = asked.header("authorization").trim_start_matches("Bearer ").to_owned();
        if token == "bad" {
            return Some(Reply::new(401, &[], ""));
        }
        let scope = ResolvedScope {
            scope_key: token.trim_end_matches(|last: char| last.is_ascii_digit()).to_owned(),
            tenant: "acme".to_owned(),
            subject: token,
            scopes: vec!["read:air".to_owned()],
            lifetime_ms: 60_000,
        };
        return Some(Reply::new(200, &[], &serde_json::to_string(&scope).unwrap()));
    }
    let digest = path.strip_prefix(EDGE_PLAN_PATH)?;
    let plan = plan();
    Some(match plan.digest() == digest {
        true => Reply::new(200, &[], &serde_json::to_string(&plan).unwrap()),
        false => Reply::new(404, &[], ""),
    })
}

fn plan() -> EdgePlan {
    let route = |path: &str, access, query, refresh| RoutePlan {
        name: path.to_owned(),
        host: None,
        path: PathTemplate::parse(path).unwrap(),
        upstream: "api".to_owned(),
        query,
        access,
        cache: CachePlan::Respect,
        refresh,
        epoch: "e1".to_owned(),
    };
    let limit = ParamPlan {
        name: "limit".to_owned(),
        kind: ParamKind::Int { min: 1, max: 10 },
        required: false,
        default: Some("5".to_owned()),
    };
    let declared = QueryRule::Declared { params: vec![limit] };
    let mut plan = EdgePlan {
        product: "air".to_owned(),
        routes: vec![
            route("/v1/air/public", Access::Public, QueryRule::Keep, Refresh::Api),
            route("/v1/air/scoped", Access::Scoped, QueryRule::Keep, Refresh::Api),
            route("/v1/air/declared", Access::Public, declared, Refresh::Api),
            route("/v1/air/ordered", Access::Public, QueryRule::Keep, Refresh::Worker),
            route("/v1/air/ordered/{what}", Access::Scoped, QueryRule::Keep, Refresh::Worker),
        ],
    };
    plan.sort_routes();
    plan
}

/// A position in the product's sequence.
pub(super) fn at(seq: u64) -> DataSeq {
    let space =
        Space { incarnation: "k".to_owned(), tenant: "acme".to_owned(), product: "air".to_owned() };
    DataSeq { space, seq }
}

/// An api's answer read at a position.
pub(super) fn read_at(seq: u64, tags: &str, body: &str) -> Reply {
    let control = "max-age=0, s-maxage=60, stale-while-revalidate=300, stale-if-error=3600";
    let fields = [
        ("cache-control", control),
        ("surrogate-key", tags),
        ("x-data-seq", &at(seq).to_string()),
        ("etag", &format!("W/\"{body}\"")),
    ];
    Reply::new(200, &fields, body)
}

#[tokio::test]
async fn routes_come_from_control_and_the_rest_is_passed_to_the_api() {
    let deployment = Deployment::new(|asked| read_at(1, "a", &asked.uri.to_string())).await;
    let edge = deployment.edge().await;
    edge.get("/v1/air/public").await.check("/v1/air/public", "fwd=uri-miss; stored");
    edge.get("/v1/air/public").await.check("/v1/air/public", "hit");
    edge.get("/v1/jobs/1").await.check("/v1/jobs/1", "fwd=bypass");
    // Defaults are filled in, so that both spellings are one response.
    let full = "/v1/air/declared?limit=5";
    edge.get("/v1/air/declared").await.check(full, "fwd=uri-miss; stored");
    edge.get(full).await.check(full, "hit");
    // What the declaration does not take is for the api to refuse, in its own words.
    let wrong = "/v1/air/declared?limit=99";
    edge.get(wrong).await.check(wrong, "fwd=bypass");
}

#[tokio::test]
async fn an_older_document_is_refused_and_a_newer_one_taken() {
    let deployment = Deployment::new(|_| Reply::ok("no-store", "first api")).await;
    deployment.govern(5, 5);
    drop(deployment.edge().await);
    let other = Deployment::new(|_| Reply::ok("no-store", "other api")).await;
    let serve = |epoch, generation| {
        let signed = deployment.key.sign(other.document(epoch, generation));
        let signed = serde_json::to_string(&signed).unwrap();
        deployment.control.now(move |_| Reply::new(200, &[], &signed));
    };
    // Restarted, so that it asks anew: what is on disk is newer than what control offers.
    serve(4, 99);
    let restarted = deployment.edge().await;
    deployment.control.wait_for(PATH, deployment.control.count(PATH) + 3).await;
    restarted.get("/x").await.check("first api", "fwd=bypass");
    serve(6, 0);
    eventually(async || restarted.get("/x").await.body == "other api").await;
}

#[tokio::test]
async fn a_start_without_control_uses_the_document_and_plan_on_disk() {
    let deployment = Deployment::new(|_| read_at(1, "a", "one")).await;
    let edge = deployment.edge().await;
    edge.get("/v1/air/public").await.check("one", "fwd=uri-miss; stored");
    deployment.control.now(|_| Reply::new(503, &[], ""));
    let restarted = deployment.edge().await;
    restarted.get("/v1/air/public").await.check("one", "fwd=uri-miss; stored");
    restarted.get("/v1/air/public").await.check("one", "hit");
}

#[tokio::test]
async fn a_document_on_disk_that_was_tampered_with_is_not_used() {
    let deployment = Deployment::new(|_| read_at(1, "a", "one")).await;
    drop(deployment.edge().await);
    let path = deployment.state().join("routing.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("sha256:r", "sha256:x")).unwrap();
    deployment.control.now(|_| Reply::new(503, &[], ""));
    let restarted = deployment.starting_edge().await;
    assert_eq!(restarted.get("/v1/air/public").await.status, 503);
}
