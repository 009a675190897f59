//! After a commit no edge serves an older answer: purges beat fetches that began before them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use e2e::{Client, Stack, eventually};

use crate::air::{row, series};
use crate::data_path::ingest;

/// Rows that each of the two writers sends, one commit each.
const COMMITS: u64 = 40;

async fn rows_shown(client: &Client) -> u64 {
    let answer = client.get(&series("bergen")).await.expect(200);
    answer.json()["data"][0]["n"].as_u64().unwrap_or(0)
}

/// Reads without a pause; returns the number of reads that hit, and of all reads.
async fn read_until(client: Client, stop: Arc<AtomicBool>) -> (u64, u64) {
    let (mut shown, mut hits, mut reads) = (0, 0, 0);
    while !stop.load(Ordering::SeqCst) {
        let answer = client.get(&series("bergen")).await.expect(200);
        let now_shown = answer.json()["data"][0]["n"].as_u64().unwrap_or(0);
        assert!(now_shown >= shown, "an answer with {now_shown} rows followed one with {shown}");
        shown = now_shown;
        reads += 1;
        hits += u64::from(answer.header("cache-status").contains("; hit"));
    }
    (hits, reads)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_never_make_a_reader_go_back_in_time() {
    let stack = Stack::start().await;
    let client = stack.client();
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> =
        (0..4).map(|_| tokio::spawn(read_until(stack.client(), Arc::clone(&stop)))).collect();

    let write = async |writer: &str| {
        for number in 0..COMMITS {
            ingest(&client, &row(&format!("{writer}-{number}"), "bergen", 1, "1")).await;
        }
    };
    tokio::join!(write("a"), write("b"));
    eventually("the edge shows every commit", || async {
        (rows_shown(&client).await == 2 * COMMITS).then_some(())
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    let mut hits = 0;
    for reader in readers {
        hits += reader.await.expect("no reader may go back in time").0;
    }
    assert!(hits > 0, "the edge must have answered from its cache in between");
}

#[tokio::test]
async fn a_purge_of_one_city_leaves_the_others_cached() {
    let stack = Stack::start().await;
    let client = stack.client();
    let rows = [row("a", "oslo", 1, "1"), row("b", "bergen", 1, "1")].concat();
    ingest(&client, &rows).await;
    for city in ["oslo", "bergen"] {
        eventually("the series is cached", || async {
            let answer = client.get(&series(city)).await.expect(200);
            answer.header("cache-status").contains("; hit").then_some(())
        })
        .await;
    }
    ingest(&client, &row("c", "oslo", 1, "2")).await;
    eventually("the change of one city arrives", || async {
        let answer = client.get(&series("oslo")).await.expect(200);
        (answer.json()["data"][0]["n"] == 2).then_some(())
    })
    .await;
    let other = client.get(&series("bergen")).await.expect(200);
    assert!(other.header("cache-status").contains("; hit"), "{:?}", other.headers);
}
