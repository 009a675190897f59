//! The tables of jobs other than batches, of dead letters, and of what workers tell each other.

pub(super) const TABLES: &str = "
create table dp_job(
  no integer primary key,
  id blob not null unique,
  tenant text not null, product text not null, kind text not null,
  schema integer not null,
  lane text not null,
  release text,
  arm text not null,
  cohort integer,
  traceparent text,
  idem_key text,
  state text not null
    check(state in ('accepted', 'running', 'applied', 'failed', 'cancelled', 'dead')),
  generation integer not null default 0,
  fence integer not null default 0,
  attempts integer not null default 0,
  crashes integer not null default 0,
  worker text,
  lease_until integer,
  cancel integer not null default 0,
  body text,
  progress text,
  result text,
  error text,
  enqueued_at integer not null,
  touched_at integer not null,
  run_at integer,
  deadline integer,
  finished_at integer
) strict;
create unique index dp_job_key on dp_job(tenant, product, kind, idem_key)
  where idem_key is not null;
create index dp_job_by_product on dp_job(tenant, product, id);
create index dp_job_due on dp_job(run_at) where run_at is not null;
create index dp_job_waiting on dp_job(lane, enqueued_at) where state in ('accepted', 'running');
create index dp_job_lost on dp_job(touched_at) where state = 'accepted' and run_at is null;
create index dp_job_lease on dp_job(lease_until) where state = 'running';
create index dp_job_ended on dp_job(finished_at) where state in ('applied', 'failed', 'cancelled');
create index dp_job_keyed on dp_job(finished_at)
  where idem_key is not null and finished_at is not null;

-- Bodies that no message carries. Apart from dp_job: an update of a row rewrites all of it.
create table dp_job_body(
  job integer primary key references dp_job(no) on delete cascade,
  body text not null
) strict;

-- Jobs that ended: what is delivered once more finds itself here.
create table dp_inbox(
  job blob not null, generation integer not null,
  at integer not null,
  primary key(job, generation)
) strict, without rowid;
create index dp_inbox_at on dp_inbox(at);

create table dp_probe(
  run blob not null, n integer not null,
  times integer not null default 0,
  at integer not null,
  primary key(run, n)
) strict, without rowid;
create index dp_probe_at on dp_probe(at);

-- `key` is what makes a letter unique: job and generation, or a digest of what can't be read.
create table dp_dead(
  no integer primary key autoincrement,
  key blob not null unique,
  job blob, generation integer not null default 0,
  kind text, lane text, tenant text, product text, release text,
  reason text not null, code text not null,
  error_chain text not null,
  attempts integer not null,
  headers text not null,
  raw blob not null,
  died_at integer not null, filed_at integer not null,
  state text not null default 'open' check(state in ('open', 'requeued', 'discarded')),
  decided_at integer, decided_by text
) strict;
create index dp_dead_open on dp_dead(no) where state = 'open';
create index dp_dead_decided on dp_dead(decided_at) where decided_at is not null;
create index dp_dead_job on dp_dead(job) where job is not null;

-- `heat` is the base-2 logarithm of the decayed requests plus the time in half-lives: it compares
-- keys at any time without being touched as time goes by.
create table dp_hot(
  no integer primary key,
  product text not null,
  key text not null,
  tenant text not null,
  document text not null,
  tags text not null,
  heat real not null,
  reported_at integer not null,
  unique(product, key)
) strict;
create index dp_hot_heat on dp_hot(product, heat);
create table dp_hot_tag(
  tag text not null,
  hot integer not null references dp_hot(no) on delete cascade,
  primary key(tag, hot)
) strict, without rowid;
create index dp_hot_tag_by_key on dp_hot_tag(hot);

create table dp_canary(
  release text not null primary key,
  epoch integer not null,
  revoked_at integer not null
) strict, without rowid;

create table dp_worker(
  id text not null primary key,
  beat text not null,
  seen_at integer not null
) strict, without rowid;

-- Short jobs that may have ended the process that ran them.
create table dp_suspect(
  job blob not null, generation integer not null,
  times integer not null,
  at integer not null,
  primary key(job, generation)
) strict, without rowid;
create index dp_suspect_at on dp_suspect(at);
";
