//! Starts the api's parts, and ends them in order.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_core::outbox::OutboxSource;
use tidegate_core::shutdown::Shutdown;
use tidegate_ops::Check;
use tidegate_queue::SharedQueue;
use tidegate_store::SharedStore;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::admin::Release;
use crate::app::App;
use crate::backlog::SAMPLE_EVERY;
use crate::catalog::SharedCatalog;
use crate::config::{Config, Limits};
use crate::error::Error;
use crate::hear::hear;
use crate::router;

/// How often the store is asked for changed contracts.
const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then answers what is in flight and publishes what it left behind.
///
/// # Errors
/// It can't start, or a part of it ended without being asked to.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let Config { store, queue, listen, limits, release, .. } = config;
    let store = tidegate_store::open(&store).await.map_err(Error::Store)?;
    let queue = tidegate_queue::open(&queue).await.map_err(Error::Queue)?;

    let app = app((Arc::clone(&store), Arc::clone(&queue)), release, limits).await?;
    let public = tidegate_ops::listen::bind(listen.public).map_err(Error::Listen)?;
    let private = tidegate_ops::listen::bind(listen.private).map_err(Error::Listen)?;

    // Ends after the listeners: answers still being written rely on it.
    let background = Shutdown::new();
    let mut parts = start_background(&app, &queue, store, &background);
    let mut listeners = JoinSet::new();
    listeners.spawn(tidegate_ops::serve(public, router::public(&app), shutdown.clone()));
    let operators = tidegate_ops::router(checks(&app, &queue, &shutdown));
    // Ends last of all, so that operators see the drain.
    parts.spawn(named(
        "private listener",
        tidegate_ops::serve(private, operators.merge(router::private(&app)), background.clone()),
    ));
    tracing::info!(listen.public = %listen.public, listen.private = %listen.private, "Api started.");

    let ended = tokio::select! {
        _ = listeners.join_next() => (!shutdown.is_cancelled()).then_some("public listener"),
        Some(part) = parts.join_next() => Some(part.unwrap_or("part that panicked")),
    };
    shutdown.cancel();
    while listeners.join_next().await.is_some() {}
    background.cancel();
    while parts.join_next().await.is_some() {}
    tracing::info!("Api stopped.");
    ended.map_or(Ok(()), |part| Err(Error::Ended(part)))
}

/// Builds what requests share.
pub(crate) async fn app(
    (store, queue): (SharedStore, SharedQueue),
    release: Release,
    limits: Limits,
) -> Result<Arc<App>, Error> {
    let catalog = SharedCatalog::open(store.as_ref()).await?;
    Ok(Arc::new(App::new((store, queue), release, catalog, limits)))
}

fn start_background(
    app: &Arc<App>,
    queue: &SharedQueue,
    store: SharedStore,
    shutdown: &Shutdown,
) -> JoinSet<&'static str> {
    let mut parts = JoinSet::new();
    let source: Arc<dyn OutboxSource> = store;
    parts.spawn(named("relay", tidegate_queue::relay(source, Arc::clone(queue), shutdown.clone())));
    let (app_, queue_, stop) = (Arc::clone(app), Arc::clone(queue), shutdown.clone());
    parts.spawn(named("subscription", async move {
        hear(&app_, queue_.as_ref(), &stop).await;
    }));
    parts.spawn(named("reload", reload(Arc::clone(app), shutdown.clone())));
    parts.spawn(named("backlog sample", sample(Arc::clone(app), shutdown.clone())));
    parts
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

async fn reload(app: Arc<App>, shutdown: Shutdown) {
    let mut ticks = Ticks::new(RELOAD_EVERY);
    while ticks.next(&shutdown).await.is_continue() {
        if let Err(error) = app.catalog.reload(app.store.as_ref()).await {
            tracing::warn!(error = %error, "Contracts could not be reloaded.");
        }
    }
}

async fn sample(app: Arc<App>, shutdown: Shutdown) {
    let mut ticks = Ticks::new(SAMPLE_EVERY);
    while ticks.next(&shutdown).await.is_continue() {
        app.backlog.sample(app.store.as_ref(), Timestamp::now()).await;
    }
}

/// Times at which to do something, until shutdown.
struct Ticks(Interval);

// === impl Ticks ===

impl Ticks {
    fn new(period: Duration) -> Self {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(ticks)
    }

    async fn next(&mut self, shutdown: &Shutdown) -> ControlFlow<()> {
        tokio::select! {
            _ = self.0.tick() => ControlFlow::Continue(()),
            () = shutdown.cancelled() => ControlFlow::Break(()),
        }
    }
}

fn checks(app: &Arc<App>, queue: &SharedQueue, shutdown: &Shutdown) -> Vec<Check> {
    let app = Arc::clone(app);
    let queue = Arc::clone(queue);
    vec![
        Check::new("store", move || {
            let app = Arc::clone(&app);
            async move { app.store.backlog().await.map(drop).map_err(|error| error.to_string()) }
        }),
        Check::new("queue", move || {
            let queue = Arc::clone(&queue);
            async move {
                // A broker that takes nothing in still tells how much it holds.
                queue.state().check()?;
                queue.depth().await.map(drop).map_err(|error| error.to_string())
            }
        })
        // Reads need no queue, and what is accepted waits in the store's outbox.
        .degrading(),
        Check::accepting(shutdown),
    ]
}
