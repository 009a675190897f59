//! Fills a new data directory: product and admin token.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tidegate_core::backend::StoreBackend;
use tidegate_core::clock::Timestamp;
use tidegate_core::file;
use tidegate_core::keys::random_hex;
use tidegate_core::scope::credential_digest;
use tidegate_store::{Store, StoredContract};

use crate::args::DemoProduct;
use crate::product;
use crate::settings::Settings;
use crate::token::{self, Grant};
use crate::up::data::DataDir;

/// May do everything to every product.
const ADMIN: &str = "admin:*";

/// The tenant of anonymous readers too: what the admin token writes, public endpoints show.
const TENANT: &str = "default";

/// What a data directory holds before its tiers start.
#[derive(Debug)]
pub(crate) struct Seeded {
    /// The product, unless none was applied yet.
    pub(crate) product: Option<Arc<StoredContract>>,
    /// The admin token.
    pub(crate) token: String,
    /// Whether the token is shown for the first time.
    pub(crate) minted: Minted,
}

/// Where the admin token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Minted {
    Now,
    Before,
}

/// Returns the source of a product that the binary brings along.
pub(crate) fn demo_source(demo: DemoProduct) -> Option<&'static str> {
    match demo {
        DemoProduct::Air => Some(product::AIR),
        DemoProduct::None => None,
    }
}

/// Opens the store, applies the product and sees to an admin token.
pub(crate) async fn seed(
    data: &DataDir,
    store: &StoreBackend,
    demo: Option<&str>,
) -> anyhow::Result<Seeded> {
    let now = Timestamp::now();
    let store = tidegate_store::open(store).await.with_context(|| match store {
        StoreBackend::Sqlite(path) => format!(
            "the store {} can't be opened; if it is not Tidegate's, move it away, or choose \
             another directory with --data DIR",
            path.display()
        ),
        StoreBackend::Postgres(url) => format!("the store {url} can't be opened"),
    })?;
    let product = apply_product(store.as_ref(), data, demo, now).await?;
    let (token, minted) = admin_token(store.as_ref(), data.root(), now).await?;
    Ok(Seeded { product, token, minted })
}

/// Applies the product that the directory has; a directory without one gets `demo`.
async fn apply_product(
    store: &dyn Store,
    data: &DataDir,
    demo: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<Option<Arc<StoredContract>>> {
    let path = data.product();
    let source = match product::read(&path) {
        Ok(source) => source,
        Err(_) if !path.exists() => match demo {
            Some(demo) => demo.to_owned(),
            None => return Ok(None),
        },
        Err(error) => return Err(error),
    };
    let contract = product::compile(&path, &source)?;
    let stored = store
        .apply_contract(&contract, now)
        .await
        .with_context(|| format!("the product '{}' can't be applied", contract.name))?;
    // Control follows the file, so it is written after what it names is there.
    if !path.exists() {
        file::replace(&path, source.as_bytes(), file::READABLE)
            .with_context(|| format!("{} can't be written", path.display()))?;
    }
    Ok(Some(stored))
}

/// Returns the token of `cli.toml` if the store still knows it, else makes one.
pub(crate) async fn admin_token(
    store: &dyn Store,
    data: &Path,
    now: Timestamp,
) -> anyhow::Result<(String, Minted)> {
    if let Some(settings) = Settings::load(data)? {
        let known = store.find_token(&credential_digest(&settings.token)).await?;
        if known.is_some_and(|known| known.scopes.iter().any(|scope| scope == ADMIN)) {
            return Ok((settings.token, Minted::Before));
        }
    }
    // The name of a token that is lost with its `cli.toml` stays taken.
    let name = format!("admin-{}", random_hex(4));
    let grant = Grant { name, tenant: TENANT.to_owned(), scopes: vec![ADMIN.to_owned()] };
    Ok((token::mint(store, grant, now).await?, Minted::Now))
}
