//! Wires one edge together and runs it until shutdown.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_core::shutdown::{Shutdown, drained};
use tidegate_ops::Check;
use tidegate_queue::SharedQueue;
use tokio::net::TcpListener;

use crate::config::{Config, Mode};
use crate::edge::Edge;
use crate::error::Error;
use crate::hot;
use crate::metrics::metrics;
use crate::notices::{Listener, Subscribed};
use crate::refresh::{Orders, Publisher};
use crate::route::disk::Disk;
use crate::route::govern::Follower;
use crate::serve::{Server, Transport};
use crate::tls;

/// How often the cache's size is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// The sockets of one edge, bound before anything else starts.
pub(crate) struct Sockets {
    pub(crate) http: Option<TcpListener>,
    pub(crate) https: Option<TcpListener>,
    pub(crate) private: Option<TcpListener>,
}

/// Runs an edge until `shutdown`, then drains.
///
/// # Errors
/// It can't start: an address is in use, a certificate can't be read, the queue can't be opened.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let queue: Option<SharedQueue> = match &config.mode {
        Mode::StandAlone { .. } => None,
        Mode::Governed(governed) => Some(tidegate_queue::open(&governed.queue).await?),
    };
    let sockets = Sockets::bind(&config)?;
    run_on(sockets, queue, config, shutdown).await
}

/// Runs an edge on sockets that are bound.
pub(crate) async fn run_on(
    sockets: Sockets,
    queue: Option<SharedQueue>,
    config: Config,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let acceptor = config.tls.as_ref().map(|tls| tls::acceptor(tls, Timestamp::now()));
    let acceptor = acceptor.transpose()?;
    let (orders, waiting) = config.arrows().edge_to_worker.then(Orders::new).unzip();
    let edge = Edge::new(&config, orders);
    if let Mode::Governed(governed) = &config.mode {
        let disk = Disk::open(governed.state.clone())?;
        let routes = Arc::clone(&edge.routes);
        let mut follower = Follower::new(*governed.clone(), disk, edge.internal.clone(), routes);
        follower.resume();
        edge.tracker.spawn(follower.follow(shutdown.clone()));
    }
    if let (Some(waiting), Some(queue)) = (waiting, &queue) {
        let publisher = Publisher::new(Arc::clone(&edge), Arc::clone(queue), waiting);
        edge.tracker.spawn(publisher.run(shutdown.clone()));
    }
    edge.tracker.spawn(hot::report(Arc::clone(&edge), shutdown.clone()));
    let subscribed = queue.map(|queue| {
        let (listener, subscribed) = Listener::new(Arc::clone(&edge), queue);
        edge.tracker.spawn(listener.listen(shutdown.clone()));
        subscribed
    });
    edge.tracker.spawn(measure(Arc::clone(&edge), shutdown.clone()));
    // Lives until the drain is over: operators want to look at that too.
    let stop_private = Shutdown::new();
    let private = sockets.private.map(|listener| {
        let router = tidegate_ops::router(checks(&edge, subscribed, &shutdown));
        tokio::spawn(tidegate_ops::serve(listener, router, stop_private.clone()))
    });
    let server = Server::new(Arc::clone(&edge), shutdown.clone());
    if let Some(listener) = sockets.http {
        edge.tracker.spawn(server.clone().accept(listener, Transport::Plain));
    }
    if let (Some(listener), Some(acceptor)) = (sockets.https, acceptor) {
        edge.tracker.spawn(server.accept(listener, Transport::Tls(acceptor)));
    }
    tracing::info!("Edge started.");
    shutdown.cancelled().await;
    if !drained(&edge.tracker).await {
        tracing::warn!(
            tasks.open = edge.tracker.len(),
            "Connections were cut at the end of the drain."
        );
    }
    stop_private.cancel();
    if let Some(private) = private {
        private.await.ok();
    }
    tracing::info!("Edge stopped.");
    Ok(())
}

fn checks(edge: &Arc<Edge>, subscribed: Option<Subscribed>, shutdown: &Shutdown) -> Vec<Check> {
    let routes = Arc::clone(&edge.routes);
    let routing = Check::new("routing", move || {
        let known = routes.load().is_some();
        async move { if known { Ok(()) } else { Err("no routing document yet".to_owned()) } }
    });
    let notices = subscribed.map(|subscribed| {
        Check::new("notices", move || {
            let subscribed = subscribed.borrow().clone();
            async move { subscribed }
        })
        // What it answers then is as old as the TTL allows, which is better than no answer.
        .degrading()
    });
    [routing, Check::accepting(shutdown)].into_iter().chain(notices).collect()
}

async fn measure(edge: Arc<Edge>, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(MEASURE_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let (keys, bytes) = edge.cache.storage.size();
        metrics().cache_keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        metrics().cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

// === impl Sockets ===

impl Sockets {
    /// Binds every address of the configuration.
    pub(crate) fn bind(config: &Config) -> Result<Self, Error> {
        let bind = |listener, address: Option<std::net::SocketAddr>| {
            let bound = address.map(|address| {
                tidegate_ops::listen::bind(address).map_err(|source| Error::Listen {
                    listener,
                    address,
                    source,
                })
            });
            bound.transpose()
        };
        Ok(Self {
            http: bind("listen.http", config.listen.http)?,
            https: bind("listen.https", config.listen.https)?,
            private: bind("listen.private", config.listen.private)?,
        })
    }
}
