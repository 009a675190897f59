//! The control tier: project profile and the signed routing document.
//!
//! Modules stand in the order in which data moves: configuration and state directory → verdicts and
//! the rollout they move → contract → signed document → those who wait for it.

pub mod config;
mod error;
pub mod judge;
pub mod rollout;
pub mod state;

mod contract;
mod issue;
mod metrics;
mod serve;
mod watch;

use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::keys::PrivateKey;
use tidegate_core::shutdown::Shutdown;
use tidegate_ops::{Check, listen};

pub use crate::config::Config;
use crate::contract::ProductFile;
pub use crate::error::Error;
use crate::issue::Issuer;
use crate::state::State;

/// Serves the routing document until `shutdown`.
///
/// # Errors
/// The state directory belongs to another control, the product does not compile, or a listener
/// can't be bound.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let state = State::open(&config.state)?;
    let key = PrivateKey::load_or_create(&state.key_file()).map_err(Error::Key)?;
    let file = ProductFile::new(config.product.clone());
    let governed = file.load()?;
    let life =
        state.begin(&config.profile.name, config.environment, governed.product.as_deref())?;
    let public = listen::bind(config.address).map_err(Error::Listen)?;
    let private = listen::bind(config.private).map_err(Error::Listen)?;
    tracing::info!(
        control.project = %config.profile.name,
        control.environment = %config.environment,
        control.epoch = life.epoch,
        control.key_id = %key.public().id(),
        "Control started."
    );

    let issuer = Issuer::new(&config, key, life.epoch, &governed, Timestamp::now());
    let issuer = Arc::new(issuer);
    let reloading = watch::Reload::new(file, state, Arc::clone(&issuer), governed);
    let checks = vec![reloading.check(), Check::accepting(&shutdown)];
    let routes = serve::router(Arc::clone(&issuer), shutdown.clone());
    tokio::join!(
        reloading.run(shutdown.clone()),
        tidegate_ops::serve(public, routes, shutdown.clone()),
        tidegate_ops::serve(private, tidegate_ops::router(checks), shutdown.clone()),
    );
    tracing::info!("Control stopped.");
    Ok(())
}
