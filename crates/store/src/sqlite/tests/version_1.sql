-- The tables of a file of version 1, with a batch that waits.
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
  state text not null check(state in ('accepted', 'running', 'applied', 'failed')),
  fence integer not null default 0,
  attempts integer not null default 0,
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

-- AUTOINCREMENT: a relay may mark a line that another one has deleted; its number must never name
-- a newer line.
create table dp_outbox(
  id integer primary key autoincrement,
  kind text not null check(kind in ('job', 'purge', 'cache', 'event')),
  batch blob,
  body text not null
) strict;
create index dp_outbox_by_batch on dp_outbox(batch) where batch is not null;

create table dp_token(
  name text not null primary key,
  digest text not null unique,
  tenant text not null,
  scopes text not null,
  created_at integer not null
) strict, without rowid;

insert into dp_meta values(1, 1, 'abcdef01', zeroblob(32));
insert into dp_batch(id, tenant, product, dataset, contract, fingerprint, state, rows_sent,
    rows_rejected, received_at, touched_at)
  values(x'01020304050607080102030405060708', 'acme', 'air', 'readings', 1, zeroblob(32), 'accepted', 1,
    0, 1, 1);
insert into dp_payload values(1, x'00');
