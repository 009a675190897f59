//! `cli.toml`: where the stack of a data directory is, and the token to talk to it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tidegate_core::file;

/// Written by `tidegate up`, read by the commands that talk to the stack.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Base URL of the edge with TLS.
    pub https: String,
    /// Base URL of the edge without TLS.
    pub http: String,
    /// Base URL of control.
    pub control: String,
    /// Certificate authority to trust.
    pub ca: PathBuf,
    /// The admin token.
    pub token: String,
    /// Name of the project.
    pub project: String,
    /// The store, if it is outside of the data directory. It may hold a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

// === impl Settings ===

impl Settings {
    /// Returns the settings' path within a data directory.
    pub fn path(data: &Path) -> PathBuf {
        data.join("cli.toml")
    }

    /// Loads the settings of a data directory; `None` if no `up` has written them.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn load(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::path(data);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        // The parser's message would repeat the line, and the line may hold the token.
        let parsed = toml::from_str(&text).map_err(|error: toml::de::Error| {
            let message = error.message().to_owned();
            anyhow::anyhow!(
                "{}: {message}; remove the file, `tidegate up` writes it anew",
                path.display()
            )
        })?;
        Ok(Some(parsed))
    }

    /// Writes the settings for their owner only.
    ///
    /// # Errors
    /// The directory can't be written.
    pub fn save(&self, data: &Path) -> anyhow::Result<()> {
        let path = Self::path(data);
        let text = toml::to_string(self).context("settings must serialize: they hold text")?;
        file::replace(&path, text.as_bytes(), file::PRIVATE)
            .with_context(|| format!("{} can't be written", path.display()))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("https", &self.https)
            .field("control", &self.control)
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings() -> Settings {
        Settings {
            https: "https://127.0.0.1:1".to_owned(),
            http: "http://127.0.0.1:2".to_owned(),
            control: "http://127.0.0.1:3".to_owned(),
            ca: "tls/ca.pem".into(),
            token: "tg_secret".to_owned(),
            project: "p".to_owned(),
            store: None,
        }
    }

    #[test]
    fn settings_come_back_and_only_their_owner_can_read_them() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Settings::load(dir.path()).unwrap(), None);
        settings().save(dir.path()).unwrap();
        assert_eq!(Settings::load(dir.path()).unwrap(), Some(settings()));
        let mode = std::fs::metadata(Settings::path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn neither_debug_output_nor_errors_hold_the_token() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!format!("{:?}", settings()).contains("tg_secret"));
        std::fs::write(Settings::path(dir.path()), "token = \"tg_secret\nhttps = 1").unwrap();
        let error = Settings::load(dir.path()).unwrap_err();
        assert!(!format!("{error:#}").contains("tg_secret"), "{error:#}");
    }
}
