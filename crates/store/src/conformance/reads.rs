//! Reads: the right groups, in order, bounded, over an index, and from one snapshot.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_product::contract::GroupPart;
use tidegate_product::fold::Value;
use tidegate_product::read::{GroupsPlan, Order, ReadPlan, RowsPlan};

use super::{Engine, Fixture, TENANT, hours_before_now, row};
use crate::{GroupsPage, ReadRequest, StoreError};

async fn filled(engine: &dyn Engine) -> Fixture {
    let fixture = Fixture::new(engine).await;
    let mut rows = Vec::new();
    for hours_ago in 1..=6 {
        rows.push(row(format!("o{hours_ago}"), "oslo", hours_ago, 100 * hours_ago).level(1));
        rows.push(row(format!("r{hours_ago}"), "rome", hours_ago, 10));
        rows.push(row(format!("s{hours_ago}"), "rome", hours_ago, 20));
    }
    fixture.ingest(&rows).await;
    fixture
}

fn plan() -> GroupsPlan {
    GroupsPlan {
        view: 0,
        equals: Vec::new(),
        range: None,
        step_us: None,
        order: Order::Group,
        limit: 100,
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

async fn read(fixture: &Fixture, plan: ReadPlan) -> Vec<Vec<Value>> {
    let request = ReadRequest {
        tenant: TENANT.to_owned(),
        contract: Arc::clone(&fixture.contract),
        plan,
        tags: vec!["acme/air/v:city_hour".to_owned()],
        deadline: Timestamp::now().after(Duration::from_secs(5)),
    };
    let answer = fixture.store.read(request).await.unwrap();
    assert_eq!((answer.versions.newest, answer.versions.seq.seq), (1, 1));
    answer.table.values.chunks(answer.table.width).map(<[Value]>::to_vec).collect()
}

pub(crate) async fn groups_come_by_bucket_within_their_range(engine: &dyn Engine) {
    let fixture = filled(engine).await;
    let range = Some((hours_before_now(4).0, hours_before_now(2).0));
    let equals = vec![(GroupPart::Dim(0), text("oslo"))];
    let groups = read(&fixture, ReadPlan::Groups(GroupsPlan { equals, range, ..plan() })).await;
    let buckets: Vec<_> = groups.iter().map(|group| group[2].clone()).collect();
    assert_eq!(buckets, [Value::Int(hours_before_now(4).0), Value::Int(hours_before_now(3).0)]);
    assert_eq!(groups[0][..2], [text("oslo"), text("no2")]);
}

pub(crate) async fn the_largest_of_a_measure_come_first(engine: &dyn Engine) {
    let fixture = filled(engine).await;
    let measure = |name: &str| {
        let measures = &fixture.contract.contract.views[0].measures;
        Order::Top(measures.iter().position(|measure| measure.name == name).unwrap())
    };
    let top = |order| ReadPlan::Groups(GroupsPlan { order, limit: 2, ..plan() });
    let by_average = read(&fixture, top(measure("avg"))).await;
    let hours: Vec<_> = by_average.iter().map(|group| group[2].clone()).collect();
    assert_eq!(hours, [Value::Int(hours_before_now(6).0), Value::Int(hours_before_now(5).0)]);
    let by_count = read(&fixture, top(measure("n"))).await;
    assert!(by_count.iter().all(|group| group[0] == text("rome")), "{by_count:?}");
    // Without a level there is no largest one: such groups come last.
    let by_level = read(&fixture, top(measure("high"))).await;
    assert!(by_level.iter().all(|group| group[0] == text("oslo")), "{by_level:?}");
}

pub(crate) async fn rows_are_read_page_by_page_in_the_order_of_time(engine: &dyn Engine) {
    let fixture = filled(engine).await;
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let plan = RowsPlan {
            dataset: 0,
            equals: vec![(1, text("rome"))],
            range: Some((hours_before_now(5).0, hours_before_now(1).0)),
            after: after.clone(),
            limit: 3,
        };
        let page = read(&fixture, ReadPlan::Rows(plan)).await;
        let Some(last) = page.last() else { break };
        let Value::Int(time) = last[3] else { panic!("{last:?}") };
        after = Some((time, vec![last[0].clone()]));
        seen.extend(page.iter().map(|row| row[0].clone()));
    }
    assert_eq!(seen, ["r5", "s5", "r4", "s4", "r3", "s3", "r2", "s2"].map(text));
}

pub(crate) async fn all_groups_are_listed_page_by_page(engine: &dyn Engine) {
    let fixture = filled(engine).await;
    let mut after: Option<Vec<Value>> = None;
    let (mut pages, mut names) = (0, Vec::new());
    loop {
        let page = GroupsPage {
            tenant: TENANT.to_owned(),
            contract: Arc::clone(&fixture.contract),
            view: 0,
            after: after.clone(),
            limit: 5,
        };
        let table = fixture.store.groups(page).await.unwrap().table;
        let groups = table.values.chunks(table.width).map(|group| group[..3].to_vec());
        let groups: Vec<_> = groups.collect();
        let Some(last) = groups.last() else { break };
        after = Some(last.clone());
        pages += 1;
        names.extend(groups);
    }
    assert_eq!((pages, names.len()), (3, 12));
    names.dedup();
    assert_eq!(names.len(), 12);
}

pub(crate) async fn a_read_past_its_deadline_is_given_up(engine: &dyn Engine) {
    let fixture = filled(engine).await;
    let request = ReadRequest {
        tenant: TENANT.to_owned(),
        contract: Arc::clone(&fixture.contract),
        plan: ReadPlan::Groups(plan()),
        tags: Vec::new(),
        deadline: Timestamp::now().before(Duration::from_secs(1)),
    };
    let refused = fixture.store.read(request).await;
    assert!(matches!(refused, Err(StoreError::Deadline)), "{refused:?}");
}
