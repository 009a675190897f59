//! Connections: bounded in number, each statement in time, and never handed on unfinished.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{Connect, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime};
use deadpool_postgres::{Manager, TimeoutType};
use futures_util::{FutureExt as _, TryStreamExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use crate::StoreError;
use crate::postgres::address::Address;
use crate::postgres::fault::{self, Fault};

/// How long it may take to open a connection, with its first words.
const CREATE: Duration = Duration::from_secs(8);

/// How long a request that a query be given up may take.
const CANCEL: Duration = Duration::from_secs(5);

/// The first words on each connection.
///
/// Statements are ours and have an index each: a plan that was made while a table was small must
/// not scan it once it is large, and none is worth compiling. The time-outs are for what this
/// process can't see to, because it is gone or cut off.
const SETTINGS: &str = "
set search_path = tidegate;
set client_min_messages = warning;
set statement_timeout = '30s';
set idle_in_transaction_session_timeout = '60s';
set plan_cache_mode = force_generic_plan;
set enable_seqscan = off;
set jit = off;
";

/// A value that a statement takes.
pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

/// Connections to one server.
pub(super) struct Pool {
    pool: deadpool_postgres::Pool,
    tls: MakeRustlsConnect,
    server: String,
    /// Queries that are being given up.
    cancels: TaskTracker,
}

/// A connection of this process for one transaction or query.
pub(super) struct Session<'p> {
    client: Option<Object>,
    pool: &'p Pool,
    until: Instant,
    /// Statements that were sent and not answered.
    running: AtomicUsize,
    in_transaction: AtomicBool,
    /// Its prepared statements no longer fit the tables.
    stale: AtomicBool,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(address: &Address) -> Result<Self, StoreError> {
        let manager = Manager::from_connect(
            address.config.clone(),
            Dial(address.tls.clone()),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(address.pool)
            .create_timeout(Some(CREATE))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Misconfigured(error.to_string()))?;
        Ok(Self {
            pool,
            tls: address.tls.clone(),
            server: address.shown.clone(),
            cancels: TaskTracker::new(),
        })
    }

    /// Takes a connection for what must be done by then.
    pub(super) async fn session(&self, until: Instant) -> Result<Session<'_>, Fault> {
        let client = match timeout_at(until, self.pool.get()).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(self.refused(error)),
            Err(_) => return Err(Fault::Late),
        };
        Ok(Session {
            client: Some(client),
            pool: self,
            until,
            running: AtomicUsize::new(0),
            in_transaction: AtomicBool::new(false),
            stale: AtomicBool::new(false),
        })
    }

    /// Takes a connection and begins a transaction on it.
    pub(super) async fn begin(&self, limit: Duration) -> Result<Session<'_>, Fault> {
        let session = self.session(Instant::now() + limit).await?;
        session.begin().await?;
        Ok(session)
    }

    fn refused(&self, error: PoolError) -> Fault {
        let server = &self.server;
        match error {
            PoolError::Backend(error) => Fault::of_connecting(error, server),
            PoolError::Timeout(TimeoutType::Wait) => Fault::Late,
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                fault::unusable(format!("{server} did not answer in time")).into()
            }
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                fault::unusable(format!("{server}: {error}")).into()
            }
        }
    }
}

/// Opens connections.
struct Dial(MakeRustlsConnect);

// === impl Dial ===

type Dialled = Result<(Client, JoinHandle<()>), tokio_postgres::Error>;

impl Connect for Dial {
    fn connect(&self, config: &Config) -> Pin<Box<dyn Future<Output = Dialled> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(self.0.clone()).await?;
            // Ends with the client; the pool holds the handle.
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    let error = fault::chain(&error);
                    tracing::debug!(error, "Connection to the database server ended.");
                }
            });
            client.batch_execute(SETTINGS).await?;
            Ok((client, task))
        })
    }
}

// === impl Session ===

impl Session<'_> {
    fn client(&self) -> &Object {
        self.client.as_ref().expect("a session must have its connection until it is dropped")
    }

    /// Runs statements without parameters, whose answer is of no interest.
    pub(super) async fn batch(&self, text: &str) -> Result<(), Fault> {
        self.run(self.client().batch_execute(text)).await
    }

    pub(super) async fn begin(&self) -> Result<(), Fault> {
        self.in_transaction.store(true, Ordering::Relaxed);
        self.batch("begin").await
    }

    /// Begins a transaction that sees one state of the database, and changes none.
    pub(super) async fn begin_snapshot(&self) -> Result<(), Fault> {
        self.in_transaction.store(true, Ordering::Relaxed);
        self.batch("begin isolation level repeatable read read only").await
    }

    pub(super) async fn commit(self) -> Result<(), Fault> {
        self.batch("commit").await?;
        self.in_transaction.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn query(&self, text: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        let client = self.client();
        self.run(async {
            let statement = client.prepare_cached(text).await?;
            client.query(&statement, params).await
        })
        .await
    }

    /// Hands over rows one by one, as they come: there may be more than fit into memory.
    pub(super) async fn each(
        &self,
        text: &str,
        params: &[Param<'_>],
        mut take: impl FnMut(Row) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let client = self.client();
        let rows = self.run(async {
            let statement = client.prepare_cached(text).await?;
            client.query_raw(&statement, params.iter().copied()).await
        });
        let mut rows = std::pin::pin!(rows.await?);
        while let Some(row) = self.run(rows.try_next()).await? {
            take(row)?;
        }
        Ok(())
    }

    pub(super) async fn query_opt(
        &self,
        text: &str,
        params: &[Param<'_>],
    ) -> Result<Option<Row>, Fault> {
        Ok(self.query(text, params).await?.into_iter().next())
    }

    pub(super) async fn query_one(&self, text: &str, params: &[Param<'_>]) -> Result<Row, Fault> {
        let row = self.query_opt(text, params).await?;
        row.ok_or_else(|| {
            StoreError::Corrupt { what: "answer", reason: "it has no row".to_owned() }.into()
        })
    }

    pub(super) async fn execute(&self, text: &str, params: &[Param<'_>]) -> Result<u64, Fault> {
        let client = self.client();
        self.run(async {
            let statement = client.prepare_cached(text).await?;
            client.execute(&statement, params).await
        })
        .await
    }

    /// A statement that is not awaited to its end, because time is up or the caller is gone, counts
    /// as running.
    async fn run<T>(
        &self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Fault> {
        self.running.fetch_add(1, Ordering::Relaxed);
        let Ok(result) = timeout_at(self.until, statement).await else { return Err(Fault::Late) };
        self.running.fetch_sub(1, Ordering::Relaxed);
        result.map_err(|error| {
            if error.code().is_some_and(fault::is_stale) {
                self.stale.store(true, Ordering::Relaxed);
            }
            error.into()
        })
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        if self.running.load(Ordering::Relaxed) > 0 {
            give_up(self.pool, client);
        } else if self.stale.load(Ordering::Relaxed) {
            drop(Object::take(client));
        } else if self.in_transaction.load(Ordering::Relaxed) {
            // Sent when it is first polled, and answered before whatever comes next.
            client.batch_execute("rollback").now_or_never();
        }
    }
}

/// Tells the server to end a query that nobody waits for, and gives the connection up: the request
/// may come late, and must not hit the next one's query.
fn give_up(pool: &Pool, client: Object) {
    let (token, client, tls) = (client.cancel_token(), Object::take(client), pool.tls.clone());
    // Without a runtime, when the process ends, the connection is merely closed.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let cancel = async move {
        if let Ok(Err(error)) = timeout(CANCEL, token.cancel_query(tls)).await {
            let error = fault::chain(&error);
            tracing::debug!(error, "Query could not be given up.");
        }
        drop(client);
    };
    pool.cancels.spawn_on(cancel, &runtime);
}
