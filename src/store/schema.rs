//! The tables, and the way from each older schema to the newest: one step each, in order.
//!
//! A step that was released is never edited: what comes later is a step of its own.

use rusqlite::Connection;

/// Marks a file as ours (`PRAGMA application_id`): the ASCII of `AvWa`.
pub(super) const APPLICATION_ID: i64 = 0x4176_5761;

/// The steps; the schema's number (`PRAGMA user_version`) is how many have been taken.
pub(super) const MIGRATIONS: &[&str] = &[FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH];

/// The newest schema of this program.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// An empty database in memory, as this program makes it up to that schema.
pub(super) fn model(schema: i64) -> rusqlite::Result<Connection> {
    let model = Connection::open_in_memory()?;
    let steps = usize::try_from(schema).unwrap_or(0);
    MIGRATIONS.iter().take(steps).try_for_each(|step| model.execute_batch(step))?;
    Ok(model)
}

/// `deliveries.lease_until` is left from a program that wrote it and never read it: a try is
/// limited by whoever makes it, and one whose process died is known by `lease_owner`.
const FIRST: &str = "
CREATE TABLE watches(
  avatar_id       TEXT PRIMARY KEY,
  name            TEXT,
  status          TEXT,
  status_since    INTEGER,
  last_seen_at    INTEGER,
  sequence        INTEGER NOT NULL DEFAULT 0,
  trouble         TEXT CHECK(trouble IN ('missing','denied','throttled','failed')),
  trouble_since   INTEGER,
  trouble_reason  TEXT,
  CHECK((status IS NULL) = (status_since IS NULL)),
  CHECK((status IS NULL) = (last_seen_at IS NULL)),
  CHECK((trouble IS NULL) = (trouble_since IS NULL))
) STRICT;

CREATE TABLE transitions(
  seq                   INTEGER PRIMARY KEY AUTOINCREMENT,
  avatar_id             TEXT NOT NULL,
  avatar_seq            INTEGER NOT NULL,
  from_status           TEXT,
  from_assumed          INTEGER NOT NULL DEFAULT 0 CHECK(from_assumed IN (0,1)),
  to_status             TEXT NOT NULL,
  last_seen_previous_at INTEGER,
  detected_at           INTEGER NOT NULL,
  upstream_updated_at   TEXT,
  hash                  BLOB NOT NULL,
  UNIQUE(avatar_id, avatar_seq)
) STRICT;

CREATE TABLE events(
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT NOT NULL UNIQUE,
  type        TEXT NOT NULL,
  avatar_id   TEXT,
  avatar_seq  INTEGER,
  occurred_at INTEGER NOT NULL,
  body        BLOB NOT NULL,
  replay_of   TEXT,
  FOREIGN KEY(avatar_id, avatar_seq) REFERENCES transitions(avatar_id, avatar_seq)
) STRICT;
CREATE UNIQUE INDEX events_transition ON events(avatar_id, avatar_seq) WHERE replay_of IS NULL;

CREATE TABLE channels(
  id                   TEXT PRIMARY KEY,
  target_fp            TEXT NOT NULL,
  state                TEXT NOT NULL DEFAULT 'active'
                       CHECK(state IN ('active','paused','disabled')),
  reason               TEXT,
  not_before           INTEGER NOT NULL DEFAULT 0,
  first_failure_at     INTEGER,
  consecutive_failures INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE deliveries(
  seq             INTEGER PRIMARY KEY AUTOINCREMENT,
  id              TEXT NOT NULL UNIQUE,
  event_id        TEXT NOT NULL REFERENCES events(id),
  avatar_id       TEXT NOT NULL,
  channel_id      TEXT NOT NULL REFERENCES channels(id),
  recipient       TEXT NOT NULL DEFAULT '',
  replay          INTEGER NOT NULL DEFAULT 0,
  content_type    TEXT NOT NULL,
  body            BLOB NOT NULL,
  state           TEXT NOT NULL
                  CHECK(state IN ('pending','sending','delivered','failed','cancelled')),
  attempts        INTEGER NOT NULL DEFAULT 0,
  budget_used     INTEGER NOT NULL DEFAULT 0,
  uncharged       INTEGER NOT NULL DEFAULT 0,
  unknowns        INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER,
  expires_at      INTEGER NOT NULL,
  lease_owner     TEXT,
  lease_until     INTEGER,
  final_reason    TEXT,
  last_class      TEXT,
  last_code       INTEGER,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  UNIQUE(event_id, channel_id, recipient, replay),
  CHECK((state = 'pending') = (next_attempt_at IS NOT NULL)),
  CHECK((state = 'sending') = (lease_owner IS NOT NULL))
) STRICT;
CREATE INDEX deliveries_due  ON deliveries(channel_id, next_attempt_at, seq)
  WHERE state = 'pending';
CREATE INDEX deliveries_line ON deliveries(channel_id, recipient, avatar_id, seq)
  WHERE state IN ('pending','sending');
CREATE INDEX deliveries_event ON deliveries(event_id);

CREATE TABLE attempts(
  delivery_id      TEXT NOT NULL REFERENCES deliveries(id),
  no               INTEGER NOT NULL,
  trigger          TEXT NOT NULL CHECK(trigger IN ('scheduled','manual')),
  started_at       INTEGER NOT NULL,
  finished_at      INTEGER,
  outcome          TEXT,
  phase            TEXT,
  code             INTEGER,
  latency_ms       INTEGER,
  retry_after_s    INTEGER,
  error            TEXT,
  response_snippet TEXT,
  boot_id          TEXT NOT NULL,
  PRIMARY KEY(delivery_id, no)
) STRICT, WITHOUT ROWID;
";

const SECOND: &str = "
ALTER TABLE watches ADD COLUMN model TEXT;
ALTER TABLE watches ADD COLUMN next_look_at INTEGER;

CREATE TABLE conditions(
  kind     TEXT NOT NULL,
  subject  TEXT NOT NULL,
  since    INTEGER NOT NULL,
  cause    TEXT,
  reason   TEXT,
  event_id TEXT NOT NULL REFERENCES events(id),
  PRIMARY KEY(kind, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE trainings(
  seq           INTEGER PRIMARY KEY AUTOINCREMENT,
  avatar_id     TEXT NOT NULL,
  model         TEXT,
  lasted_min_ms INTEGER NOT NULL,
  lasted_max_ms INTEGER NOT NULL,
  status        TEXT NOT NULL,
  ended_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX trainings_model ON trainings(model, seq);

CREATE TABLE accounts(
  name      TEXT PRIMARY KEY,
  listed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE discovered(
  avatar_id TEXT PRIMARY KEY,
  account   TEXT NOT NULL,
  at        INTEGER NOT NULL
) STRICT;
CREATE INDEX discovered_account ON discovered(account, avatar_id);

CREATE TABLE config(
  only     INTEGER PRIMARY KEY CHECK(only = 1),
  in_force TEXT NOT NULL
) STRICT;
";

const THIRD: &str = "
ALTER TABLE channels ADD COLUMN probe_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channels ADD COLUMN unproved INTEGER NOT NULL DEFAULT 0 CHECK(unproved IN (0,1));
ALTER TABLE channels ADD COLUMN streak INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channels ADD COLUMN trouble_since INTEGER;
ALTER TABLE channels ADD COLUMN misconfigured_since INTEGER;
ALTER TABLE channels ADD COLUMN failing_since INTEGER;
ALTER TABLE channels ADD COLUMN parked_since INTEGER;
ALTER TABLE channels ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channels ADD COLUMN absent INTEGER NOT NULL DEFAULT 0 CHECK(absent IN (0,1));

ALTER TABLE deliveries ADD COLUMN counted_in INTEGER;
ALTER TABLE deliveries ADD COLUMN probe_of INTEGER;
ALTER TABLE deliveries ADD COLUMN told INTEGER NOT NULL DEFAULT 0 CHECK(told IN (0,1));
UPDATE deliveries SET told = 1 WHERE state = 'failed';
CREATE INDEX deliveries_untold ON deliveries(seq) WHERE state = 'failed' AND told = 0;
";

const FOURTH: &str = "
CREATE TABLE runs(
  only  INTEGER PRIMARY KEY CHECK(only = 1),
  ended INTEGER NOT NULL CHECK(ended IN (0,1))
) STRICT;

CREATE TABLE gaps(
  first_seq INTEGER PRIMARY KEY,
  last_seq  INTEGER NOT NULL,
  before    BLOB NOT NULL,
  hash      BLOB NOT NULL,
  CHECK(first_seq <= last_seq)
) STRICT;
CREATE INDEX events_about ON events(avatar_id, avatar_seq);
ALTER TABLE deliveries ADD COLUMN fallback TEXT;
";

/// The rows that are there already are sealed with this step, in the same transaction. `by_hand` is
/// the number of the try that somebody asked for last; zero where nobody did.
const FIFTH: &str = "
ALTER TABLE events ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
ALTER TABLE deliveries ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
ALTER TABLE deliveries ADD COLUMN by_hand INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET by_hand = 1 WHERE replay > 0 AND attempts = 0;
CREATE INDEX events_replay ON events(replay_of) WHERE replay_of IS NOT NULL;
";

/// `training` of a watch is what is open while it is in a status that nobody knows: older programs
/// did not keep it, so it is found again in the history. `training` of a transition is what is
/// known of a training beyond the status right before it. `recipients` has those that met trouble.
const SIXTH: &str = "
ALTER TABLE transitions ADD COLUMN training TEXT CHECK(training IN ('seen','supposed'));
ALTER TABLE watches ADD COLUMN training TEXT CHECK(training IN ('seen','supposed'));
ALTER TABLE watches ADD COLUMN training_since INTEGER
  CHECK((training_since IS NOT NULL) = (training IS 'seen'));
ALTER TABLE watches ADD COLUMN training_seen_at INTEGER
  CHECK((training_seen_at IS NOT NULL) = (training IS 'seen'));

CREATE TABLE unrecognized(
  avatar_id TEXT NOT NULL,
  status    TEXT NOT NULL,
  told_at   INTEGER NOT NULL,
  PRIMARY KEY(avatar_id, status)
) STRICT, WITHOUT ROWID;

UPDATE watches SET training = 'seen', training_since = t.detected_at,
                   training_seen_at = n.last_seen_previous_at
  FROM transitions t JOIN transitions n
    ON n.avatar_id = t.avatar_id AND n.avatar_seq = t.avatar_seq + 1
  WHERE t.avatar_id = watches.avatar_id AND t.to_status = 'TRAINING'
    AND n.last_seen_previous_at IS NOT NULL
    AND watches.status NOT IN ('NOT_TRAINED','TRAINING','TRAINING_FAILED','IDLE','REFUSED')
    AND t.avatar_seq = (
      SELECT max(avatar_seq) FROM transitions k WHERE k.avatar_id = t.avatar_id
        AND k.to_status IN ('NOT_TRAINED','TRAINING','TRAINING_FAILED','IDLE','REFUSED'));

CREATE TABLE recipients(
  channel_id    TEXT NOT NULL REFERENCES channels(id),
  recipient     TEXT NOT NULL,
  taken_at      INTEGER,
  trouble_since INTEGER,
  failing_since INTEGER,
  reason        TEXT,
  PRIMARY KEY(channel_id, recipient)
) STRICT, WITHOUT ROWID;
";
