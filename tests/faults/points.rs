//! Fail points: one more process beside the stack's takes part in the work and ends itself at one
//! place of the protocol. The others go on with what it held.

use e2e::{FailPoint, Load, Mix, Servers, Stack, Tally};

use crate::table::{Goal, Table};

/// Comes to each place once.
pub(crate) async fn measure(table: &mut Table) {
    let servers = Servers::new().await;
    let stack = Stack::start_on(&servers, &[]).await;
    for point in FailPoint::ALL {
        let load = Load::start(&stack, &servers, Mix::Flaky);
        point.reached(&stack).await;
        let tally = Tally::settled(&servers, &load.stop().await).await;
        let left = tally.batches + tally.failed + tally.outbox + tally.dead;
        let name = point.name();
        table.figure(&format!("{name}: jobs done"), Goal::AtLeast(1), tally.done);
        table.figure(&format!("{name}: lost"), Goal::Exactly(0), tally.lost);
        table.figure(&format!("{name}: done twice"), Goal::Exactly(0), tally.duplicated);
        table.figure(&format!("{name}: left over"), Goal::Exactly(0), left);
    }
}
