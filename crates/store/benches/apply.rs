//! What accepting, claiming, applying and reading cost at several table sizes.
//!
//! `cargo bench -p tidegate-store -- [ROWS] [MINUTES]`: rows in all, and the minutes between two
//! readings of a series (more minutes: more groups for as many rows). Rows arrive in the order of
//! time in batches of 5 000, from 40 cities with 25 stations that measure 4 pollutants each.
//!
//! On SQLite, and then on PostgreSQL if `TIDEGATE_TEST_POSTGRES` is the URL of an empty database;
//! what is left there can be dropped with the database.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench talks to the terminal and has nobody to report an error to"
)]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::backend::StoreBackend;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Arm;
use tidegate_product::contract::GroupPart;
use tidegate_product::fold::Value;
use tidegate_product::read::{GroupsPlan, Order, ReadPlan};
use tidegate_store::{Applied, NewBatch, NewToken, ReadRequest, SharedStore, StoredContract};
use tokio::time::Instant;
use uuid::Uuid;

const BATCH: u64 = 5_000;
const CITIES: u64 = 40;
const SERIES: u64 = CITIES * 25 * 4;
const POLLUTANTS: [&str; 4] = ["pm25", "pm10", "no2", "o3"];
const TENANT: &str = "default";

/// Batches that each figure is the median of.
const WINDOW: usize = 21;

/// Batches that are applied in one commit at the end.
const TOGETHER: u64 = 4;

struct Bench {
    store: SharedStore,
    contract: Arc<StoredContract>,
    begin: Timestamp,
    tick: Duration,
}

/// Times of each step of ingest, one for each batch.
#[derive(Default)]
struct Spent {
    accept: Vec<Duration>,
    claim: Vec<Duration>,
    apply: Vec<Duration>,
}

// === impl Bench ===

impl Bench {
    async fn open(backend: &StoreBackend, rows: u64, tick: Duration) -> Self {
        let source = include_str!("../../../deploy/products/air.toml");
        let contract = tidegate_product::compile("air.toml", source).unwrap();
        let store = tidegate_store::open(backend).await.unwrap();
        let now = Timestamp::now();
        let contract = store.apply_contract(&contract, now).await.unwrap();
        let ticks = (rows + TOGETHER * BATCH) / SERIES + 1;
        let begin = now.before(tick * u32::try_from(ticks).unwrap());
        Self { store, contract, begin, tick }
    }

    /// Makes one batch; not part of any figure.
    fn batch(&self, number: u64) -> NewBatch {
        let (position, dataset) = self.contract.contract.dataset("readings").unwrap();
        let mut body = String::new();
        for row in number * BATCH..(number + 1) * BATCH {
            let (tick, series) = (row / SERIES, row % SERIES);
            let at = self.begin.after(self.tick * u32::try_from(tick).unwrap());
            let (station, pollutant) = (series / 4, series % 4);
            writeln!(
                body,
                r#"{{"reading_id":"r{row:012}","station":"st{station:04}","city":"city{:02}","pollutant":"{}","ts":"{}","value":{}.{:02}}}"#,
                station % CITIES,
                POLLUTANTS[usize::try_from(pollutant).unwrap()],
                at.to_rfc3339(),
                row * 7_919 % 500,
                row % 100,
            )
            .unwrap();
        }
        let parsed =
            tidegate_product::validate::ndjson(dataset, body.as_bytes(), Timestamp::now()).unwrap();
        assert!(parsed.rejected.is_empty(), "{:?}", parsed.rejected.first());
        NewBatch {
            id: Uuid::now_v7(),
            tenant: TENANT.to_owned(),
            contract: Arc::clone(&self.contract),
            dataset: position,
            idempotency_key: None,
            fingerprint: [0; 32],
            rows: parsed.rows,
            lines: parsed.lines,
            rejected: parsed.rejected,
            traceparent: None,
            release: None,
            arm: Arm::Stable,
            cohort: None,
        }
    }

    async fn ingest(&self, number: u64, spent: &mut Spent) {
        let (batch, now) = (self.batch(number), Timestamp::now());
        let id = batch.id;
        let started = Instant::now();
        self.store.accept(batch, now).await.unwrap();
        spent.accept.push(started.elapsed());
        let started = Instant::now();
        let claims = self.store.claim(&[id], now).await.unwrap();
        spent.claim.push(started.elapsed());
        let started = Instant::now();
        let applied = self.store.apply(claims, now).await.unwrap().applied;
        spent.apply.push(started.elapsed());
        assert!(matches!(applied.as_slice(), [Applied::Done(_, counts)] if counts.new == BATCH));
    }

    /// Applies several batches at once, as a worker that is behind does.
    async fn apply_together(&self, numbers: std::ops::Range<u64>) -> Duration {
        let mut ids = Vec::new();
        for number in numbers {
            let batch = self.batch(number);
            ids.push(batch.id);
            self.store.accept(batch, Timestamp::now()).await.unwrap();
        }
        let claims = self.store.claim(&ids, Timestamp::now()).await.unwrap();
        let started = Instant::now();
        self.store.apply(claims, Timestamp::now()).await.unwrap();
        started.elapsed()
    }

    async fn read(&self, hours: i64) -> usize {
        let (view, _) = self.contract.contract.view("city_hour").unwrap();
        let newest = Timestamp::now().align_down(Duration::from_secs(3_600)).0;
        let request = ReadRequest {
            tenant: TENANT.to_owned(),
            contract: Arc::clone(&self.contract),
            plan: ReadPlan::Groups(GroupsPlan {
                view,
                equals: vec![
                    (GroupPart::Dim(0), Value::Text("city07".to_owned())),
                    (GroupPart::Dim(1), Value::Text("no2".to_owned())),
                ],
                range: Some((newest - hours * 3_600_000_000, newest)),
                step_us: None,
                order: Order::Group,
                limit: 2_209,
            }),
            tags: self.tags(),
            deadline: Timestamp::now().after(Duration::from_secs(5)),
        };
        let table = self.store.read(request).await.unwrap().table;
        table.values.len() / table.width
    }

    fn tags(&self) -> Vec<String> {
        vec!["default/air/v:city_hour".to_owned(), "default/air/v:city_hour:city=city07".to_owned()]
    }

    async fn reads(&self) {
        const TIMES: u32 = 20_000;
        let token = NewToken {
            name: "bench".to_owned(),
            digest: "digest".to_owned(),
            tenant: TENANT.to_owned(),
            scopes: vec!["read:air".to_owned()],
        };
        self.store.create_token(token, Timestamp::now()).await.unwrap();
        let print = |what: &str, started: Instant| {
            let each = started.elapsed() / TIMES;
            println!("{what:32} {:8.2} µs", each.as_secs_f64() * 1e6);
        };
        let tags = self.tags();
        let started = Instant::now();
        for _ in 0..TIMES {
            self.store.versions(TENANT, "air", &tags).await.unwrap();
        }
        print("versions of two tags", started);
        let started = Instant::now();
        for _ in 0..TIMES {
            self.store.find_token("digest").await.unwrap();
        }
        print("token", started);
        let started = Instant::now();
        for _ in 0..TIMES {
            self.store.contracts().await.unwrap();
        }
        print("contracts", started);
        for hours in [1, 24] {
            let found = self.read(hours).await;
            let started = Instant::now();
            for _ in 0..TIMES {
                self.read(hours).await;
            }
            print(&format!("read of {found} groups"), started);
        }
    }
}

fn print_figures(rows: u64, spent: &mut Spent) {
    let each = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6 / BATCH as f64
    };
    let (accept, claim, apply) =
        (each(&mut spent.accept), each(&mut spent.claim), each(&mut spent.apply));
    println!(
        "{rows:>10} rows   accept {accept:5.2}   claim {claim:5.2}   apply {apply:5.2} µs/row   \
         {:>8.0} rows/s",
        1e6 / (accept + claim + apply),
    );
}

/// Reads from several tasks at once, as an api does.
async fn reads_at_once(bench: &Arc<Bench>) {
    const TASKS: u32 = 8;
    const TIMES: u32 = 2_000;
    let started = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let bench = Arc::clone(bench);
            tokio::spawn(async move {
                for _ in 0..TIMES {
                    bench.read(24).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let each = f64::from(TASKS * TIMES) / started.elapsed().as_secs_f64();
    println!("{TASKS} readers at once                {each:8.0} reads/s");
}

async fn run(backend: &StoreBackend, rows: u64, tick: Duration) {
    let bench = Arc::new(Bench::open(backend, rows, tick).await);
    let marks = [100_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000];
    let mut spent = Spent::default();
    let batches = rows / BATCH;
    for number in 0..batches {
        bench.ingest(number, &mut spent).await;
        let done = (number + 1) * BATCH;
        if spent.apply.len() == WINDOW || marks.contains(&done) {
            if marks.contains(&done) {
                print_figures(done, &mut spent);
            }
            spent = Spent::default();
        }
    }
    let together = bench.apply_together(batches..batches + TOGETHER).await;
    let each = together.as_secs_f64() * 1e6 / (TOGETHER * BATCH) as f64;
    println!("{TOGETHER} batches in one commit: {each:.2} µs/row");
    bench.reads().await;
    reads_at_once(&bench).await;
}

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "how benches are told where the server is")]
async fn main() {
    // `cargo bench` adds `--bench`.
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let rows = numbers.next().unwrap_or(1_000_000);
    let tick = Duration::from_secs(60 * numbers.next().unwrap_or(5));
    let dir = tempfile::tempdir().unwrap();
    println!("SQLite");
    run(&StoreBackend::Sqlite(dir.path().join("store.db")), rows, tick).await;
    if let Ok(url) = std::env::var("TIDEGATE_TEST_POSTGRES") {
        println!("PostgreSQL");
        run(&url.parse().unwrap(), rows, tick).await;
    }
}
