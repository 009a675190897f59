//! The last good routing document and plan, kept for a start without control or api.

use std::fs;
use std::io;
use std::path::PathBuf;

use tidegate_core::edge_plan::EdgePlan;
use tidegate_core::file;
use tidegate_core::keys::Signed;

use crate::error::Error;

const DOCUMENT: &str = "routing.json";
const PLAN: &str = "plan.json";

/// The directory that keeps them.
#[derive(Clone)]
pub(crate) struct Disk(PathBuf);

// === impl Disk ===

impl Disk {
    /// Makes sure the directory exists.
    ///
    /// # Errors
    /// It can't be made.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&path).map_err(|source| Error::State { path: path.clone(), source })?;
        Ok(Self(path))
    }

    /// Returns the signed document, as it was received: it is verified again.
    pub(crate) fn document(&self) -> Option<Signed> {
        serde_json::from_slice(&self.read(DOCUMENT)?).ok()
    }

    /// Returns the plan if it is the one with this digest.
    pub(crate) fn plan(&self, digest: &str) -> Option<EdgePlan> {
        let plan: EdgePlan = serde_json::from_slice(&self.read(PLAN)?).ok()?;
        (plan.digest() == digest).then_some(plan)
    }

    /// Keeps a plan and the document that names it, in this order: a crash in between leaves a
    /// document whose plan is fetched again.
    ///
    /// # Errors
    /// The directory can't be written.
    pub(crate) async fn keep(&self, signed: &Signed, plan: &EdgePlan) -> io::Result<()> {
        let plan = serde_json::to_vec(plan).map_err(io::Error::other)?;
        let signed = serde_json::to_vec(signed).map_err(io::Error::other)?;
        let (plan_path, document_path) = (self.0.join(PLAN), self.0.join(DOCUMENT));
        let kept = tokio::task::spawn_blocking(move || {
            file::replace(&plan_path, &plan, file::READABLE)?;
            file::replace(&document_path, &signed, file::READABLE)
        });
        kept.await.map_err(io::Error::other)?
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.0.join(name);
        match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file.path = %path.display(), error = %error, "State file could not be read.");
                None
            }
        }
    }
}
