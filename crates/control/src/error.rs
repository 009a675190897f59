//! Why control can't start.

use std::io;
use std::path::PathBuf;

use tidegate_core::keys::KeyError;

/// Why control can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory can't be used: see to its permissions and space.
    #[error("the state directory's {path} can't be used")]
    State {
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another control runs on the state directory: stop it, or use another one.
    #[error("the state directory {0} is used by a control that runs")]
    Busy(PathBuf),
    /// The state belongs to something else: use the state directory that belongs to it.
    #[error("the state directory belongs to {what} '{present}', not '{wanted}'")]
    Other {
        /// Project, environment or product.
        what: &'static str,
        /// To which the directory belongs.
        present: String,
        /// What the configuration says.
        wanted: String,
    },
    /// The signing key can't be used.
    #[error("the signing key can't be used")]
    Key(#[source] KeyError),
    /// The product file has to be mended.
    #[error("the product can't be used: {0}")]
    Product(String),
    /// A listener can't be bound.
    #[error("control can't listen")]
    Listen(#[source] io::Error),
}
