//! Writes each child's configuration, the same files that a tier reads in production.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};
use tidegate_control::config::Environment;
use tidegate_core::file;
use tidegate_core::keys::PublicKey;

use crate::up::backends::Backends;
use crate::up::data::DataDir;
use crate::up::ports::Ports;
use crate::up::project::Project;
use crate::up::supervise::Spec;
use crate::up::tier::Tier;

/// Stored responses of the edge; the whole stack is to fit a small machine.
const CACHE_BYTES: u64 = 64 << 20;

/// Name of control in logs; the profile names the other tiers.
const CONTROL: &str = "control";

/// Who is where.
pub(crate) struct Layout<'a> {
    pub(crate) data: &'a DataDir,
    pub(crate) backends: &'a Backends,
    pub(crate) project: &'a Project,
    pub(crate) ports: &'a Ports,
    pub(crate) public_key: PublicKey,
    pub(crate) release: &'a str,
}

/// Writes all configurations, and returns which children to run on them.
pub(crate) fn write(layout: &Layout<'_>) -> anyhow::Result<Vec<Spec>> {
    let profile = layout.data.profile();
    file::replace(&profile, layout.project.source.as_bytes(), file::READABLE)
        .with_context(|| format!("{} can't be written", profile.display()))?;
    let tiers = &layout.project.profile.tiers;
    [
        (Tier::Api, tiers.api.as_str(), api(layout)),
        (Tier::Control, CONTROL, control(layout)),
        (Tier::Worker, tiers.worker.as_str(), worker(layout)),
        (Tier::Edge, tiers.edge.as_str(), edge(layout)),
    ]
    .into_iter()
    .map(|(tier, name, content)| spec(layout.data.config(tier), tier, name.to_owned(), content))
    .collect()
}

/// Writes the configuration of a further worker: as the first one's, with a port of its own.
pub(crate) fn another_worker(layout: &Layout<'_>, number: u32) -> anyhow::Result<Spec> {
    let config = layout.data.config(Tier::Worker).with_file_name(format!("worker-{number}.toml"));
    let mut content = worker(layout);
    content["listen"]["private"] = json!("127.0.0.1:0");
    let name = format!("{}-{number}", layout.project.profile.tiers.worker);
    spec(config, Tier::Worker, name, content)
}

fn spec(config: PathBuf, tier: Tier, name: String, content: Value) -> anyhow::Result<Spec> {
    let text = toml::Table::try_from(content).context("a configuration must be TOML")?;
    // It may name a server with its password.
    file::replace(&config, text.to_string().as_bytes(), file::PRIVATE)
        .with_context(|| format!("{} can't be written", config.display()))?;
    Ok(Spec { tier, name, config })
}

fn api(layout: &Layout<'_>) -> Value {
    json!({
        "supervised": true,
        "store": layout.backends.store_text,
        "queue": layout.backends.queue_text,
        "listen": {
            "public": layout.ports.api.address(),
            "private": layout.ports.private(Tier::Api),
        },
        "release": { "id": layout.release },
    })
}

fn control(layout: &Layout<'_>) -> Value {
    json!({
        "supervised": true,
        "profile": layout.data.profile(),
        "product": layout.data.product(),
        "release": layout.release,
        "environment": Environment::Local,
        "state": layout.data.control(),
        "listen": {
            "address": layout.ports.control.address(),
            "private": layout.ports.private(Tier::Control),
        },
        "stable": {
            "api": [layout.ports.api.address()],
            "internal": [layout.ports.private(Tier::Api)],
        },
    })
}

fn worker(layout: &Layout<'_>) -> Value {
    json!({
        "supervised": true,
        "store": layout.backends.store_text,
        "queue": layout.backends.queue_text,
        "listen": { "private": layout.ports.private(Tier::Worker) },
        "arrows": layout.project.profile.arrows,
        "api": { "internal": [layout.ports.private(Tier::Api)] },
        "release": { "id": layout.release },
    })
}

fn edge(layout: &Layout<'_>) -> Value {
    json!({
        "supervised": true,
        "queue": layout.backends.queue_text,
        "listen": {
            "https": layout.ports.https.address(),
            "http": layout.ports.http.address(),
            "private": layout.ports.private(Tier::Edge),
        },
        "tls": { "development": layout.data.tls() },
        "cache": { "capacity_bytes": CACHE_BYTES },
        "arrows": layout.project.profile.arrows,
        "control": {
            "address": layout.ports.control.address(),
            "public_key": layout.public_key.to_hex(),
            "project": layout.project.profile.name,
            "state": layout.data.edge(),
        },
    })
}
