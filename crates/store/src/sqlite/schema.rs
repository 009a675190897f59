//! The tables that every store has, whatever its products.

mod job;
mod step;

use rusqlite::{Connection, OptionalExtension as _};

use crate::StoreError;
use crate::identity::Identity;

/// Version of the statements below; raised with each change, which brings its own step.
const VERSION: i64 = 3;

const TABLES: &str = "
create table dp_meta(
  id integer primary key check(id = 1),
  schema integer not null,
  incarnation text not null,
  scope_secret blob not null
) strict;

-- Commits that changed a product, counted without gaps in the order of commits.
create table dp_seq(
  tenant text not null, product text not null,
  seq integer not null,
  applied_at integer not null,
  primary key(tenant, product)
) strict, without rowid;

create table dp_contract(
  product text not null, version integer not null,
  hash text not null,
  source text not null,
  applied_at integer not null,
  primary key(product, version)
) strict, without rowid;

-- Tables that contracts brought: what they hold, and from which contract on.
create table dp_table(
  name text not null primary key,
  product text not null,
  shape text not null,
  since integer not null,
  live integer not null
) strict, without rowid;

create table dp_batch(
  no integer primary key,
  id blob not null,
  tenant text not null, product text not null, dataset text not null,
  contract integer not null,
  idem_key text,
  fingerprint blob not null,
  traceparent text,
  release text,
  cohort integer,
  state text not null check(state in ('accepted', 'running', 'applied', 'failed', 'dead')),
  generation integer not null default 0,
  fence integer not null default 0,
  attempts integer not null default 0,
  unfinished integer not null default 0,
  rows_sent integer not null,
  rows_new integer not null default 0,
  rows_duplicate integer not null default 0,
  rows_late integer not null default 0,
  rows_rejected integer not null,
  received_at integer not null,
  touched_at integer not null,
  finished_at integer,
  payload_until integer,
  applied_seq integer,
  error text,
  unique(tenant, product, dataset, idem_key)
) strict;
create index dp_batch_by_id on dp_batch(id);
create index dp_batch_waiting on dp_batch(touched_at) where state in ('accepted', 'running');
create index dp_batch_payload on dp_batch(payload_until) where payload_until is not null;
create index dp_batch_by_product on dp_batch(tenant, product, id);
create index dp_batch_key on dp_batch(finished_at)
  where idem_key is not null and finished_at is not null;
create index dp_batch_ended on dp_batch(rows_rejected > 0, finished_at)
  where finished_at is not null and payload_until is null;

-- Apart from dp_batch: an update of a row rewrites all of it, and a payload is large.
create table dp_payload(
  batch integer primary key references dp_batch(no),
  body blob not null
) strict;

create table dp_quarantine(
  tenant text not null, product text not null,
  batch blob not null, line integer not null,
  raw text not null,
  errors text not null,
  primary key(tenant, product, batch, line)
) strict, without rowid;

create table dp_watermark(
  tenant text not null, product text not null, dataset text not null,
  time integer not null,
  primary key(tenant, product, dataset)
) strict, without rowid;

create table dp_view(
  tenant text not null, product text not null, view text not null, build text not null,
  applied_seq integer not null,
  applied_at integer not null,
  primary key(tenant, product, view, build)
) strict, without rowid;

-- Tags begin with tenant and product.
create table dp_tag(tag text not null primary key, version integer not null) strict, without rowid;

-- `batch` names the job of a line of kind 'job', whether it is a batch or not.
-- AUTOINCREMENT: a relay may mark a line that another one has deleted; its number must never name
-- a newer line.
create table dp_outbox(
  id integer primary key autoincrement,
  kind text not null check(kind in ('job', 'purge', 'cache', 'event')),
  batch blob,
  body text not null,
  origin integer not null default 0
) strict;
create index dp_outbox_by_batch on dp_outbox(batch) where batch is not null;

create table dp_token(
  name text not null primary key,
  digest text not null unique,
  tenant text not null,
  scopes text not null,
  created_at integer not null
) strict, without rowid;
";

/// Creates what is missing and returns who this store is.
pub(super) fn migrate(sql: &Connection) -> Result<Identity, StoreError> {
    let exists: bool = sql
        .prepare("select exists(select 1 from sqlite_schema where name = 'dp_meta')")?
        .query_row((), |row| row.get(0))?;
    if !exists {
        create(sql)?;
    }
    let known = sql
        .prepare("select schema, incarnation, scope_secret from dp_meta")?
        .query_row((), |row| {
            let incarnation: String = row.get(1)?;
            let secret: Vec<u8> = row.get(2)?;
            let identity =
                Identity { incarnation: incarnation.into(), scope_secret: secret.into() };
            Ok((row.get::<_, i64>(0)?, identity))
        })
        .optional()?;
    match known {
        Some((VERSION, identity)) => Ok(identity),
        Some((version @ 1..VERSION, identity)) => {
            step::climb(sql, version)?;
            Ok(identity)
        }
        Some((found, _)) => Err(StoreError::Newer { found, known: VERSION }),
        None => Err(StoreError::Corrupt { what: "schema", reason: "dp_meta is empty".to_owned() }),
    }
}

fn create(sql: &Connection) -> Result<(), StoreError> {
    let identity = Identity::random()?;
    sql.execute_batch(TABLES)?;
    sql.execute_batch(job::TABLES)?;
    sql.prepare("insert into dp_meta values(1, ?1, ?2, ?3)")?.execute((
        VERSION,
        &*identity.incarnation,
        &*identity.scope_secret,
    ))?;
    Ok(())
}
