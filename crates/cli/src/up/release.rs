//! Names the release that runs: the digest of the running binary.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tidegate_core::scope::hex;

/// Returns the path by which this program can be started again, also after its file was replaced.
pub(crate) fn this_binary() -> anyhow::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        return Ok(running.to_owned());
    }
    std::env::current_exe().context("the running program can't be found")
}

/// Returns `sha256:` and the digest of the running binary.
pub(crate) async fn of_this_binary() -> anyhow::Result<String> {
    // Some hundred megabytes in a development build: not on a thread that others wait for.
    tokio::task::spawn_blocking(|| {
        let path = this_binary()?;
        digest(&path).with_context(|| format!("{} can't be read", path.display()))
    })
    .await?
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(format!("sha256:{}", hex(&hash.finalize()))),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
