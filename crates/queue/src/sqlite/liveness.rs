//! Whether a consumer is alive: it is while its lock file is locked.
//!
//! The kernel releases the lock when the process ends, however it ends, and at no other time: a
//! consumer that is slow or stopped is not taken for dead, and one that was killed is at once.

use std::path::{Path, PathBuf};

use tidegate_sqlite::{Error, FileLock};
use uuid::Uuid;

/// Most lock files looked at in one round.
const MAX_FILES: usize = 10_000;

/// A sign of life, from its start until it is dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    path: PathBuf,
    name: String,
    /// Locked for as long as the file is open.
    _lock: FileLock,
}

// === impl Pulse ===

impl Pulse {
    /// Creates and locks a new file in `directory`.
    pub(super) fn start(directory: &Path) -> Result<Self, Error> {
        loop {
            let name = format!("{}.lock", Uuid::now_v7().simple());
            let path = directory.join(&name);
            let lock = FileLock::open(&path)?;
            // Someone who clears up may have met the file before it was locked, and removed it.
            if lock.try_hold()? && path.exists() {
                return Ok(Self { path, name, _lock: lock });
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        // A file that stays is removed by whoever finds it unlocked.
        std::fs::remove_file(&self.path).ok();
    }
}

/// Returns whether the consumer with this lock file is dead; if so, removes the file.
pub(super) fn is_dead(directory: &Path, lock_file: &str) -> Result<bool, Error> {
    let path = directory.join(lock_file);
    let lock = FileLock::open(&path)?;
    let held = lock.try_lock()?;
    if held.is_some() {
        // Removed while locked, so that a consumer that starts can't lock a file that is gone.
        std::fs::remove_file(&path).ok();
    }
    Ok(held.is_some())
}

/// Removes lock files of consumers that died before they were registered.
pub(super) fn clear_up(directory: &Path) -> Result<(), Error> {
    let Ok(files) = std::fs::read_dir(directory) else { return Ok(()) };
    for file in files.flatten().take(MAX_FILES) {
        if let Some(name) = file.file_name().to_str().filter(|name| name.ends_with(".lock")) {
            is_dead(directory, name)?;
        }
    }
    Ok(())
}
