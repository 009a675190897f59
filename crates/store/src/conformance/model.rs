//! Random batches against a model of a few lines.

use std::collections::BTreeMap;

use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::test_runner::TestRunner;
use tidegate_product::fold::Value;

use super::{Engine, Fixture, NOW, Row, hours_before_now, row};
use crate::{Applied, Counts};

const CITIES: [&str; 3] = ["bonn", "oslo", "rome"];
const LATE_HOURS: i64 = 48;

/// The first row of each key counts.
#[derive(Default)]
struct Model {
    rows: BTreeMap<String, (&'static str, i64, i64, Option<i64>)>,
    newest: Option<i64>,
}

/// City and bucket.
type Group = (String, i64);

/// Number of rows, sum of values, smallest value, largest level.
type Totals = (i64, i64, i64, Option<i64>);

// === impl Model ===

impl Model {
    fn apply(&mut self, rows: &[Row]) -> Counts {
        let mut counts = Counts::default();
        let mut new = Vec::new();
        for row in rows {
            let content = (row.city, row.hours_ago, row.value, row.level);
            match self.rows.get(&row.id) {
                None => {
                    self.rows.insert(row.id.clone(), content);
                    new.push(row.hours_ago);
                }
                Some(known) if *known == content => counts.duplicate += 1,
                Some(_) => counts.rejected += 1,
            }
        }
        let newest = new.iter().chain(&self.newest).min().copied();
        self.newest = newest;
        let late = |ago: &&i64| **ago > newest.unwrap_or(0) + LATE_HOURS;
        counts.late = new.iter().filter(late).count() as u64;
        counts.new = new.len() as u64 - counts.late;
        counts
    }

    fn groups(&self) -> BTreeMap<Group, Totals> {
        let mut groups = BTreeMap::new();
        for (city, hours_ago, value, level) in self.rows.values() {
            let group = groups
                .entry(((*city).to_owned(), hours_before_now(*hours_ago).0))
                .or_insert((0, 0, i64::MAX, None));
            *group = (group.0 + 1, group.1 + value, group.2.min(*value), group.3.max(*level));
        }
        groups
    }
}

async fn stored_groups(fixture: &Fixture) -> BTreeMap<Group, Totals> {
    let contract = &fixture.contract.contract;
    let table = crate::transform::names::view_table("air", &contract.views[0]);
    let text =
        format!("select city, _bucket, _rows, _sum_value, _min_value, _max_level from {table}");
    let number = |value: &Value| match value {
        Value::Int(number) => Some(*number),
        _ => None,
    };
    let group = |row: Vec<Value>| match &row[..] {
        [Value::Text(city), bucket, rows, sum, min, max] => {
            let [bucket, rows, sum, min] = [bucket, rows, sum, min].map(|it| number(it).unwrap());
            ((city.clone(), bucket), (rows, sum, min, number(max)))
        }
        _ => panic!("{row:?}"),
    };
    fixture.place.rows(&text).await.into_iter().map(group).collect()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let one = (0..25u32, 0..3usize, 0..120i64, 1..4i64, proptest::option::of(-3..3i64));
    let one = one.prop_map(|(id, city, hours_ago, value, level)| Row {
        level,
        ..row(id, CITIES[city], hours_ago, value)
    });
    proptest::collection::vec(one, 0..12)
}

/// Batches, how many of them each commit takes, and which claims are made once more before it.
fn scenario() -> impl Strategy<Value = Scenario> {
    let batches = proptest::collection::vec(rows(), 1..10);
    (batches, 1..4usize, proptest::collection::vec(any::<bool>(), 10))
}

type Scenario = (Vec<Vec<Row>>, usize, Vec<bool>);

async fn check(engine: &dyn Engine, (batches, at_once, claimed_twice): Scenario) {
    let fixture = Fixture::new(engine).await;
    let mut model = Model::default();
    let mut commits = 0;
    for (chunk, twice) in batches.chunks(at_once).zip(claimed_twice.into_iter().cycle()) {
        let mut ids = Vec::new();
        for rows in chunk {
            ids.push(fixture.accept(rows).await);
        }
        let mut claims = fixture.store.claim(&ids, NOW).await.unwrap();
        if twice {
            let zombies =
                std::mem::replace(&mut claims, fixture.store.claim(&ids, NOW).await.unwrap());
            let applied = fixture.store.apply(zombies, NOW).await.unwrap().applied;
            assert!(applied.iter().all(|it| matches!(it, Applied::Overtaken(_))));
        }
        let applied = fixture.store.apply(claims, NOW).await.unwrap().applied;
        let before = model.rows.len();
        for ((rows, id), applied) in chunk.iter().zip(&ids).zip(&applied) {
            assert_eq!(applied, &Applied::Done(*id, model.apply(rows)));
        }
        commits += u64::from(before < model.rows.len());
    }
    assert_eq!(stored_groups(&fixture).await, model.groups());
    assert_eq!(fixture.seq().await, commits);
    assert_eq!(fixture.drift().await, 0);
}

pub(crate) async fn any_batches_in_any_grouping_equal_the_model(engine: &dyn Engine) {
    let config = ProptestConfig {
        cases: engine.scenarios(),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let runtime = tokio::runtime::Handle::current();
    // Drawing is synchronous: the runtime's other threads go on meanwhile.
    tokio::task::block_in_place(|| {
        let checked = TestRunner::new(config).run(&scenario(), |scenario| {
            runtime.block_on(check(engine, scenario));
            Ok(())
        });
        checked.unwrap();
    });
}
