//! The words of the command line. `--help` is the manual, so the texts here are written to be read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{demo, dlq, jobs, probe, setup};

/// Data products from rows to cached answers, on three tiers and in one binary.
///
/// Tidegate takes rows in over TLS, checks them against a declared product, lets workers roll them
/// up, and answers reads from the cache at the edge. `tidegate up` starts all of it on this
/// machine; every tier also runs by itself from a configuration file.
///
/// Exit status: 0 done; 1 it failed or was refused; 2 it could not be verified or reached;
/// 64 the words or the configuration are wrong.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    max_term_width = 100,
    after_long_help = "Examples:\n  \
        tidegate up                                  start everything, with the product 'air'\n  \
        tidegate demo air --rows 1000000             send rows, then check every answer\n  \
        tidegate product check my/product.toml       find all problems of a product at once\n  \
        tidegate token create loader --scope write:air\n  \
        tidegate edge --config edge.toml             a caching reverse proxy by itself"
)]
pub struct Cli {
    /// Write JSON, one object a line, for programs to read.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start all tiers on this machine and keep them running.
    ///
    /// The tiers run as child processes on an embedded store and queue. One that ends is started
    /// again. SIGTERM or Ctrl-C lets them finish what they hold, then ends with status 0; a second
    /// one ends at once.
    ///
    /// Everything lives in the data directory: the store, the queue, keys and certificates. Its
    /// `cli.toml` tells the other commands where to find this stack, and holds the admin token.
    Up(Up),
    /// Prepare a deployment whose tiers run elsewhere: product, admin token, control's key.
    ///
    /// Applies the product to the store, and makes what is missing: the admin token, and the key
    /// with which control signs and whose public half edges trust. Run again, it keeps both and
    /// applies the product anew. docker-compose.yml shows its use.
    Setup(setup::Args),
    /// Stream generated rows through the edge, then check every view against their totals.
    Demo(demo::Args),
    /// Check a product, or apply it.
    #[command(subcommand)]
    Product(Product),
    /// Create, list and revoke the tokens that clients send.
    #[command(subcommand)]
    Token(Token),
    /// Look at dead letters: jobs that need a person; put them back, or give them up.
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// List, show and cancel jobs; compare a view with its recomputation.
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// Try the whole way of a job, and count what came of it: lost, done, done twice.
    Probe(probe::Args),
    /// Run the edge: TLS, cache, routing.
    ///
    /// With a `[control]` section the edge follows a control's routing document. With `[[route]]`
    /// and `[[upstream]]` instead it is a caching reverse proxy that stands alone.
    Edge(Tier),
    /// Run the api: authenticates, validates, accepts rows, answers reads.
    Api(Tier),
    /// Run a worker: applies accepted rows and keeps the views.
    Worker(Tier),
    /// Run the control: signs the routing document that edges follow.
    Control(Tier),
    /// Print the version.
    Version,
}

/// The words of `tidegate up`.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  \
    tidegate up\n  \
    tidegate up --project 4pnihc40q-yj --data /var/lib/tidegate\n  \
    tidegate up --https 127.0.0.1:0 --http 127.0.0.1:0 --control 127.0.0.1:0 --json")]
pub struct Up {
    /// Which deployment: gq-ztfutjv, 4pnihc40q-yj, or the path of a profile.
    #[arg(long, value_name = "NAME|FILE", default_value = "gq-ztfutjv")]
    pub project: String,
    /// Directory of everything that is kept. Only one `up` runs on it at a time.
    #[arg(long, value_name = "DIR", default_value = DATA)]
    pub data: PathBuf,
    /// Where the edge takes HTTPS; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    pub https: SocketAddr,
    /// Where the edge takes HTTP; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub http: SocketAddr,
    /// Where control listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8500")]
    pub control: SocketAddr,
    /// The product of a new data directory; one that has a product keeps it.
    #[arg(long, value_name = "NAME", default_value = "air")]
    pub demo: DemoProduct,
    /// How many workers: a number, or `auto` to follow the backlog.
    #[arg(long, value_name = "N|auto", default_value = "1")]
    pub workers: Workers,
    /// A store outside of the data directory, such as `postgres://USER@HOST/DATABASE`.
    #[arg(long, value_name = "BACKEND")]
    pub store: Option<String>,
    /// A queue outside of the data directory, such as `amqp://USER@HOST/VHOST`.
    #[arg(long, value_name = "BACKEND")]
    pub queue: Option<String>,
}

/// How many workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// Always as many.
    Fixed(u32),
    /// As many as the backlog asks for.
    Auto,
}

/// Most workers of one machine.
const MAX_WORKERS: u32 = 64;

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count @ 1..=MAX_WORKERS) => Ok(Self::Fixed(count)),
            _ if text == "auto" => Ok(Self::Auto),
            _ => Err(format!("write a number from 1 to {MAX_WORKERS}, or auto")),
        }
    }
}

/// A product that the binary brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoProduct {
    /// Measurements of air quality.
    Air,
    /// No product: apply your own with `tidegate product apply`.
    None,
}

/// The words of a command that runs one tier.
#[derive(Debug, Args)]
pub struct Tier {
    /// The configuration, TOML. `TIDEGATE_<SECTION>__<KEY>` in the environment overrides a key.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the configuration, print every problem, and don't start.
    #[arg(long)]
    pub check_config: bool,
}

/// Check a product, or apply it.
#[derive(Debug, Subcommand)]
pub enum Product {
    /// Compile a product.toml and print every problem, each with its line and what to write.
    Check {
        /// The product.
        file: PathBuf,
    },
    /// Compile a product and put it to work; only where the environment is `local`.
    ///
    /// Applied to a data directory whose stack runs, the api and the edge follow within seconds.
    /// Applied to one without a stack, the next `tidegate up` starts with it.
    Apply {
        /// The product.
        file: PathBuf,
        /// Which store.
        #[command(flatten)]
        target: Target,
    },
}

/// Create, list and revoke the tokens that clients send.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Create a token and print it: only its digest is kept, so this is the only time.
    #[command(after_long_help = "Examples:\n  \
        tidegate token create loader --scope write:air\n  \
        tidegate token create dashboard --scope read:air --tenant acme --json")]
    Create {
        /// Unique name; it appears in logs as the one who sent a request.
        name: String,
        /// What it may do, such as read:air, write:air, admin:air, read:*; may be repeated.
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<String>,
        /// Whose data it reads and writes.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Which store.
        #[command(flatten)]
        target: Target,
    },
    /// List the tokens: name, tenant, scopes, when made. The tokens themselves are not kept.
    List {
        /// Which store.
        #[command(flatten)]
        target: Target,
    },
    /// Revoke a token; the edges forget it within a second.
    Revoke {
        /// Its name.
        name: String,
        /// Which store.
        #[command(flatten)]
        target: Target,
    },
}

/// Which store a command works on: that of `--data`, else `--store`, else the default directory's.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The data directory of a `tidegate up`. Default: ./.tidegate.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A store by itself, such as sqlite:store.db, where no --data is given.
    #[arg(long, value_name = "BACKEND", env = "TIDEGATE_STORE")]
    pub store: Option<String>,
}

/// The default data directory.
pub const DATA: &str = ".tidegate";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_words_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn up_needs_no_words() {
        let cli = Cli::try_parse_from(["tidegate", "up", "--json"]).unwrap();
        let Command::Up(up) = cli.command else { panic!("{:?}", cli.command) };
        assert!(cli.json);
        assert_eq!((up.project.as_str(), up.demo), ("gq-ztfutjv", DemoProduct::Air));
        assert_eq!(up.https.to_string(), "127.0.0.1:8443");
    }

    #[test]
    fn unknown_words_are_refused() {
        for words in [&["up", "--colour"][..], &["launch"], &["up", "--https", "here"], &[]] {
            let words = ["tidegate"].iter().chain(words);
            assert!(Cli::try_parse_from(words).is_err());
        }
    }
}
