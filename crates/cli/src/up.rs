//! `tidegate up`: all tiers as supervised children, on an embedded store and queue.
//!
//! Modules stand in the order in which a start uses them.

mod backends;
pub(crate) mod data;
mod fetch;
mod ports;
pub(crate) mod project;
mod release;
pub(crate) mod seed;
mod tier;
mod write_configs;

mod log_lines;
mod restart;
mod scale;
mod supervise;

mod ready;
mod show;

use anyhow::Context as _;
use tidegate_core::clock::Timestamp;
use tidegate_core::keys::PrivateKey;
use tidegate_core::shutdown::{self, Shutdown};
use tidegate_core::telemetry::{self, LogConfig};

use crate::args::{Up, Workers};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::settings::Settings;
use crate::up::backends::Backends;
use crate::up::data::DataDir;
use crate::up::ports::Ports;
use crate::up::project::Project;
use crate::up::scale::Scaler;
use crate::up::show::Shown;
use crate::up::supervise::Supervisor;
use crate::up::tier::Tier;
use crate::up::write_configs::Layout;

/// Starts all tiers, tells where they are, and keeps them running until a signal comes.
///
/// # Errors
/// The data directory or a port is taken, or a tier does not become ready.
pub async fn run(args: Up, output: Output) -> Result<(), Failure> {
    telemetry::init_logs(&LogConfig::default());
    let stop = shutdown::on_signal(false).context("signals can't be handled")?;
    let project = Project::load(&args.project).map_err(Failure::usage)?;
    let demo = seed::demo_source(args.demo);
    let data = DataDir::create(&args.data)?;
    let _lock = data.lock()?;
    let backends = Backends::choose(&args, &data).map_err(Failure::usage)?;
    let ports = Ports::reserve(&args)?;
    let key = PrivateKey::load_or_create(&data.control_key()).context("control's key")?;
    let (release, seeded) =
        tokio::try_join!(release::of_this_binary(), seed::seed(&data, &backends.store, demo))?;

    let layout = Layout {
        data: &data,
        backends: &backends,
        project: &project,
        ports: &ports,
        public_key: key.public(),
        release: &release,
    };
    let specs = write_configs::write(&layout)?;
    let settings = Settings {
        https: format!("https://{}", ports.https.address()),
        http: format!("http://{}", ports.http.address()),
        control: format!("http://{}", ports.control.address()),
        ca: data.ca(),
        token: seeded.token.clone(),
        project: project.profile.name.clone(),
        store: args.store.clone(),
    };
    let mut supervisor = Supervisor::start(specs, output::stderr_is_terminal());
    let scaler = Scaler {
        workers: args.workers,
        api: ports.private(Tier::Api),
        spec: &|number| write_configs::another_worker(&layout, number),
    };
    let ready = match ready::wait(&ports, &mut supervisor, &stop).await {
        Ok(()) => {
            settings.save(data.root())?;
            let shown = Shown {
                settings: &settings,
                project: &project,
                ports: &ports,
                seeded: &seeded,
                data: &data,
            };
            output.result(&show::text(&shown, Timestamp::now()), &show::event(&settings))?;
            scaler.start(&mut supervisor)?;
            match args.workers {
                Workers::Fixed(_) => stop.cancelled().await,
                Workers::Auto => scaler.follow(&mut supervisor, &stop).await?,
            }
            Ok(())
        }
        Err(ready::NotReady::Stopped) => Ok(()),
        Err(ready::NotReady::Failed(error)) => Err(error),
    };
    supervisor.stop(second_signal()?).await;
    ready.map_err(Failure::failed)
}

/// Returns a signal that fires when the operator asks a second time.
fn second_signal() -> Result<Shutdown, Failure> {
    Ok(shutdown::on_signal(false).context("signals can't be handled")?)
}
