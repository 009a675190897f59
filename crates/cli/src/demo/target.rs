//! Where to send to: the words of the command line, else what `tidegate up` wrote down.

use std::path::PathBuf;

use anyhow::anyhow;

use super::Args;
use crate::failure::Failure;
use crate::settings::Settings;

/// An edge, and what is needed to talk to it.
pub(crate) struct Target {
    /// Base URL.
    pub(crate) url: String,
    /// Bearer token. A secret: this type has no `Debug`.
    pub(crate) token: String,
    /// Certificate of the authority to trust.
    pub(crate) ca: Option<PathBuf>,
}

// === impl Target ===

impl Target {
    /// Takes what the words name, and the rest from the data directory.
    ///
    /// # Errors
    /// Something is named in neither.
    pub(crate) fn resolve(args: &Args) -> Result<Self, Failure> {
        if let (Some(url), Some(token)) = (&args.url, &args.token) {
            return Ok(Self { url: url.clone(), token: token.clone(), ca: args.ca.clone() });
        }
        let settings = Settings::load(&args.data)?.ok_or_else(|| {
            Failure::unverified(anyhow!(
                "there is no {}; is `tidegate up` running? Name its directory with --data, or an \
                 edge with --url, --token and --ca",
                Settings::path(&args.data).display()
            ))
        })?;
        Ok(Self {
            url: args.url.clone().unwrap_or(settings.https),
            token: args.token.clone().unwrap_or(settings.token),
            ca: Some(args.ca.clone().unwrap_or(settings.ca)),
        })
    }
}
