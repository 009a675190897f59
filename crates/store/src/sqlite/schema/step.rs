//! Steps from older versions of the schema to the present one.

use rusqlite::Connection;

use super::job;
use crate::StoreError;

/// From version 1: a line of the outbox names the process that put it.
const TO_VERSION_2: &str = "
alter table dp_outbox add column origin integer not null default 0;
";

/// From version 2: batches can be dead. A column's check can't be altered otherwise
/// (<https://www.sqlite.org/lang_altertable.html#otheralter>); the statements that follow make
/// SQLite read the table's text anew.
const BATCHES_CAN_BE_DEAD: &str = "
pragma writable_schema = on;
update sqlite_schema
  set sql = replace(sql, '''applied'', ''failed'')', '''applied'', ''failed'', ''dead'')')
  where type = 'table' and name = 'dp_batch';
pragma writable_schema = reset;
";

/// From version 2: batches carry release and cohort, and count claims that never ended.
const TO_VERSION_3: &str = "
alter table dp_batch add column release text;
alter table dp_batch add column cohort integer;
alter table dp_batch add column generation integer not null default 0;
alter table dp_batch add column unfinished integer not null default 0;
create index dp_batch_by_product on dp_batch(tenant, product, id);
create index dp_batch_key on dp_batch(finished_at)
  where idem_key is not null and finished_at is not null;
create index dp_batch_ended on dp_batch(rows_rejected > 0, finished_at)
  where finished_at is not null and payload_until is null;
";

/// Climbs from `version` to the present one.
pub(super) fn climb(sql: &Connection, version: i64) -> Result<(), StoreError> {
    if version < 2 {
        sql.execute_batch(TO_VERSION_2)?;
    }
    if version < 3 {
        sql.execute_batch(BATCHES_CAN_BE_DEAD)?;
        sql.execute_batch(TO_VERSION_3)?;
        sql.execute_batch(job::TABLES)?;
    }
    sql.prepare("update dp_meta set schema = ?1")?.execute((super::VERSION,))?;
    Ok(())
}
