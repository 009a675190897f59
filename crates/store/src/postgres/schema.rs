//! The tables that every store has, whatever its products.

mod job;

use std::time::Duration;

use crate::StoreError;
use crate::identity::Identity;
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Pool, Session};

/// Version of the statements below; raised with each change, which brings its own step.
const VERSION: i64 = 1;

/// Who creates or changes tables holds this lock.
const LOCK: &str = "select pg_advisory_xact_lock(8391467203945127)";

/// The longest that creating or changing tables may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Text is compared by its bytes, as this program and the other engine do.
const TABLES: &str = r#"
create table dp_meta(
  id int primary key check(id = 1),
  schema bigint not null,
  incarnation text not null,
  scope_secret bytea not null
);

-- Commits that changed a product, counted without gaps in the order of commits. Its row is locked
-- from the moment its number is taken until the commit.
create table dp_seq(
  tenant text collate "C" not null, product text collate "C" not null,
  seq bigint not null,
  applied_at bigint not null,
  primary key(tenant, product)
) with (fillfactor = 50);

create table dp_contract(
  product text collate "C" not null, version bigint not null,
  hash text not null,
  source text not null,
  applied_at bigint not null,
  primary key(product, version)
);

-- Tables that contracts brought: what they hold, and from which contract on.
create table dp_table(
  name text collate "C" not null primary key,
  product text collate "C" not null,
  shape text not null,
  since bigint not null,
  live boolean not null
);

create table dp_batch(
  id uuid primary key,
  tenant text collate "C" not null, product text collate "C" not null,
  dataset text collate "C" not null,
  contract bigint not null,
  idem_key text collate "C",
  fingerprint bytea not null,
  traceparent text,
  release text,
  cohort bigint,
  state text not null check(state in ('accepted', 'running', 'applied', 'failed', 'dead')),
  generation bigint not null default 0,
  fence bigint not null default 0,
  attempts bigint not null default 0,
  unfinished bigint not null default 0,
  rows_sent bigint not null,
  rows_new bigint not null default 0,
  rows_duplicate bigint not null default 0,
  rows_late bigint not null default 0,
  rows_rejected bigint not null,
  received_at bigint not null,
  touched_at bigint not null,
  finished_at bigint,
  payload_until bigint,
  applied_seq bigint,
  error text,
  unique(tenant, product, dataset, idem_key)
) with (fillfactor = 70);
create index dp_batch_waiting on dp_batch(touched_at) where state in ('accepted', 'running');
create index dp_batch_payload on dp_batch(payload_until) where payload_until is not null;
create index dp_batch_by_product on dp_batch(tenant, product, id);
create index dp_batch_key on dp_batch(finished_at)
  where idem_key is not null and finished_at is not null;
create index dp_batch_ended on dp_batch((rows_rejected > 0), finished_at)
  where finished_at is not null and payload_until is null;

create table dp_payload(
  batch uuid primary key references dp_batch(id),
  body bytea not null
);
-- Payloads are compressed already.
alter table dp_payload alter column body set storage external;

create table dp_quarantine(
  tenant text collate "C" not null, product text collate "C" not null,
  batch uuid not null, line bigint not null,
  raw text not null,
  errors text not null,
  primary key(tenant, product, batch, line)
);

create table dp_watermark(
  tenant text collate "C" not null, product text collate "C" not null,
  dataset text collate "C" not null,
  time bigint not null,
  primary key(tenant, product, dataset)
) with (fillfactor = 50);

create table dp_view(
  tenant text collate "C" not null, product text collate "C" not null,
  view text collate "C" not null, build text collate "C" not null,
  applied_seq bigint not null,
  applied_at bigint not null,
  primary key(tenant, product, view, build)
) with (fillfactor = 50);

-- Tags begin with tenant and product.
create table dp_tag(
  tag text collate "C" not null primary key,
  version bigint not null
) with (fillfactor = 50);

-- `batch` names the job of a line of kind 'job', whether it is a batch or not.
-- A line belongs to the process that put it, until that one has let it lie for too long.
create table dp_outbox(
  id bigint generated always as identity primary key,
  kind text not null check(kind in ('job', 'purge', 'cache', 'event')),
  batch uuid,
  body text not null,
  origin bigint not null default 0,
  put_at timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create index dp_outbox_by_origin on dp_outbox(origin, id);
create index dp_outbox_by_batch on dp_outbox(batch) where batch is not null;
create index dp_outbox_by_age on dp_outbox(put_at);

create table dp_token(
  name text collate "C" not null primary key,
  digest text collate "C" not null unique,
  tenant text collate "C" not null,
  scopes text not null,
  created_at bigint not null
);
"#;

/// Creates what is missing and returns who this store is.
pub(super) async fn migrate(pool: &Pool) -> Result<Identity, Fault> {
    let session = pool.begin(LIMIT).await?;
    if let Some(identity) = known(&session).await? {
        return Ok(identity);
    }
    session.batch(LOCK).await?;
    // Somebody else may have been quicker.
    if let Some(identity) = known(&session).await? {
        return Ok(identity);
    }
    let identity = create(&session).await?;
    session.commit().await?;
    Ok(identity)
}

/// Returns who the store is, if its tables are there and as this build knows them.
async fn known(session: &Session<'_>) -> Result<Option<Identity>, Fault> {
    let exists =
        session.query_one("select to_regclass('tidegate.dp_meta') is not null", &[]).await?;
    if !exists.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let row =
        session.query_opt("select schema, incarnation, scope_secret from dp_meta", &[]).await?;
    let Some(row) = row else {
        let reason = "dp_meta is empty".to_owned();
        return Err(StoreError::Corrupt { what: "schema", reason }.into());
    };
    match row.try_get(0)? {
        VERSION => Ok(Some(Identity {
            incarnation: row.try_get::<_, String>(1)?.into(),
            scope_secret: row.try_get::<_, Vec<u8>>(2)?.into(),
        })),
        found => Err(StoreError::Newer { found, known: VERSION }.into()),
    }
}

async fn create(session: &Session<'_>) -> Result<Identity, Fault> {
    let identity = Identity::random()?;
    // Asked for first: creating what is there needs the right to all the same.
    let exists = session.query_one("select to_regnamespace('tidegate') is not null", &[]).await?;
    if !exists.try_get::<_, bool>(0)? {
        session.batch("create schema tidegate").await?;
    }
    session.batch(TABLES).await?;
    session.batch(job::TABLES).await?;
    session
        .execute(
            "insert into dp_meta values(1, $1, $2, $3)",
            &[&VERSION, &&*identity.incarnation, &&*identity.scope_secret],
        )
        .await?;
    Ok(identity)
}
