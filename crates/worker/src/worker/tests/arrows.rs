//! Refresh orders and write-back, as the arrows of the project allow.

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use parking_lot::Mutex;
use tidegate_core::cache_update::{
    CacheUpdate, Origin, REFRESH_PATH, Reader, RefreshOrder, RefreshOutcome, Resource,
};
use tidegate_core::hot::{HotKey, HotReport};
use tidegate_core::job::REFRESH;
use tidegate_core::scope::scope_key;

use super::*;

fn origin() -> Origin {
    Origin { scheme: "https".to_owned(), host: "example.test".to_owned() }
}

fn reader() -> Reader {
    Reader { tenant: TENANT.to_owned(), scopes: vec!["read:air".to_owned()] }
}

impl Stack {
    /// Names the series of a city as an edge would.
    fn series(&self, city: &str) -> Resource {
        let reader = reader();
        Resource {
            path: format!("/v1/air/cities/{city}/series"),
            query: String::new(),
            scope_key: scope_key(self.store.scope_secret(), &reader.tenant, &reader.scopes, ""),
            epoch: self.contract.contract.endpoints[0].hash.clone(),
        }
    }
}

/// Listens for the next response that is written back.
async fn updated(subscription: &mut dyn Subscription) -> CacheUpdate {
    loop {
        let heard = tokio::time::timeout(NEVER, subscription.next()).await.unwrap().unwrap();
        let Heard::Notices(notices) = heard else { panic!("missed notices") };
        for notice in notices {
            if let Notice::Update(update) = notice {
                return *update;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_responses_are_written_back_after_a_commit() {
    let stack = Stack::new().await;
    let resource = stack.series("c1");
    let now = Timestamp::now();
    // Before anything was sent: what the response is called by is known already.
    let reader = reader();
    let rendered =
        tidegate_store::respond(stack.store.as_ref(), &stack.contract, &resource, &reader, now);
    let rendered = rendered.await.unwrap();
    let tags = rendered.fields.iter().find(|(name, _)| name == tidegate_core::tag::HEADER).unwrap();
    let key = HotKey {
        resource: resource.clone(),
        origin: origin(),
        reader,
        tags: tags.1.split(' ').map(str::to_owned).collect(),
        requests: 50,
    };
    let report = HotReport { node: "e1".to_owned(), keys: vec![key] };
    stack.store.record_hot("air", &report, now).await.unwrap();

    let mut subscription = stack.queue.subscribe().await.unwrap();
    let worker = stack.start_worker_with("[arrows]\nworker_to_edge = true\n");
    stack.accept(0, 30).await;
    let update = updated(&mut *subscription).await;
    assert_eq!((update.resource, update.origins), (resource, vec![origin()]));
    assert!(update.seq.seq > rendered.seq.seq);
    assert_eq!(update.arm, Arm::Stable);
    stack.stop([worker]).await;
}

/// Orders that an api was given.
type Orders = Arc<Mutex<Vec<RefreshOrder>>>;

async fn take(
    State(taken): State<Orders>,
    Json(orders): Json<Vec<RefreshOrder>>,
) -> Json<Vec<RefreshOutcome>> {
    let mut taken = taken.lock();
    // The first time it is not able to look.
    let outcome = if taken.is_empty() { RefreshOutcome::Failed } else { RefreshOutcome::Unchanged };
    let outcomes = vec![outcome; orders.len()];
    taken.extend(orders);
    Json(outcomes)
}

fn order(resource: Resource) -> Job {
    let entity_tag = "\"1\"".to_owned();
    let order = RefreshOrder { resource, origin: origin(), reader: reader(), entity_tag };
    Job {
        lane: Lane::High,
        body: serde_json::to_value(order).unwrap(),
        ..crate::fixture::job(REFRESH)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_orders_go_to_an_api_that_is_there() {
    let stack = Stack::new().await;
    let listener = tidegate_ops::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Orders::default();
    let router = axum::Router::new().route(REFRESH_PATH, post(take)).with_state(taken.clone());
    let serving = tokio::spawn(tidegate_ops::serve(listener, router, stack.shutdown.clone()));
    // The other instance is away.
    let worker = stack.start_worker_with(&format!(
        "[arrows]\nworker_to_api = true\n[api]\ninternal = [\"127.0.0.1:1\", \"{address}\"]\n"
    ));
    stack.queue.publish(&[order(stack.series("c1"))]).await.unwrap();
    stack.until("it was asked twice", async || taken.lock().len() == 2).await;
    stack
        .until("the job is gone", async || {
            let depths = stack.queue.depth().await.unwrap();
            let high = depths.stable(Lane::High).unwrap();
            high.ready + high.unacked == 0
        })
        .await;
    assert_eq!(taken.lock()[0].resource, stack.series("c1"));
    stack.stop([worker]).await;
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_arrow_to_the_api_refresh_orders_are_kept_aside() {
    let stack = Stack::new().await;
    let worker = stack.start_worker();
    let strange = Job { body: serde_json::json!(7), ..order(stack.series("c1")) };
    stack.queue.publish(&[order(stack.series("c1")), strange]).await.unwrap();
    let letters = stack.letters(2).await;
    let reasons: BTreeSet<&str> = letters.iter().map(|letter| letter.code.as_str()).collect();
    assert_eq!(reasons, ["malformed", "permanent"].into());
    stack.stop([worker]).await;
}
