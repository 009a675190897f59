//! The fault suite in short, on servers of its own: `make faults` is the long run.

use bytes::Bytes;
use e2e::{Load, Mix, Random, Servers, Stack, Tally, Tier, Victim, eventually, signal, unsettled};
use http::Method;

/// Jobs that are accepted while things break.
const JOBS: u64 = 3_000;

/// Who is killed, each with work in its hands.
const VICTIMS: [Victim; 10] = [
    Victim::Tier(Tier::Worker),
    Victim::Tier(Tier::Api),
    Victim::Tier(Tier::Worker),
    Victim::Broker,
    Victim::Tier(Tier::Worker),
    Victim::Tier(Tier::Edge),
    Victim::Tier(Tier::Worker),
    Victim::Tier(Tier::Control),
    Victim::Broker,
    Victim::Tier(Tier::Api),
];

/// Jobs that must go through after each further fault.
const AFTER: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_tiers_and_brokers_lose_no_job_and_do_none_twice() {
    let servers = Servers::private().await;
    let stack = Stack::start_on(&servers, &["--workers", "2"]).await;
    let load = Load::start(&stack, &servers, Mix::Flaky);
    load.flows(AFTER).await;
    let mut random = Random::new(1);
    for victim in VICTIMS {
        victim.kill(&stack, &servers, &mut random).await;
    }
    load.flows(JOBS.saturating_sub(load.accepted())).await;
    ended_clean(&servers, load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_while_the_broker_lacks_memory_and_workers_give_back_what_they_have_not_begun() {
    let servers = Servers::private().await;
    let stack = Stack::start_on(&servers, &["--workers", "2"]).await;
    let load = Load::start(&stack, &servers, Mix::Plain);
    load.flows(AFTER).await;

    servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.00001"]).await;
    let private = stack.listener(Tier::Api, "private");
    eventually("the api says that the broker takes nothing in", || async {
        let reply = private.try_send(Method::GET, "/readyz", &[], Bytes::new()).await.ok()?;
        (reply.status == 200 && reply.text().contains("memory")).then_some(())
    })
    .await;
    load.flows(AFTER).await;
    servers.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1GB"]).await;
    stack.is_ready(Tier::Api).await;
    load.flows(AFTER).await;

    let worker = eventually("a worker holds jobs", || async {
        let id = stack.process(Tier::Worker).await;
        signal(id, "STOP").await;
        if unsettled(&servers, id).await > 0 {
            return Some(id);
        }
        signal(id, "CONT").await;
        None
    })
    .await;
    signal(worker, "TERM").await;
    signal(worker, "CONT").await;
    stack.replaced(Tier::Worker, 2, worker).await;
    load.flows(AFTER).await;
    ended_clean(&servers, load).await;
}

/// Waits until all is done, and demands that it was done once.
async fn ended_clean(servers: &Servers, load: Load) {
    let tally = Tally::settled(servers, &load.stop().await).await;
    assert!(tally.is_clean(), "{tally:?}");
    assert!(tally.done >= tally.accepted, "{tally:?}");
}
