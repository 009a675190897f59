//! What a configuration may say, and how each mistake in it is named.

use tidegate_core::config::parse;
use tidegate_core::job::Arm;

use super::*;
use crate::kinds::Kind;

const LEAST: &str = "store = \"sqlite:s.db\"\nqueue = \"sqlite:q.db\"\n\
    [listen]\nprivate = \"127.0.0.1:0\"\n";

fn problems(text: &str) -> Vec<String> {
    parse::<Config>("worker.toml", text, []).unwrap_err().0
}

#[test]
fn what_is_left_out_has_a_default() {
    let config: Config = parse("worker.toml", LEAST, []).unwrap();
    let ConsumeConfig { prefetch, slots, long_slots } = config.consume;
    assert_eq!((prefetch.get(), slots, long_slots.get()), (256, 8, 2));
    assert_eq!((config.release.arm, config.release.canary()), (Arm::Stable, None));
    assert_eq!(config.reconcile.every, Duration::from_secs(86_400));
    assert!(!config.supervised && !config.probe_may_crash);
}

#[test]
fn kinds_can_be_tuned() {
    let text = format!(
        "{LEAST}[kinds.probe]\nconcurrency = 9\ntimeout_ms = 500\nmax_attempts = 7\n\
         [release]\nid = \"r3\"\narm = \"canary\"\nepoch = 4\n\
         [arrows]\nworker_to_api = true\n[api]\ninternal = [\"api:8081\"]\n"
    );
    let config: Config = parse("worker.toml", &text, []).unwrap();
    let probe = config.kinds.of(Kind::Probe);
    assert_eq!((probe.concurrency, probe.retry.max_attempts), (9, Some(7)));
    assert_eq!(probe.timeout.hard, Duration::from_millis(500));
    let canary = config.release.canary().unwrap();
    assert_eq!((canary.release.as_str(), canary.epoch), ("r3", 4));
    assert_eq!(config.api, ["api:8081"]);
}

#[test]
fn every_wrong_value_is_named() {
    let text = "store = \"redis://h\"\nqueue = \"sqlite:\"\n\
        [listen]\nprivate = \"here\"\n[consume]\nprefetch = 0\nslots = 2\nlong_slots = 0\n\
        [kinds.dance]\n[kinds.ingest]\nconcurrency = 0\nmax_attempts = 3\n\
        [release]\narm = \"canary\"\n[api]\ninternal = [\"api\"]\n\
        [reconcile]\nevery = \"1ms\"\nshare_percent = 0\n";
    let expected = [
        "worker.toml: store: backend 'redis:…' is not known; write sqlite:PATH or postgres://USER@HOST/DATABASE",
        "worker.toml: queue: backend 'sqlite:…' is not known; write sqlite:PATH or amqp://USER@HOST/VHOST",
        "worker.toml: listen.private: 'here' is no address; write IP:PORT",
        "worker.toml: consume.prefetch: must be 1 or more",
        "worker.toml: consume.slots: must be 3 or more: each lane needs one",
        "worker.toml: consume.long_slots: must be 1 or more",
        "worker.toml: kinds.dance: not known; there are ingest, refresh, probe, reconcile",
        "worker.toml: kinds.ingest.concurrency: must be 1 or more",
        "worker.toml: kinds.ingest.max_attempts: what was accepted is tried without end",
        "worker.toml: release: a canary needs an id",
        "worker.toml: api.internal: 'api' is not HOST:PORT",
        "worker.toml: reconcile.every: write a span of 1s or more, such as 24h",
        "worker.toml: reconcile.share_percent: must be from 1 to 100",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn the_arrow_to_the_api_needs_an_api() {
    let text = format!("{LEAST}[arrows]\nworker_to_api = true\n");
    let expected = ["worker.toml: api.internal: needed, as arrows.worker_to_api is set"];
    assert_eq!(problems(&text), expected);
}
