//! Rules of the house that a machine can check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::root;

/// Longest source file; most are far shorter.
const MAX_LINES: usize = 500;

fn rust_files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for directory in ["crates", "tests"] {
        rust_files(&root().join(directory), &mut files);
    }
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Names of the direct dependencies of each workspace package, test-only ones left out.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let mut manifests: Vec<PathBuf> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("Cargo.toml"))
        .collect();
    manifests.push(root().join("tests/Cargo.toml"));
    let read = |manifest: PathBuf| {
        let table: toml::Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
        let name = table["package"]["name"].as_str().unwrap().to_owned();
        let names = table["dependencies"].as_table().unwrap().keys().cloned().collect();
        (name, names)
    };
    manifests.into_iter().map(read).collect()
}

#[test]
fn files_are_short_enough_to_find_one_s_way() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn every_todo_has_an_owner() {
    // Put together here, so that this file does not find itself.
    let bare = ["TO", "DO"].concat();
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| text.contains(&bare) && !text.contains(&format!("{bare}(")))
        .map(|(path, _)| path)
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn tiers_never_import_each_other() {
    let tiers = ["tidegate-edge", "tidegate-api", "tidegate-worker", "tidegate-control"];
    let dependencies = dependencies();
    for tier in tiers {
        for dependency in &dependencies[tier] {
            assert!(!tiers.contains(&dependency.as_str()), "{tier} must not import {dependency}");
        }
    }
}

#[test]
fn the_pure_crates_know_no_socket_server_or_database() {
    let banned =
        ["hyper", "hyper-util", "axum", "lapin", "moka", "rustls", "rusqlite", "tidegate-sqlite"];
    let dependencies = dependencies();
    for pure in ["tidegate-core", "tidegate-product"] {
        for dependency in &dependencies[pure] {
            assert!(!banned.contains(&dependency.as_str()), "{pure} must not import {dependency}");
        }
    }
}

#[test]
fn only_the_wrappers_in_deny_toml_import_what_it_reserves() {
    let deny: toml::Table = fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let dependencies = dependencies();
    let mut checked = 0;
    for entry in deny["bans"]["deny"].as_array().unwrap() {
        let reserved = entry["name"].as_str().unwrap();
        let wrappers: Vec<_> = entry
            .get("wrappers")
            .and_then(|wrappers| wrappers.as_array())
            .map(|wrappers| wrappers.iter().filter_map(|name| name.as_str()).collect())
            .unwrap_or_default();
        for (package, names) in &dependencies {
            let allowed = wrappers.contains(&package.as_str());
            let imports = names.iter().any(|name| name == reserved);
            assert!(allowed || !imports, "{package} must not import {reserved}");
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn every_feature_named_as_held_has_its_test() {
    let features = fs::read_to_string(root().join("docs/FEATURES.md")).unwrap();
    let sources: String = sources().into_iter().map(|(_, text)| text).collect();
    let mut named = 0;
    for line in features.lines().filter(|line| line.starts_with("| ")) {
        for word in line.split('`').skip(1).step_by(2).filter(|word| word.starts_with("test:")) {
            let name = word.trim_start_matches("test:");
            assert!(sources.contains(&format!("fn {name}(")), "no test is called {name}: {line}");
            named += 1;
        }
    }
    assert!(named > 10, "FEATURES.md must name the tests: {named}");
}

#[test]
fn the_images_are_built_with_the_pinned_toolchain() {
    let pinned: toml::Table =
        fs::read_to_string(root().join("rust-toolchain.toml")).unwrap().parse().unwrap();
    let pinned = pinned["toolchain"]["channel"].as_str().unwrap();
    let dockerfile = fs::read_to_string(root().join("deploy/Dockerfile")).unwrap();
    assert!(dockerfile.contains(&format!("\nARG RUST={pinned}\n")), "not {pinned}");
}

#[test]
fn alerts_speak_of_metrics_that_there_are() {
    let known: String = sources().into_iter().map(|(_, text)| text).collect();
    let rules = std::fs::read_to_string(root().join("deploy/alerts/jobs.yml")).unwrap();
    let expressions = rules.lines().filter(|line| line.trim_start().starts_with("expr:"));
    let words = expressions.flat_map(|line| line.split(|c: char| c != '_' && !c.is_alphanumeric()));
    let names: Vec<_> = words.filter(|word| word.starts_with("tidegate_")).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(known.contains(&format!("\"{name}\"")), "{name} is no metric");
    }
}
