//! Puts groups right while others write.
//!
//! Placeholders first: a group that is missing has no row to lock, and what is committed to it
//! between counting and writing would be lost. Then the locks, in the order in which every writer
//! takes them. Counted is by later statements: an earlier one's snapshot may be from before the
//! locks. Whoever adds to a group meanwhile waits, and then adds to what was written.

use std::collections::BTreeSet;

use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use tidegate_core::seq::DataSeq;
use tidegate_product::contract::{Contract, Stored, View};
use tidegate_product::fold::{self, Delta, Value};

use super::{LIMIT, SETTINGS, computed, stored};
use crate::ReconcileRequest;
use crate::postgres::bind::Array;
use crate::postgres::fault::Fault;
use crate::postgres::merge::{Columns, Upsert};
use crate::postgres::pool::{Param, Pool, Session};
use crate::postgres::tables::view_name;
use crate::postgres::{commit, outbox};
use crate::transform::effects::compare_groups;
use crate::transform::plan::Part;
use crate::transform::recompute::{self, Difference, differences};
use crate::transform::space::Space;

/// Puts a part right. It is compared anew: since the snapshot rows may have come, and somebody else
/// may have put it right.
pub(super) async fn repair(
    pool: &Pool,
    incarnation: &str,
    request: &ReconcileRequest,
    part: Part,
    now: Timestamp,
) -> Result<Option<DataSeq>, Fault> {
    let contract = &request.contract.contract;
    let view = &contract.views[request.view];
    let session = pool.begin(LIMIT).await?;
    session.batch(SETTINGS).await?;
    let suspects = compared(&session, request, part).await?;
    let names = suspects.iter().map(|difference| difference.group().to_vec());
    let names: Vec<Vec<Value>> = names.collect();
    lock(&session, contract, view, &request.tenant, &names).await?;
    // Others may have changed while the locks were waited for, but those are not locked.
    let mut found = compared(&session, request, part).await?;
    found.retain(|difference| {
        names.binary_search_by(|name| compare_groups(view, name, difference.group())).is_ok()
    });
    if found.is_empty() {
        return Ok(None);
    }
    overwrite(&session, contract, view, &request.tenant, &found).await?;
    let space = Space { tenant: &request.tenant, product: &contract.name };
    let seq = commit::take_seq(&session, space, now).await?;
    let tags: BTreeSet<String> =
        fold::touched_tags(contract, view, &request.tenant, &recompute::deltas(&found))
            .into_iter()
            .collect();
    commit::touch(&session, &tags, seq).await?;
    let seq = space.at(incarnation, seq);
    let purge = Notice::Purge { seq: seq.clone(), tags: tags.into_iter().collect() };
    outbox::put_notice(&session, purge).await?;
    session.commit().await?;
    Ok(Some(seq))
}

async fn compared(
    session: &Session<'_>,
    request: &ReconcileRequest,
    part: Part,
) -> Result<Vec<Difference>, Fault> {
    let view = &request.contract.contract.views[request.view];
    let stored = stored(session, request, part).await?;
    Ok(differences(view, stored, computed(session, request, part).await?))
}

/// Locks groups, given in the order in which every writer locks them, whether they exist or not.
pub(in crate::postgres) async fn lock(
    session: &Session<'_>,
    contract: &Contract,
    view: &View,
    tenant: &str,
    groups: &[Vec<Value>],
) -> Result<(), Fault> {
    let nothing = |group: &Vec<Value>| Delta {
        group: group.clone(),
        rows: 0,
        stored: view.stored.iter().map(|stored| nothing(*stored)).collect(),
    };
    let placeholders: Vec<Delta> = groups.iter().map(nothing).collect();
    let columns = Columns { contract, view };
    columns.upsert(session, tenant, &placeholders, Upsert::Keep).await?;
    let names = columns.groups(groups.iter().map(Vec::as_slice));
    let mut params: Vec<Param<'_>> = vec![&tenant];
    params.extend(names.iter().map(Array::param));
    let (named, arrays) = columns.named(2);
    let text = format!(
        "select from unnest({arrays}) with ordinality as wanted({named}, _no)
         join {} as kept on kept._tenant = $1{}
         order by _no for update of kept",
        view_name(contract, view),
        columns.same("wanted"),
    );
    session.query(&text, &params).await?;
    Ok(())
}

/// The smallest of nothing is null, and adds nothing to what comes.
fn nothing(stored: Stored) -> Value {
    match stored {
        Stored::Count(_) | Stored::Sum(_) => Value::Int(0),
        Stored::Min(_) | Stored::Max(_) => Value::Null,
    }
}

/// Writes locked groups as they were computed, and drops those without rows: who waits for one of
/// these finds it gone, and inserts it.
pub(in crate::postgres) async fn overwrite(
    session: &Session<'_>,
    contract: &Contract,
    view: &View,
    tenant: &str,
    found: &[Difference],
) -> Result<(), Fault> {
    let columns = Columns { contract, view };
    let computed: Vec<Delta> = found.iter().filter_map(|it| it.computed.clone()).collect();
    columns.upsert(session, tenant, &computed, Upsert::Overwrite).await?;
    let gone: Vec<&[Value]> =
        found.iter().filter(|it| it.computed.is_none()).map(Difference::group).collect();
    let names = columns.groups(gone.iter().copied());
    let mut params: Vec<Param<'_>> = vec![&tenant];
    params.extend(names.iter().map(Array::param));
    let (named, arrays) = columns.named(2);
    let text = format!(
        "delete from {} as kept using unnest({arrays}) as gone({named})
         where kept._tenant = $1{}",
        view_name(contract, view),
        columns.same("gone"),
    );
    session.execute(&text, &params).await?;
    Ok(())
}
