//! Where to send to: the words of the command line, else what `tidegate up` wrote down.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::anyhow;
use clap::Args;

use crate::client::{Client, ClientError};
use crate::failure::Failure;
use crate::settings::Settings;

/// Which edge a command talks to.
#[derive(Clone, Debug, Args)]
pub struct Reach {
    /// Edge to send to, as https://HOST:PORT. Default: the one that `tidegate up` started.
    #[arg(long)]
    pub url: Option<String>,
    /// API token. Default: the one that `tidegate up` made.
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env_values = true)]
    pub token: Option<Token>,
    /// Certificate of the authority to trust. Default: the one that `tidegate up` made.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Data directory of `tidegate up`, read for the three defaults above.
    #[arg(long, value_name = "DIR", default_value = crate::args::DATA)]
    pub data: PathBuf,
}

/// An API token: a secret, which debug output must not show.
#[derive(Clone)]
pub struct Token(String);

/// An edge, and what is needed to talk to it.
struct Target {
    /// Base URL.
    url: String,
    /// Bearer token. A secret: this type has no `Debug`.
    token: String,
    /// Certificate of the authority to trust.
    ca: Option<PathBuf>,
}

// === impl Reach ===

impl Reach {
    /// Makes a client for the edge that the words name, or that `up` wrote down.
    ///
    /// # Errors
    /// No edge is named, or its URL, token or authority is of no use.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let target = Target::resolve(self)?;
        Client::new(&target.url, &target.token, target.ca.as_deref())
            .map_err(ClientError::into_failure)
    }
}

// === impl Token ===

impl FromStr for Token {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

// === impl Target ===

impl Target {
    /// Takes what the words name, and the rest from the data directory.
    ///
    /// # Errors
    /// Something is named in neither.
    fn resolve(args: &Reach) -> Result<Self, Failure> {
        if let (Some(url), Some(Token(token))) = (&args.url, &args.token) {
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
            token: args.token.clone().map_or(settings.token, |Token(token)| token),
            ca: Some(args.ca.clone().unwrap_or(settings.ca)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    use crate::args::{Cli, Command};
    use crate::failure::Exit;

    fn args(words: &[&str]) -> Reach {
        let cli = Cli::try_parse_from([&["tidegate", "demo", "air"], words].concat()).unwrap();
        let Command::Demo(args) = cli.command else { panic!("{:?}", cli.command) };
        args.reach
    }

    #[test]
    fn words_win_over_the_data_directory() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().to_str().unwrap();
        let settings = Settings {
            https: "https://a:1".to_owned(),
            http: "http://a:2".to_owned(),
            control: "http://a:3".to_owned(),
            ca: "ca.pem".into(),
            token: "written".to_owned(),
            project: "p".to_owned(),
            store: None,
        };
        settings.save(directory.path()).unwrap();
        let target = Target::resolve(&args(&["--data", data])).unwrap();
        assert_eq!((target.url.as_str(), target.token.as_str()), ("https://a:1", "written"));
        let target = Target::resolve(&args(&["--data", data, "--token", "said"])).unwrap();
        assert_eq!((target.url.as_str(), target.token.as_str()), ("https://a:1", "said"));
        assert_eq!(target.ca, Some("ca.pem".into()));
    }

    #[test]
    fn without_up_the_edge_must_be_named() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().to_str().unwrap();
        let failure = Target::resolve(&args(&["--data", data, "--token", "t"])).err().unwrap();
        assert_eq!(failure.exit, Exit::Unverified);
        let said = args(&["--data", data, "--token", "t", "--url", "http://a:1"]);
        assert_eq!(Target::resolve(&said).unwrap().url, "http://a:1");
    }

    #[test]
    fn debug_output_does_not_show_the_token() {
        let shown = format!("{:?}", args(&["--token", "tg_secret"]));
        assert!(!shown.contains("tg_secret"), "{shown}");
    }
}
