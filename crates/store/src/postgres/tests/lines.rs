//! Lines of the outbox among several processes.

use std::sync::Arc;

use super::{Database, Server};
use crate::Store as _;
use crate::conformance::{Fixture, NOW, PRODUCT, compile, row};

#[tokio::test]
async fn a_line_of_another_process_is_left_to_its_relay_for_a_while() {
    let fixture = Fixture::new(&Server).await;
    fixture.accept(&[row(1, "oslo", 1, 1)]).await;
    // No process has the number 0.
    fixture.write("update dp_outbox set origin = 0").await;
    fixture.accept(&[row(2, "oslo", 1, 1)]).await;
    assert_eq!(fixture.other().await.pending(10).await.unwrap().len(), 1, "its own");
    fixture.write("update dp_outbox set put_at = put_at - interval '11 seconds'").await;
    assert_eq!(fixture.other().await.pending(10).await.unwrap().len(), 2, "nobody took it");
    assert_eq!(fixture.number("select count(*) from dp_outbox where origin = 0").await, 0);
}

#[tokio::test]
async fn a_name_that_the_server_would_cut_is_shortened_by_us() {
    let database = Database::new().await;
    let store = database.store().await;
    let long = "a_name_of_forty_eight_bytes_which_is_the_longest";
    let source = PRODUCT
        .replace("view.city_hour]", &format!("view.{long}]"))
        .replace("view = \"city_hour\"", &format!("view = \"{long}\""))
        .replace("view.kind_day]", "view.a_name_of_forty_eight_bytes_which_is_the_longes2]");
    let contract = compile(&source);
    store.apply_contract(&contract, NOW).await.unwrap();
    let fixture = Fixture {
        contract: store.contracts().await.unwrap().remove(0),
        store: Arc::new(store),
        place: Box::new(database),
    };
    fixture.ingest(&[row(1, "oslo", 1, 1)]).await;
    let tables = "select count(*) from pg_class where relname like 'v\\_air\\_%' and relkind = 'r'";
    assert_eq!(fixture.number(tables).await, 2);
}
