//! The data directory: what lies where, and that only one `up` runs on it.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tidegate_sqlite::FileLock;

use crate::up::tier::Tier;

/// A data directory that exists and can be written.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
}

// === impl DataDir ===

impl DataDir {
    /// Creates the directory and its parts, for their owner only.
    pub(crate) fn create(root: &Path) -> anyhow::Result<Self> {
        let advice = || {
            format!(
                "the data directory {} can't be used; make it writable, or choose another with \
                 --data DIR",
                root.display()
            )
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for part in ["run", "control"] {
            builder.create(root.join(part)).with_context(advice)?;
        }
        // Children and `cli.toml` must find it from any working directory.
        let root = root.canonicalize().with_context(advice)?;
        if root.to_str().is_none() {
            bail!("the data directory {} has a name that is not UTF-8", root.display());
        }
        Ok(Self { root })
    }

    /// Takes the lock that says an `up` runs here, or says who holds it.
    pub(crate) fn lock(&self) -> anyhow::Result<FileLock> {
        let path = self.root.join("up.lock");
        let advice = || {
            format!(
                "the data directory {} can't be written; make it writable, or choose another with \
                 --data DIR",
                self.root.display()
            )
        };
        let lock = FileLock::open(&path).with_context(advice)?;
        if !lock.try_hold().with_context(advice)? {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            bail!(
                "another `tidegate up` runs on {} (process {}); stop it, or choose another \
                 directory with --data DIR",
                self.root.display(),
                holder.trim()
            );
        }
        std::fs::write(&path, format!("{}\n", std::process::id())).with_context(advice)?;
        Ok(lock)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the product this directory governs; absent until one is applied.
    pub(crate) fn product(&self) -> PathBuf {
        product_file(&self.root)
    }

    pub(crate) fn store(&self) -> PathBuf {
        store_file(&self.root)
    }

    pub(crate) fn queue(&self) -> PathBuf {
        self.root.join("queue.db")
    }

    pub(crate) fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// Returns the certificate authority that the edge makes at its first start.
    pub(crate) fn ca(&self) -> PathBuf {
        self.tls().join("ca.pem")
    }

    pub(crate) fn edge(&self) -> PathBuf {
        self.root.join("edge")
    }

    pub(crate) fn control(&self) -> PathBuf {
        control_state(&self.root)
    }

    pub(crate) fn control_key(&self) -> PathBuf {
        self.control().join("control.key")
    }

    pub(crate) fn profile(&self) -> PathBuf {
        self.root.join("run").join("profile.toml")
    }

    /// Returns the configuration of a tier.
    pub(crate) fn config(&self, tier: Tier) -> PathBuf {
        self.root.join("run").join(format!("{}.toml", tier.as_str()))
    }
}

/// Returns the store of a data directory.
pub(crate) fn store_file(root: &Path) -> PathBuf {
    root.join("store.db")
}

/// Returns the product of a data directory.
pub(crate) fn product_file(root: &Path) -> PathBuf {
    root.join("product.toml")
}

/// Returns control's state in a data directory.
pub(crate) fn control_state(root: &Path) -> PathBuf {
    root.join("control")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_up_is_told_who_runs_where_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(&dir.path().join("data")).unwrap();
        let _held = data.lock().unwrap();
        let error = data.lock().unwrap_err().to_string();
        let id = std::process::id().to_string();
        for part in [id.as_str(), data.root().to_str().unwrap(), "--data"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_directory_that_can_not_be_made_is_named_with_the_way_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = format!("{:#}", DataDir::create(&file.path().join("data")).unwrap_err());
        assert!(error.contains(file.path().to_str().unwrap()), "{error}");
        assert!(error.contains("--data DIR"), "{error}");
    }
}
