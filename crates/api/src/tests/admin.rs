//! What administrators do: reconcile, probes, dead letters, jobs.

use http::Method;
use serde_json::{Value, json};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane, PROBE};
use tidegate_core::outbox::{OutboxMessage, OutboxSource as _};
use tidegate_store::{DeadLetters as _, NewDeadLetter};

use super::fixture::{Fixture, Reply, request};

async fn send(api: &Fixture, token: &str, method: Method, path: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    api.send(request(method, path, &fields, body.to_string())).await
}

async fn post(api: &Fixture, token: &str, path: &str, body: &Value) -> Reply {
    send(api, token, Method::POST, path, body).await
}

/// Takes the jobs that wait in the outbox.
async fn take_jobs(api: &Fixture) -> Vec<Job> {
    let entries = api.store.pending(1_000).await.unwrap();
    let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
    api.store.mark_sent(&ids).await.unwrap();
    let job = |message| match message {
        OutboxMessage::Job(job) => Some(job),
        OutboxMessage::Notice(_) => None,
    };
    entries.into_iter().filter_map(|entry| job(entry.message)).collect()
}

#[tokio::test]
async fn a_view_is_reconciled_by_a_job_that_can_be_followed_and_cancelled() {
    let api = Fixture::new().await;
    let path = "/v1/air/views/city_hour/reconcile";
    let reply = post(&api, "acme-admin", path, &json!({})).await.expect(202);
    let location = reply.header("location").to_owned();
    let job = api.get("acme-admin", &location).await.expect(200).json();
    assert_eq!((&job["kind"], &job["state"]), (&json!("reconcile"), &json!("accepted")));
    let put = take_jobs(&api).await.remove(0);
    assert_eq!((put.lane, &put.body["view"]), (Lane::Long, &json!("city_hour")));

    let listed = api.get("acme-admin", "/v1/jobs?product=air&kind=reconcile").await.expect(200);
    assert_eq!(listed.json()["jobs"][0]["job"], job["job"]);
    send(&api, "acme-admin", Method::DELETE, &location, &json!(null)).await.expect(204);
    let job = api.get("acme-admin", &location).await.expect(200).json();
    assert_eq!(job["state"], "cancelled");
    send(&api, "acme-admin", Method::DELETE, &location, &json!(null)).await.expect(409);
}

#[tokio::test]
async fn a_reconcile_needs_an_administrator_and_a_view_that_there_is() {
    let api = Fixture::new().await;
    let path = "/v1/air/views/city_hour/reconcile";
    post(&api, "acme-writer", path, &json!({})).await.expect(403);
    let reply = post(&api, "acme-admin", "/v1/air/views/city/reconcile", &json!({})).await;
    let reply = reply.expect(404);
    assert!(reply.text().contains("city_hour"), "{}", reply.text());
    post(&api, "acme-admin", &format!("{path}?repair=maybe"), &json!({})).await.expect(400);
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_job() {
    let api = Fixture::new().await;
    let fields = [("authorization", "Bearer acme-admin"), ("idempotency-key", "monday")];
    let path = "/v1/air/views/city_hour/reconcile";
    let first = api.send(request(Method::POST, path, &fields, "")).await.expect(202);
    let second = api.send(request(Method::POST, path, &fields, "")).await.expect(202);
    assert_eq!(first.json()["job"], second.json()["job"]);
    assert_eq!(take_jobs(&api).await.len(), 1);
}

#[tokio::test]
async fn a_trial_puts_as_many_probes_as_asked_for() {
    let api = Fixture::new().await;
    let reply = post(&api, "acme-admin", "/v1/air/probes", &json!({ "jobs": 3 })).await.expect(202);
    let run = reply.json()["run"].as_str().unwrap().to_owned();
    let jobs = take_jobs(&api).await;
    assert_eq!(jobs.len(), 3);
    assert!(jobs.iter().all(|job| job.kind == PROBE && job.body["run"] == json!(run)));
    let tally = api.get("acme-admin", &format!("/v1/air/probes/{run}")).await.expect(200).json();
    assert_eq!((&tally["expected"], &tally["done"]), (&json!(3), &json!(0)));
    let unknown = "/v1/air/probes/0199aaaa-0000-7000-8000-000000000000";
    api.get("acme-admin", unknown).await.expect(404);
}

#[tokio::test]
async fn a_trial_that_can_not_be_is_refused_with_the_reason() {
    let api = Fixture::new().await;
    for (body, word) in [
        (json!({ "jobs": 0 }), "jobs"),
        (json!({ "jobs": 1_000_000 }), "jobs"),
        (json!({ "lane": "long" }), "lane"),
        (json!({ "outcome": "dance" }), "outcome"),
        (json!({ "colour": 1 }), "colour"),
    ] {
        let reply = post(&api, "acme-admin", "/v1/air/probes", &body).await.expect(400);
        assert!(reply.text().contains(word), "{word}: {}", reply.text());
    }
    post(&api, "acme-reader", "/v1/air/probes", &json!({})).await.expect(403);
}

/// Files letters of probes that this api has put.
async fn file(api: &Fixture, count: u32) {
    post(api, "acme-admin", "/v1/air/probes", &json!({ "jobs": count })).await.expect(202);
    let now = Timestamp::now();
    let letter = |job: Job| NewDeadLetter {
        raw: serde_json::to_vec(&job).unwrap(),
        lane: Some(job.lane),
        job: Some(job),
        reason: "permanent: it was asked to fail".to_owned(),
        attempts: 1,
        headers: json!({}),
        error_chain: vec!["it was asked to fail".to_owned()],
        died_at: now,
    };
    let letters = take_jobs(api).await.into_iter().map(letter).collect();
    assert_eq!(api.store.file(letters, now).await.unwrap(), count as usize);
}

#[tokio::test]
async fn dead_letters_are_listed_shown_and_decided_on() {
    let api = Fixture::new().await;
    file(&api, 3).await;
    let path = "/v1/air/dead-letters";
    let page = api.get("acme-admin", path).await.expect(200).json();
    assert_eq!((&page["open"], page["letters"].as_array().unwrap().len()), (&json!(3), 3));
    let number = page["letters"][0]["no"].as_i64().unwrap();
    let shown = api.get("acme-admin", &format!("{path}/{number}")).await.expect(200).json();
    assert_eq!((&shown["code"], &shown["state"]), (&json!("permanent"), &json!("open")));

    let requeue = format!("{path}/requeue");
    let nothing = post(&api, "acme-admin", &requeue, &json!({})).await.expect(400);
    assert!(nothing.text().contains("all"), "{}", nothing.text());
    let dry = json!({ "all": true, "dry_run": true });
    let dry = post(&api, "acme-admin", &requeue, &dry).await.expect(200).json();
    assert_eq!(dry, json!({ "matched": 3, "decided": 0, "dry_run": true }));
    let one = json!({ "numbers": [number] });
    let one = post(&api, "acme-admin", &requeue, &one).await.expect(200).json();
    assert_eq!((&one["matched"], &one["decided"]), (&json!(1), &json!(1)));
    let again = take_jobs(&api).await.remove(0);
    assert_eq!((again.generation, again.attempt), (1, 0));
    let rest = json!({ "kind": PROBE });
    let rest = post(&api, "acme-admin", &format!("{path}/discard"), &rest).await.expect(200);
    assert_eq!(rest.json()["decided"], 2);
    assert_eq!(api.get("acme-admin", path).await.expect(200).json()["open"], 0);
}

#[tokio::test]
async fn dead_letters_of_another_tenant_are_not_there() {
    let api = Fixture::new().await;
    file(&api, 1).await;
    let path = "/v1/air/dead-letters";
    let number = api.get("acme-admin", path).await.json()["letters"][0]["no"].as_i64().unwrap();
    assert_eq!(api.get("globex-admin", path).await.expect(200).json()["open"], 0);
    api.get("globex-admin", &format!("{path}/{number}")).await.expect(404);
    let all = json!({ "all": true });
    let decided = post(&api, "globex-admin", &format!("{path}/discard"), &all).await.expect(200);
    assert_eq!(decided.json()["decided"], 0);
    api.get("acme-reader", path).await.expect(403);
}
