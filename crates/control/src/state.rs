//! The state directory: whose it is, and how often control has started on it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_core::file;

use crate::Error;
use crate::config::Environment;

const RECORD: &str = "epoch.json";

/// An open state directory, locked as long as this lives.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    /// The kernel releases the lock when the process dies.
    _lock: File,
}

/// One life of control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// Higher than that of every life before it.
    pub(crate) epoch: u64,
}

/// What is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    project: String,
    environment: Environment,
    /// Fixed with the first product.
    product: Option<String>,
    epoch: u64,
}

/// Returns the environment of the control whose state lies in `dir`, if there is one.
///
/// # Errors
/// The record can't be read.
pub fn environment(dir: &Path) -> Result<Option<Environment>, Error> {
    Ok(read(&dir.join(RECORD))?.map(|record| record.environment))
}

/// Returns where the control whose state lies in `dir` keeps its signing key.
pub fn key_file(dir: &Path) -> PathBuf {
    dir.join("control.key")
}

// === impl State ===

impl State {
    /// Opens or creates the directory and locks it.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let failed = |path: &Path, source| Error::State { path: path.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(|error| failed(&path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::Busy(dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(&path, error)),
        }
    }

    /// Returns where the signing key is kept.
    pub(crate) fn key_file(&self) -> PathBuf {
        key_file(&self.dir)
    }

    /// Begins a life: the epoch is raised on disk before anyone hears of it.
    pub(crate) fn begin(
        &self,
        project: &str,
        environment: Environment,
        product: Option<&str>,
    ) -> Result<Life, Error> {
        let path = self.dir.join(RECORD);
        let first = Record { project: project.to_owned(), environment, product: None, epoch: 0 };
        let present = read(&path)?.unwrap_or(first);
        refuse_other("project", &present.project, project)?;
        refuse_other("environment", present.environment.as_str(), environment.as_str())?;
        let epoch = present.epoch.saturating_add(1);
        let next = Record { epoch, ..with_product(present, product)? };
        write(&path, &next)?;
        Ok(Life { epoch })
    }

    /// Fixes the product this control governs, or refuses another one.
    pub(crate) fn govern(&self, product: &str) -> Result<(), Error> {
        let path = self.dir.join(RECORD);
        let Some(present) = read(&path)? else { return Ok(()) };
        let next = with_product(present.clone(), Some(product))?;
        if next != present { write(&path, &next) } else { Ok(()) }
    }
}

fn with_product(record: Record, product: Option<&str>) -> Result<Record, Error> {
    match (&record.product, product) {
        (Some(present), Some(wanted)) => {
            refuse_other("product", present, wanted)?;
            Ok(record)
        }
        (_, None) => Ok(record),
        (None, Some(wanted)) => Ok(Record { product: Some(wanted.to_owned()), ..record }),
    }
}

fn refuse_other(what: &'static str, present: &str, wanted: &str) -> Result<(), Error> {
    if present == wanted {
        return Ok(());
    }
    Err(Error::Other { what, present: present.to_owned(), wanted: wanted.to_owned() })
}

fn read(path: &Path) -> Result<Option<Record>, Error> {
    let failed = |source| Error::State { path: path.to_owned(), source };
    match std::fs::read(path) {
        Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn write(path: &Path, record: &Record) -> Result<(), Error> {
    let failed = |source| Error::State { path: path.to_owned(), source };
    let json = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
    file::replace(path, &json, file::READABLE).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(dir: &Path, project: &str, environment: Environment) -> Result<Life, Error> {
        State::open(dir)?.begin(project, environment, Some("air"))
    }

    #[test]
    fn the_epoch_rises_with_every_start() {
        let dir = tempfile::tempdir().unwrap();
        let epochs: Vec<u64> =
            (0..3).map(|_| begin(dir.path(), "p", Environment::Local).unwrap().epoch).collect();
        assert_eq!(epochs, [1, 2, 3]);
    }

    #[test]
    fn another_project_environment_or_product_is_refused() {
        #[track_caller]
        fn check(result: Result<impl std::fmt::Debug, Error>, expected: &str) {
            let Err(Error::Other { what, .. }) = result else { panic!("{result:?}") };
            assert_eq!(what, expected);
        }
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path(), "p", Environment::Local).unwrap();
        check(begin(dir.path(), "q", Environment::Local), "project");
        check(begin(dir.path(), "p", Environment::Production), "environment");
        check(State::open(dir.path()).unwrap().govern("shop"), "product");
        assert_eq!(begin(dir.path(), "p", Environment::Local).unwrap().epoch, 2);
        assert_eq!(environment(dir.path()).unwrap(), Some(Environment::Local));
    }

    #[test]
    fn a_directory_has_one_control_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = State::open(dir.path()).unwrap();
        assert!(matches!(State::open(dir.path()), Err(Error::Busy(_))));
        drop(first);
        assert!(State::open(dir.path()).is_ok());
    }
}
