//! The tables of jobs other than batches, of dead letters, and of what workers tell each other.

pub(super) const TABLES: &str = r#"
create table dp_job(
  id uuid primary key,
  tenant text collate "C" not null, product text collate "C" not null,
  kind text collate "C" not null,
  schema bigint not null,
  lane text not null,
  release text,
  arm text not null,
  cohort bigint,
  traceparent text,
  idem_key text collate "C",
  state text not null
    check(state in ('accepted', 'running', 'applied', 'failed', 'cancelled', 'dead')),
  generation bigint not null default 0,
  fence bigint not null default 0,
  attempts bigint not null default 0,
  crashes bigint not null default 0,
  worker text,
  lease_until bigint,
  cancel boolean not null default false,
  body text,
  progress text,
  result text,
  error text,
  enqueued_at bigint not null,
  touched_at bigint not null,
  run_at bigint,
  deadline bigint,
  finished_at bigint
) with (fillfactor = 70);
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

-- Bodies that no message carries.
create table dp_job_body(
  job uuid primary key references dp_job(id) on delete cascade,
  body text not null
);

-- Jobs that ended: what is delivered once more finds itself here.
create table dp_inbox(
  job uuid not null, generation bigint not null,
  at bigint not null,
  primary key(job, generation)
);
create index dp_inbox_at on dp_inbox(at);

create table dp_probe(
  run uuid not null, n bigint not null,
  times bigint not null default 0,
  at bigint not null,
  primary key(run, n)
);
create index dp_probe_at on dp_probe(at);

-- `key` is what makes a letter unique: job and generation, or a digest of what can't be read.
create table dp_dead(
  no bigint generated always as identity primary key,
  key bytea not null unique,
  job uuid, generation bigint not null default 0,
  kind text, lane text, tenant text, product text, release text,
  reason text not null, code text not null,
  error_chain text not null,
  attempts bigint not null,
  headers text not null,
  raw bytea not null,
  died_at bigint not null, filed_at bigint not null,
  state text not null default 'open' check(state in ('open', 'requeued', 'discarded')),
  decided_at bigint, decided_by text
);
create index dp_dead_open on dp_dead(no) where state = 'open';
create index dp_dead_decided on dp_dead(decided_at) where decided_at is not null;
create index dp_dead_job on dp_dead(job) where job is not null;

-- `heat` is the base-2 logarithm of the decayed requests plus the time in half-lives: it compares
-- keys at any time without being touched as time goes by.
create table dp_hot(
  no bigint generated always as identity primary key,
  product text collate "C" not null,
  key text not null,
  -- SHA-256: a key may be longer than an index takes.
  digest bytea not null,
  tenant text collate "C" not null,
  document text not null,
  tags text not null,
  heat double precision not null,
  reported_at bigint not null,
  unique(product, digest)
);
create index dp_hot_heat on dp_hot(product, heat);
create table dp_hot_tag(
  tag text collate "C" not null,
  hot bigint not null references dp_hot(no) on delete cascade,
  primary key(tag, hot)
);
create index dp_hot_tag_by_key on dp_hot_tag(hot);

create table dp_canary(
  release text collate "C" not null primary key,
  epoch bigint not null,
  revoked_at bigint not null
);

create table dp_worker(
  id text collate "C" not null primary key,
  beat text not null,
  seen_at bigint not null
) with (fillfactor = 50);

-- Short jobs that may have ended the process that ran them.
create table dp_suspect(
  job uuid not null, generation bigint not null,
  times bigint not null,
  at bigint not null,
  primary key(job, generation)
);
create index dp_suspect_at on dp_suspect(at);
"#;
