//! `tidegate up`: one command, clear refusals, clean ends.

use std::net::TcpListener;

use e2e::{Process, Stack, children_of, eventually, run};

use crate::air::{row, series};
use crate::data_path::ingest;

#[tokio::test]
async fn a_second_up_on_the_same_data_is_refused() {
    let stack = Stack::start().await;
    let data = stack.data();
    let data = data.to_str().unwrap();
    let second =
        run(&["up", "--data", data, "--https", "127.0.0.1:0", "--http", "127.0.0.1:0"]).await;
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.stderr.contains(data), "{}", second.stderr);
    // The first one was not disturbed.
    ingest(&stack.client(), &row("a", "oslo", 1, "1")).await;
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let ended = run(&["up", "--data", data.to_str().unwrap(), "--https", &address]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    for word in [address.as_str(), "--https"] {
        assert!(ended.stderr.contains(word), "'{word}' is missing in {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_data_directory_that_can_not_be_written_is_named() {
    // Not a matter of permissions, so that it also fails for root.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let data = file.join("data");
    let data = data.to_str().unwrap();
    let ended = run(&["up", "--data", data]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    for word in [data, "--data"] {
        assert!(ended.stderr.contains(word), "'{word}' is missing in {}", ended.stderr);
    }
}

#[tokio::test]
async fn an_unknown_project_is_refused_with_the_known_ones() {
    let ended = run(&["up", "--project", "nosuch"]).await;
    assert_eq!(ended.code, 64, "{ended:?}");
    for word in ["nosuch", "gq-ztfutjv", "4pnihc40q-yj"] {
        assert!(ended.stderr.contains(word), "'{word}' is missing in {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_reported_whole_with_status_64() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edge.toml");
    std::fs::write(&file, "colour = 1\n[listen]\nhttp = \"nowhere\"\nprivate = 5\n").unwrap();
    let ended = run(&["edge", "--config", file.to_str().unwrap(), "--check-config"]).await;
    assert_eq!(ended.code, 64, "{ended:?}");
    for word in ["edge.toml", "colour", "listen.private"] {
        assert!(ended.stderr.contains(word), "'{word}' is missing in {}", ended.stderr);
    }
}

#[tokio::test]
async fn killing_up_ends_all_children() {
    let mut stack = Stack::start().await;
    let children = children_of(stack.up.id()).await;
    assert_eq!(children.len(), 4, "{children:?}");
    stack.up.signal("KILL").await;
    stack.up.ended().await;
    let started = tokio::time::Instant::now();
    eventually("no child is left", || async {
        let left = children.iter().filter(|(id, _)| runs(*id)).count();
        (left == 0).then_some(())
    })
    .await;
    println!("children ended after {:?}", started.elapsed());
}

/// Returns whether a process is there and no zombie.
fn runs(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn the_data_directory_s_secrets_are_the_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let stack = Stack::start().await;
    for file in ["cli.toml", "tls/ca.key", "tls/edge.key", "control/control.key"] {
        let path = stack.data().join(file);
        let mode =
            std::fs::metadata(&path).unwrap_or_else(|_| panic!("{file}")).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} has mode {mode:o}");
    }
    let store = std::fs::read(stack.data().join("store.db")).unwrap();
    let wal = std::fs::read(stack.data().join("store.db-wal")).unwrap_or_default();
    let token = stack.ready("admin_token").as_bytes();
    let holds = |bytes: &[u8]| bytes.windows(token.len()).any(|window| window == token);
    assert!(!holds(&store) && !holds(&wal), "the store must hold the token's digest only");
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_the_edge() {
    let stack = Stack::start().await;
    let words = ["token", "create", "guest", "--scope", "read:air", "--json"];
    let created: serde_json::Value =
        serde_json::from_str(&stack.command(&words).await.stdout).unwrap();
    let guest = stack.client().with_token(created["token"].as_str().unwrap());
    guest.get(&series("oslo")).await.expect(200);

    assert_eq!(stack.command(&["token", "revoke", "guest"]).await.code, 0);
    eventually("the edge refuses the token", || async {
        (guest.get(&series("oslo")).await.status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn version_and_help_are_printed_and_unknown_words_end_in_64() {
    let help = run(&["--help"]).await;
    assert_eq!(help.code, 0);
    for word in ["up", "demo", "edge", "api", "worker", "control", "product", "token"] {
        assert!(help.stdout.contains(word), "'{word}' is missing in the help");
    }
    assert_eq!(run(&["fly"]).await.code, 64);
}

#[tokio::test]
async fn up_serves_plain_http_beside_tls() {
    let stack = Stack::start().await;
    let plain = e2e::Client::new(stack.ready("http"), None).with_token(stack.ready("admin_token"));
    plain.get(&series("oslo")).await.expect(200);
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight() {
    let mut stack = Stack::start().await;
    let client = stack.client();
    let sender = tokio::spawn(async move {
        let fields = [("prefer", "wait=5")];
        client.post_rows(crate::air::ROWS, &row("a", "oslo", 1, "1"), &fields).await
    });
    // Whichever comes first: the answer must not be cut off.
    stack.up.signal("TERM").await;
    let outcome = sender.await;
    assert!(stack.up.ended().await.success());
    if let Ok(reply) = outcome {
        assert!([200, 202].contains(&reply.status.as_u16()), "{}", reply.text());
    }
}

#[tokio::test]
async fn each_tier_reports_liveness_readiness_and_metrics() {
    let stack = Stack::start().await;
    for tier in e2e::Tier::ALL {
        let private = stack.listener(tier, "private");
        private.get("/livez").await.expect(200);
        private.get("/readyz").await.expect(200);
        let metrics = private.get("/metrics").await.expect(200).text();
        let prefix = format!("tidegate_{}_", tier.as_str());
        assert!(metrics.contains(&prefix), "{tier:?}: {metrics}");
    }
}

#[tokio::test]
async fn a_tier_alone_says_why_it_can_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("worker.toml");
    let text = "store = \"sqlite:/proc/nowhere/store.db\"\nqueue = \"sqlite:/proc/nowhere/queue.db\"\n\
                [listen]\nprivate = \"127.0.0.1:0\"\n";
    std::fs::write(&file, text).unwrap();
    let mut process = Process::start(&["worker", "--config", file.to_str().unwrap()]);
    assert_eq!(process.ended().await.code(), Some(1));
}
