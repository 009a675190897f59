//! An advisory lock on a file, released by the kernel when its process dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;

/// A lock file. The lock is per open file: two `FileLock`s on one path exclude each other, also
/// within one process.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

/// Holds the lock until dropped.
#[derive(Debug)]
pub struct Held<'a>(&'a File);

// === impl FileLock ===

impl FileLock {
    /// Opens or creates the lock file.
    ///
    /// # Errors
    /// It can't be opened for writing.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|error| failed(path, error))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Waits for the lock, blocking the thread.
    ///
    /// # Errors
    /// The file system can't lock.
    pub fn lock(&self) -> Result<Held<'_>, Error> {
        self.file.lock().map_err(|error| failed(&self.path, error))?;
        Ok(Held(&self.file))
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// The file system can't lock.
    pub fn try_lock(&self) -> Result<Option<Held<'_>>, Error> {
        match self.file.try_lock() {
            Ok(()) => Ok(Some(Held(&self.file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(&self.path, error)),
        }
    }

    /// Takes the lock if it is free, for as long as this value lives; returns whether it did.
    ///
    /// # Errors
    /// The file system can't lock.
    pub fn try_hold(&self) -> Result<bool, Error> {
        // Closing the file releases the lock: the guard's early release is not wanted.
        Ok(self.try_lock()?.map(std::mem::forget).is_some())
    }
}

// === impl Held ===

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Closing the file would release it as well; there is nothing else to do about an error.
        self.0.unlock().ok();
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::Lock { path: path.to_owned(), source: Arc::new(error) }
}
