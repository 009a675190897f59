//! Which store a command works on.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tidegate_core::backend::StoreBackend;
use tidegate_store::SharedStore;

use crate::args::{DATA, Target};
use crate::failure::Failure;
use crate::settings::Settings;
use crate::up::data::{control_state, product_file, store_file};

/// A store, and the data directory it belongs to.
#[derive(Debug)]
pub(crate) struct Place {
    store: StoreBackend,
    directory: Option<PathBuf>,
}

// === impl Place ===

impl Place {
    /// Finds the store that the words name.
    pub(crate) fn find(target: &Target) -> Result<Self, Failure> {
        let directory = match (&target.data, &target.store) {
            (Some(data), _) => data.clone(),
            (None, Some(store)) => {
                let store = store.parse().map_err(|problem: String| {
                    Failure::usage(anyhow::anyhow!("--store: {problem}"))
                })?;
                return Ok(Self { store, directory: None });
            }
            (None, None) => PathBuf::from(DATA),
        };
        let elsewhere = Settings::load(&directory)?.and_then(|settings| settings.store);
        let store = match elsewhere {
            Some(store) => store.parse().map_err(|problem: String| anyhow::anyhow!(problem))?,
            None => StoreBackend::Sqlite(store_file(&directory)),
        };
        Ok(Self { store, directory: Some(directory) })
    }

    /// Opens the store; one that is not there is made only by who may begin a data directory.
    pub(crate) async fn open(&self, missing: Missing) -> anyhow::Result<SharedStore> {
        let place = match &self.store {
            StoreBackend::Sqlite(path) => path.display().to_string(),
            StoreBackend::Postgres(url) => url.to_string(),
        };
        if let StoreBackend::Sqlite(path) = &self.store
            && missing == Missing::Refuse
            && !path.exists()
        {
            anyhow::bail!(
                "there is no store {place}; start `tidegate up` first, or name another with --data \
                 or --store"
            );
        }
        tidegate_store::open(&self.store)
            .await
            .with_context(|| format!("the store {place} can't be opened"))
    }

    /// Returns the data directory, unless a store was named by itself.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Returns the product that control follows, if a data directory is meant.
    pub(crate) fn product_file(&self) -> Option<PathBuf> {
        self.directory.as_deref().map(product_file)
    }

    /// Returns where the state of the control that governs the store would lie: beside its file.
    pub(crate) fn control_state(&self) -> Option<PathBuf> {
        match &self.store {
            StoreBackend::Sqlite(path) => {
                Some(control_state(path.parent().unwrap_or(Path::new(""))))
            }
            StoreBackend::Postgres(_) => None,
        }
    }
}

/// What to do about a store that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it.
    Create,
    /// Say so.
    Refuse,
}
