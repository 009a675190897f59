//! Views are compared with their recomputation, and put right.

use std::sync::Arc;

use super::{Engine, Fixture, NOW, PRODUCT, TENANT, batch, compile, hours_before_now, row};
use crate::{ReconcileRequest, ReconcileStep, SharedStore, StoredContract};

impl Fixture {
    fn order(&self, view: usize, repair: bool) -> ReconcileRequest {
        order(&self.contract, view, repair)
    }

    /// Looks at a whole view, step by step.
    pub(crate) async fn reconcile(&self, view: usize, repair: bool) -> Vec<ReconcileStep> {
        reconcile(&self.store, self.order(view, repair)).await
    }
}

fn order(contract: &Arc<StoredContract>, view: usize, repair: bool) -> ReconcileRequest {
    ReconcileRequest {
        tenant: TENANT.to_owned(),
        contract: Arc::clone(contract),
        view,
        from: None,
        repair,
    }
}

pub(crate) async fn reconcile(
    store: &SharedStore,
    mut request: ReconcileRequest,
) -> Vec<ReconcileStep> {
    let mut steps = Vec::new();
    loop {
        let step = store.reconcile(&request, NOW).await.unwrap();
        request.from = step.next;
        steps.push(step);
        if request.from.is_none() {
            return steps;
        }
    }
}

async fn filled(engine: &dyn Engine) -> Fixture {
    let fixture = Fixture::new(engine).await;
    let mut rows = Vec::new();
    for hours_ago in [1, 2, 30] {
        rows.push(row(format!("o{hours_ago}"), "oslo", hours_ago, 100).level(hours_ago));
        rows.push(row(format!("p{hours_ago}"), "oslo", hours_ago, 300));
        rows.push(row(format!("r{hours_ago}"), "rome", hours_ago, 20));
    }
    fixture.ingest(&rows).await;
    fixture.take_outbox().await;
    fixture
}

fn table(fixture: &Fixture, view: usize) -> String {
    crate::transform::names::view_table("air", &fixture.contract.contract.views[view])
}

/// Spoils a view, and checks that the drift is seen, told, put right and gone.
async fn check(fixture: &Fixture, view: usize, spoil: &str, expected: &[&str]) -> ReconcileStep {
    fixture.write(&spoil.replace("VIEW", &table(fixture, view))).await;
    let seq = fixture.seq().await;
    let seen = fixture.reconcile(view, false).await;
    assert!(seen.iter().all(|step| step.seq.is_none()));
    assert_eq!(fixture.seq().await, seq, "it was only looked at");
    let put_right = fixture.reconcile(view, true).await;
    let drifted = |steps: &[ReconcileStep]| -> Vec<String> {
        steps.iter().flat_map(|step| step.drifted.iter().map(|it| it.group.clone())).collect()
    };
    assert_eq!(drifted(&seen), expected);
    assert_eq!(drifted(&put_right), expected);
    assert_eq!(fixture.drift().await, 0);
    assert!(drifted(&fixture.reconcile(view, true).await).is_empty());
    assert_eq!(fixture.seq().await, seq + 1);
    let purges = fixture.take_purges().await;
    assert_eq!(purges.len(), 1);
    assert_eq!(purges[0].0, seq + 1);
    let step = put_right.into_iter().find(|step| !step.drifted.is_empty()).unwrap();
    assert_eq!(step.seq.as_ref().unwrap().seq, seq + 1);
    step
}

pub(crate) async fn a_view_that_is_as_it_should_be_is_left_alone(engine: &dyn Engine) {
    let fixture = filled(engine).await;
    for (view, expected) in [(0, vec![2, 2, 2]), (1, vec![1, 1])] {
        let steps = fixture.reconcile(view, true).await;
        assert_eq!(steps.iter().map(|step| step.groups).collect::<Vec<_>>(), expected);
        assert!(steps.iter().all(|step| step.drifted.is_empty() && step.seq.is_none()));
        let newest = if view == 0 { hours_before_now(1) } else { hours_before_now(12) };
        assert!(steps.iter().all(|step| step.newest == Some(newest.0)), "{steps:?}");
    }
    assert_eq!(fixture.take_outbox().await, []);
    assert_eq!(fixture.store.tenants("air").await.unwrap(), [TENANT]);
    assert!(fixture.store.tenants("shop").await.unwrap().is_empty());
    // Of whoever has no data there is nothing to compare.
    let nobody = ReconcileRequest { tenant: "zeta".to_owned(), ..fixture.order(0, true) };
    assert_eq!(fixture.store.reconcile(&nobody, NOW).await.unwrap(), ReconcileStep::default());
}

pub(crate) async fn a_number_that_was_flipped_is_found_and_put_right(engine: &dyn Engine) {
    let fixture = filled(engine).await;
    let at = hours_before_now(2).0;
    let spoil = format!(
        "update VIEW set _sum_value = _sum_value + 1 where city = 'oslo' and _bucket = {at}"
    );
    let group = "city=oslo, kind=no2, bucket=2026-11-22T10:00:00Z";
    let step = check(&fixture, 0, &spoil, &[group]).await;
    let (stored, computed) =
        (step.drifted[0].stored.clone().unwrap(), step.drifted[0].computed.clone().unwrap());
    assert_eq!((&stored["sum(value)"], &computed["sum(value)"]), (&401.into(), &400.into()));
    assert_eq!((&stored["rows"], &computed["rows"]), (&2.into(), &2.into()));
    check(
        &fixture,
        0,
        "update VIEW set _max_level = null where city = 'oslo' and _max_level = 30",
        &["city=oslo, kind=no2, bucket=2026-11-21T06:00:00Z"],
    )
    .await;
}

pub(crate) async fn a_group_that_is_missing_is_made(engine: &dyn Engine) {
    let fixture = filled(engine).await;
    let day = "kind=no2, bucket=2026-11-21T00:00:00Z";
    let step = check(
        &fixture,
        1,
        &format!("delete from VIEW where _bucket < {}", hours_before_now(12).0),
        &[day],
    )
    .await;
    assert_eq!(step.drifted[0].stored, None);
}

pub(crate) async fn a_group_that_no_row_is_in_is_removed(engine: &dyn Engine) {
    let fixture = filled(engine).await;
    // Moved a hundred hours on, a group is missing here and surplus there.
    let spoil = format!(
        "update VIEW set _bucket = _bucket + 360000000000 where city = 'rome' and _bucket = {}",
        hours_before_now(1).0
    );
    fixture.write(&spoil.replace("VIEW", &table(&fixture, 0))).await;
    let steps = fixture.reconcile(0, true).await;
    let drifted: Vec<_> = steps.iter().flat_map(|step| &step.drifted).collect();
    let [missing, surplus] = drifted[..] else { panic!("{drifted:?}") };
    assert_eq!((missing.stored.is_none(), surplus.computed.is_none()), (true, true));
    assert_eq!(surplus.group, "city=rome, kind=no2, bucket=2026-11-26T15:00:00Z");
    assert_eq!(fixture.drift().await, 0);
    assert_eq!(fixture.take_purges().await.len(), 2);
}

pub(crate) async fn a_view_without_buckets_is_compared_as_a_whole(engine: &dyn Engine) {
    let mut fixture = Fixture::new(engine).await;
    let source = PRODUCT.to_owned()
        + r#"
[view.total]
from = "readings"
group_by = ["city"]
where = "value > 2"
measures = { n = "count()", total = "sum(value)", high = "max(level)" }
"#;
    fixture.contract = fixture.store.apply_contract(&compile(&source), NOW).await.unwrap();
    let rows = [(0, "oslo"), (1, "rome"), (2, "oslo"), (3, "rome"), (4, "oslo"), (5, "rome")];
    let rows: Vec<_> = rows.map(|(n, city)| row(n, city, 1, 100 * n)).into();
    fixture.ingest(&rows).await;
    let steps = fixture.reconcile(2, true).await;
    assert_eq!((steps.len(), steps[0].groups, steps[0].drifted.len()), (1, 2, 0));
    let spoil = "update VIEW set _rows = 7, _max_level = 7 where city = 'rome'";
    fixture.write(&spoil.replace("VIEW", &table(&fixture, 2))).await;
    let steps = fixture.reconcile(2, true).await;
    assert_eq!(steps[0].drifted[0].group, "city=rome");
    assert_eq!(steps[0].drifted[0].computed.as_ref().unwrap()["rows"], 2);
    assert!(fixture.reconcile(2, false).await[0].drifted.is_empty());
}

pub(crate) async fn views_are_put_right_while_others_write(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let mut writers = Vec::new();
    for writer in 0..3_i64 {
        let (store, contract) = (fixture.other().await, Arc::clone(&fixture.contract));
        writers.push(tokio::spawn(async move {
            for number in 0..25 {
                let id = |n: i64| format!("{writer}-{number}-{n}");
                let rows: Vec<_> = (0..20).map(|n| row(id(n), "oslo", n % 3, n)).collect();
                let batch = batch(&contract, &rows);
                let claims = [batch.id];
                store.accept(batch, NOW).await.unwrap();
                let claims = store.claim(&claims, NOW).await.unwrap();
                store.apply(claims, NOW).await.unwrap();
            }
        }));
    }
    // Missing groups are the hard ones: there is nothing to lock.
    let spoil = "delete from VIEW where _bucket % 2 = 0; update VIEW set _rows = _rows + 1";
    while writers.iter().any(|writer| !writer.is_finished()) {
        for view in 0..2 {
            fixture.write(&spoil.replace("VIEW", &table(&fixture, view))).await;
            fixture.reconcile(view, true).await;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(fixture.drift().await, 0);
}
