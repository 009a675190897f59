//! Configurations that are taken, and every problem of one that is not.

use tidegate_core::config::{ConfigProblems, parse};

use super::*;

const STAND_ALONE: &str = r#"
[listen]
http = "127.0.0.1:0"

[[route]]
path = "/*"
upstream = "app"

[[upstream]]
name = "app"
addresses = ["127.0.0.1:8080", "app.internal:80"]
"#;

#[test]
fn an_edge_stands_alone_with_a_listener_a_route_and_an_upstream() {
    let config: Config = parse("edge.toml", STAND_ALONE, []).unwrap();
    let Mode::StandAlone { plan, upstreams } = config.mode else { panic!("governed") };
    assert_eq!(plan.routes[0].upstream, "app");
    assert_eq!(upstreams[0].addresses.len(), 2);
    assert_eq!((config.cache.capacity_bytes, config.cache.node.as_str()), (256 << 20, "tidegate"));
}

#[test]
fn a_store_in_the_environment_of_all_tiers_does_no_harm() {
    let environment = [("TIDEGATE_STORE".to_owned(), "sqlite:x".to_owned())];
    assert!(parse::<Config>("edge.toml", STAND_ALONE, environment).is_ok());
}

#[test]
fn more_specific_routes_are_tried_first() {
    let text = format!(
        "{STAND_ALONE}\n[[route]]\npath = \"/a/b\"\nupstream = \"app\"\nquery = \"sort\"\n\
         [[route]]\nhost = \"B.example\"\npath = \"/*\"\nupstream = \"app\"\n"
    );
    let config: Config = parse("edge.toml", &text, []).unwrap();
    let Mode::StandAlone { plan, .. } = config.mode else { panic!("governed") };
    let name = |host: &str, path| plan.route(host, path).unwrap().0.name.clone();
    assert_eq!(name("a.example", "/a/b"), "/a/b");
    assert_eq!(plan.route("b.example", "/x").unwrap().0.host.as_deref(), Some("b.example"));
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let ConfigProblems(problems) = parse::<Config>("edge.toml", text, []).unwrap_err();
    for part in expected {
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn every_problem_of_a_stand_alone_edge_is_reported() {
    let text = r#"
queue = "sqlite:q"
[arrows]
edge_to_worker = true
[listen]
https = "nowhere"
[tls]
certificate = "c.pem"
[cache]
capacity_bytes = 0
node = "a b"
[limits]
connections = 0
[waf]
mode = "block"
[[route]]
path = "no-slash"
upstream = "gone"
[[route]]
host = "a:81"
path = "/"
upstream = "app"
[[route]]
path = "/"
upstream = "app"
query = "drop"
[[upstream]]
name = "app"
addresses = ["no-port"]
"#;
    check(
        text,
        &[
            "listen.https",
            "tls: give certificate and key",
            "cache.capacity_bytes",
            "cache.node",
            "limits.connections",
            "waf.mode",
            "queue: only",
            "arrows: only",
            "'no-port' is not HOST:PORT",
            "no [[upstream]] is named 'gone'",
            "route 1: path 'no-slash'",
            "route 2: host 'a:81'",
            "route 3: query 'drop'",
        ],
    );
}

#[test]
fn every_problem_of_a_governed_edge_is_reported() {
    let text = r#"
queue = "redis://u:secret@h"
[listen]
https = "127.0.0.1:0"
[control]
address = "here"
public_key = "00"
project = ""
state = "s"
[[route]]
path = "/"
upstream = "app"
"#;
    check(
        text,
        &[
            "tls: listen.https needs",
            "route: an edge with [control]",
            "queue: backend 'redis",
            "control.address",
            "control.public_key",
            "control.project",
        ],
    );
}

#[test]
fn the_key_of_control_may_come_from_a_file() {
    let key = tempfile::NamedTempFile::new().unwrap();
    let governed = |keys: &str| {
        let text = format!(
            "queue = \"sqlite:q\"\n[listen]\nhttp = \"127.0.0.1:0\"\n\
             [control]\naddress = \"c:1\"\nproject = \"p\"\nstate = \"s\"\n{keys}\n"
        );
        parse::<Config>("edge.toml", &text, [])
    };
    let file = format!("public_key_file = \"{}\"", key.path().display());
    // The point of ed25519's base.
    std::fs::write(key.path(), format!("58{}\n", "66".repeat(31))).unwrap();
    assert!(matches!(governed(&file).unwrap().mode, Mode::Governed(_)));
    std::fs::write(key.path(), "junk").unwrap();
    for (keys, named) in [
        (file.as_str(), "control.public_key_file:"),
        ("public_key_file = \"/nowhere/key\"", "/nowhere/key can't be read"),
        ("", "control: name public_key or public_key_file"),
    ] {
        let problems = governed(keys).unwrap_err().to_string();
        assert!(problems.contains(named), "{named}: {problems}");
    }
}
