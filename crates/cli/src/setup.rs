//! `tidegate setup`: what a deployment on several machines or containers needs before its tiers
//! start. Safe to run again: what is there is kept.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::file;
use tidegate_core::keys::PrivateKey;

use crate::failure::Failure;
use crate::output::Output;
use crate::product;
use crate::settings::Settings;
use crate::up::project::Project;
use crate::up::seed;

/// The words of `tidegate setup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The product that the deployment serves.
    pub product: PathBuf,
    /// The store: the URL of a PostgreSQL, whose `password_file=FILE` keeps the password out of it.
    #[arg(long, value_name = "BACKEND", env = "TIDEGATE_STORE")]
    pub store: String,
    /// Which deployment: gq-ztfutjv, 4pnihc40q-yj, or the path of a profile.
    #[arg(long, value_name = "NAME|FILE", default_value = "gq-ztfutjv")]
    pub project: String,
    /// Directory for `cli.toml`: the addresses below and the admin token, for `--data` of the
    /// other commands.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Control's state directory, which gets its signing key.
    #[arg(long, value_name = "DIR")]
    pub control_state: PathBuf,
    /// File for the public half of that key, which edges trust.
    #[arg(long, value_name = "FILE")]
    pub public_key: PathBuf,
    /// Base URL of the edge with TLS.
    #[arg(long, value_name = "URL")]
    pub https: String,
    /// Base URL of the edge without TLS.
    #[arg(long, value_name = "URL")]
    pub http: String,
    /// Base URL of control.
    #[arg(long, value_name = "URL")]
    pub control: String,
    /// Certificate of the authority that signed the edge's.
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
}

/// Applies the product, makes the admin token and control's key, and writes down where all is.
///
/// # Errors
/// The product has problems, the store can't be used, or a file can't be written.
pub async fn run(args: Args, output: Output) -> Result<(), Failure> {
    let project = Project::load(&args.project).map_err(Failure::usage)?;
    let source = product::read(&args.product).map_err(Failure::usage)?;
    let contract = product::compile(&args.product, &source).map_err(Failure::usage)?;
    let backend = args
        .store
        .parse()
        .map_err(|problem: String| Failure::usage(anyhow::anyhow!("--store: {problem}")))?;

    let now = Timestamp::now();
    let store = tidegate_store::open(&backend).await.context("the store can't be opened")?;
    let stored = store
        .apply_contract(&contract, now)
        .await
        .with_context(|| format!("the product '{}' can't be applied", contract.name))?;
    make_directory(&args.data)?;
    let (token, minted) = seed::admin_token(store.as_ref(), &args.data, now).await?;
    publish_key(&args.control_state, &args.public_key)?;
    let settings = Settings {
        https: args.https,
        http: args.http,
        control: args.control,
        ca: args.ca,
        token,
        project: project.profile.name,
        store: Some(args.store),
    };
    settings.save(&args.data)?;

    let (name, version) = (&contract.name, stored.version);
    let written = Settings::path(&args.data);
    let text = format!(
        "ready: product {name}, contract version {version}; {} admin token is in {}",
        if minted == seed::Minted::Now { "a new" } else { "the" },
        written.display()
    );
    let value = json!({
        "product": name,
        "contract_version": version,
        "project": settings.project,
        "settings": written,
    });
    output.result(&text, &value)?;
    Ok(())
}

/// Control makes its key at its first start, but edges must know it before.
fn publish_key(control_state: &Path, public_key: &Path) -> anyhow::Result<()> {
    make_directory(control_state)?;
    let key = PrivateKey::load_or_create(&tidegate_control::state::key_file(control_state))
        .context("control's key")?;
    if let Some(directory) = public_key.parent() {
        make_directory(directory)?;
    }
    let text = format!("{}\n", key.public().to_hex());
    file::replace(public_key, text.as_bytes(), file::READABLE)
        .with_context(|| format!("{} can't be written", public_key.display()))
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("{} can't be made", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn set_up(dir: &Path) -> Result<(), Failure> {
        let product = dir.join("product.toml");
        std::fs::write(&product, product::AIR).unwrap();
        let args = Args {
            product,
            store: format!("sqlite:{}", dir.join("store.db").display()),
            project: "gq-ztfutjv".to_owned(),
            data: dir.join("operator"),
            control_state: dir.join("control"),
            public_key: dir.join("trust").join("control.pub"),
            https: "https://edge:8443".to_owned(),
            http: "http://edge:8080".to_owned(),
            control: "http://control:8500".to_owned(),
            ca: "ca.pem".into(),
        };
        run(args, Output::Json).await
    }

    #[tokio::test]
    async fn a_second_setup_keeps_token_and_key() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            set_up(dir.path()).await.map_err(|failure| failure.error).unwrap();
            let settings = Settings::load(&dir.path().join("operator")).unwrap().unwrap();
            let key = std::fs::read_to_string(dir.path().join("trust/control.pub")).unwrap();
            let private =
                PrivateKey::load_or_create(&dir.path().join("control/control.key")).unwrap();
            assert_eq!(key.trim(), private.public().to_hex());
            seen.push((settings, key));
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0].0.https, "https://edge:8443");
    }
}
