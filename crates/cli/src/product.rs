//! `tidegate product`: check a product, or put it to work.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;
use tidegate_control::config::Environment;
use tidegate_control::state;
use tidegate_core::clock::Timestamp;
use tidegate_core::file;
use tidegate_product::contract::Contract;

use crate::args::{Product, Target};
use crate::failure::Failure;
use crate::output::Output;
use crate::target::{Missing, Place};
use crate::up::data::DataDir;

/// The product that the binary brings along.
pub(crate) const AIR: &str = include_str!("../../../deploy/products/air.toml");

/// Runs a `product` command.
///
/// # Errors
/// The product has problems, or can't be applied.
pub async fn run(command: Product, output: Output) -> Result<(), Failure> {
    match command {
        Product::Check { file } => check(&file, output),
        Product::Apply { file, target } => apply(&file, &target, output).await,
    }
}

/// Reads a product file.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("the product {} can't be read", path.display()))
}

/// Compiles a product, or says all that is wrong with it, one line each below how much it is.
pub(crate) fn compile(path: &Path, source: &str) -> anyhow::Result<Contract> {
    tidegate_product::compile(&path.display().to_string(), source).map_err(|problems| {
        let noun = if problems.len() == 1 { "problem" } else { "problems" };
        let mut text = format!("the product has {} {noun}", problems.len());
        for problem in problems {
            text.push_str(&format!("\n{problem}"));
        }
        anyhow::anyhow!(text)
    })
}

fn check(path: &Path, output: Output) -> Result<(), Failure> {
    let source = read(path).map_err(Failure::usage)?;
    let contract = compile(path, &source).map_err(Failure::usage)?;
    output.result(&format!("ok: {}", summary(&contract)), &described(&contract))?;
    Ok(())
}

async fn apply(path: &Path, target: &Target, output: Output) -> Result<(), Failure> {
    let source = read(path).map_err(Failure::usage)?;
    let contract = compile(path, &source).map_err(Failure::usage)?;
    let place = Place::find(target)?;
    refuse_governed(&place)?;
    if let Some(directory) = place.directory() {
        DataDir::create(directory)?;
    }
    if let Some(present) = place.product_file().filter(|present| present.exists()) {
        refuse_other_product(&present, &contract)?;
    }
    let store = place.open(Missing::Create).await?;
    let stored = store.apply_contract(&contract, Timestamp::now()).await.with_context(|| {
        format!(
            "the product '{}' can't be applied; write it so that the stored rows still fit, or \
             begin anew with another --data DIR",
            contract.name
        )
    })?;
    // Control follows the file, so it is written after what it names is in the store.
    if let Some(product) = place.product_file() {
        file::replace(&product, source.as_bytes(), file::READABLE)
            .with_context(|| format!("{} can't be written", product.display()))?;
    }
    let text = format!("applied: {}, contract version {}", summary(&contract), stored.version);
    let mut value = described(&contract);
    value["contract_version"] = json!(stored.version);
    output.result(&text, &value)?;
    Ok(())
}

/// A control's contract changes come with releases, except on a developer's machine.
fn refuse_governed(place: &Place) -> anyhow::Result<()> {
    let Some(state) = place.control_state() else { return Ok(()) };
    match state::environment(&state)? {
        None | Some(Environment::Local) => Ok(()),
        Some(environment) => bail!(
            "a control governs this store in environment '{environment}', where a product changes \
             only with a release; `product apply` works in environment 'local'"
        ),
    }
}

/// A data directory has one product: edges of another one would lose their routes.
fn refuse_other_product(present: &Path, contract: &Contract) -> anyhow::Result<()> {
    let Ok(present) = compile(present, &read(present)?) else {
        // A broken file says nothing about whose it is; this one mends it.
        return Ok(());
    };
    if present.name != contract.name {
        bail!(
            "this data directory has the product '{}', and a control governs one; for '{}' start \
             another stack: `tidegate up --demo none --data DIR`",
            present.name,
            contract.name
        );
    }
    Ok(())
}

fn summary(contract: &Contract) -> String {
    format!(
        "product {} {} ({} datasets, {} views, {} endpoints)",
        contract.name,
        contract.version,
        contract.datasets.len(),
        contract.views.len(),
        contract.endpoints.len()
    )
}

fn described(contract: &Contract) -> serde_json::Value {
    json!({
        "product": contract.name,
        "version": contract.version,
        "hash": contract.hash,
        "datasets": contract.datasets.iter().map(|dataset| &dataset.name).collect::<Vec<_>>(),
        "views": contract.views.iter().map(|view| &view.name).collect::<Vec<_>>(),
        "endpoints": contract.endpoints.iter().map(|end| &end.path).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::data::control_state;

    fn apply_to(data: &Path, source: &str) -> anyhow::Result<()> {
        let file = data.join("given.toml");
        std::fs::write(&file, source).unwrap();
        let target = Target { data: Some(data.to_owned()), store: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(apply(&file, &target, Output::Json)).map_err(|failure| failure.error)
    }

    #[test]
    fn the_applied_product_is_what_control_follows() {
        let data = tempfile::tempdir().unwrap();
        let changed = format!("{AIR}\n# changed\n");
        for source in [AIR, &changed] {
            apply_to(data.path(), source).unwrap();
            assert_eq!(read(&data.path().join("product.toml")).unwrap(), source);
        }
    }

    #[test]
    fn a_second_product_is_refused_with_the_way_out() {
        let data = tempfile::tempdir().unwrap();
        apply_to(data.path(), AIR).unwrap();
        let other = AIR.replace("name = \"air\"", "name = \"water\"").replace(":air", ":water");
        let error = apply_to(data.path(), &other).unwrap_err().to_string();
        for part in ["'air'", "'water'", "--data"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert_eq!(read(&data.path().join("product.toml")).unwrap(), AIR);
    }

    #[test]
    fn where_a_control_governs_production_nothing_is_applied() {
        let data = tempfile::tempdir().unwrap();
        let state = control_state(data.path());
        std::fs::create_dir(&state).unwrap();
        let record = r#"{"project":"p","environment":"production","product":null,"epoch":1}"#;
        std::fs::write(state.join("epoch.json"), record).unwrap();
        let error = apply_to(data.path(), AIR).unwrap_err().to_string();
        assert!(error.contains("production") && error.contains("release"), "{error}");
        assert!(!data.path().join("store.db").exists());
    }
}
