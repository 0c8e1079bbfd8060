//! The schema: one migration for each version, in order.
//!
//! A released migration is never edited; a later change is a new migration.

use rusqlite::Connection;

/// The `PRAGMA application_id` of a database: the ASCII of `AvWa`.
pub(super) const APPLICATION_ID: i64 = 0x4176_5761;

/// The migrations; the schema version (`PRAGMA user_version`) is the number of applied ones.
pub(super) const MIGRATIONS: &[&str] = &[FIRST];

/// The newest schema version of this program.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// An empty database in memory with the schema of that version.
pub(super) fn reference_schema(schema: i64) -> rusqlite::Result<Connection> {
    let model = Connection::open_in_memory()?;
    let steps = usize::try_from(schema).unwrap_or(0);
    MIGRATIONS.iter().take(steps).try_for_each(|step| model.execute_batch(step))?;
    Ok(model)
}

/// `history.history_id` is random, and different in each copy of the database, so that a client can
/// detect that its sequence numbers belong to another history. `pruned_count` and `pruned_up_to`
/// are the number and the last sequence number of the transitions that the retention removed.
///
/// A watch with `forgotten_at` is hidden until the avatar is watched again; its history stays.
/// `watches.training` is the training that is open while the status is unrecognized;
/// `transitions.training` is what is known of a training before the previous status. The columns
/// `trained_…` are the observed training that ended: its model, the last poll before it, and the
/// first and the last poll that showed it. `recipients` has one row for each recipient with a
/// completed attempt. `events.title` is what a person reads in a list.
///
/// `deliveries.manual_attempt` is the number of the attempt that an operator requested last, or
/// zero; `resent_as` is the delivery that sends a dead letter again; `blocked` is 1 while an older
/// delivery with the same channel, recipient and ordering key is not finished; `body` is null if it
/// is that of the event. `events_transition` allows one event of a transition, and any number of
/// replays. `conditions` has the
/// firing conditions; `event_id` and `notified_at` are null until the event of the group is
/// published.
const FIRST: &str = "
CREATE TABLE watches(
  avatar_id        TEXT PRIMARY KEY,
  name             TEXT,
  model            TEXT,
  status           TEXT,
  status_since     INTEGER,
  status_after     INTEGER,
  status_updated_at TEXT,
  last_seen_at     INTEGER,
  sequence         INTEGER NOT NULL DEFAULT 0,
  failure          TEXT CHECK(failure IN ('missing','denied','throttled','failed')),
  failure_since    INTEGER,
  failure_reason   TEXT,
  next_poll_at     INTEGER,
  forgotten_at     INTEGER,
  training         TEXT CHECK(training IN ('seen','supposed')),
  training_after   INTEGER CHECK(training_after IS NULL OR training IS 'seen'),
  training_since   INTEGER CHECK((training_since IS NOT NULL) = (training IS 'seen')),
  training_seen_at INTEGER CHECK((training_seen_at IS NOT NULL) = (training IS 'seen')),
  CHECK((status IS NULL) = (status_since IS NULL)),
  CHECK((status IS NULL) = (last_seen_at IS NULL)),
  CHECK(status_after IS NULL OR status IS NOT NULL),
  CHECK((failure IS NULL) = (failure_since IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE transitions(
  seq                   INTEGER PRIMARY KEY AUTOINCREMENT,
  avatar_id             TEXT NOT NULL,
  avatar_seq            INTEGER NOT NULL,
  from_status           TEXT,
  from_assumed          INTEGER NOT NULL DEFAULT 0 CHECK(from_assumed IN (0,1)),
  to_status             TEXT NOT NULL,
  training              TEXT CHECK(training IN ('seen','supposed')),
  last_seen_previous_at INTEGER,
  detected_at           INTEGER NOT NULL,
  upstream_updated_at   TEXT,
  trained_model         TEXT,
  trained_after         INTEGER,
  trained_since         INTEGER,
  trained_until         INTEGER,
  UNIQUE(avatar_id, avatar_seq),
  CHECK((trained_since IS NULL) = (trained_until IS NULL)),
  CHECK(trained_since IS NOT NULL OR (trained_after IS NULL AND trained_model IS NULL))
) STRICT;
CREATE INDEX transitions_trained ON transitions(trained_model, seq)
  WHERE trained_since IS NOT NULL;

CREATE TABLE history(
  id           INTEGER PRIMARY KEY CHECK(id = 1),
  history_id   INTEGER NOT NULL,
  pruned_count INTEGER NOT NULL DEFAULT 0,
  pruned_up_to INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO history(id, history_id) VALUES(1, random());

CREATE TABLE events(
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT NOT NULL UNIQUE,
  type        TEXT NOT NULL,
  avatar_id   TEXT,
  avatar_seq  INTEGER,
  occurred_at INTEGER NOT NULL,
  title       TEXT NOT NULL DEFAULT '',
  body        BLOB NOT NULL,
  replay_of   TEXT,
  FOREIGN KEY(avatar_id, avatar_seq) REFERENCES transitions(avatar_id, avatar_seq)
) STRICT;
CREATE UNIQUE INDEX events_transition
  ON events(avatar_id, avatar_seq, iif(replay_of IS NULL, '', id));
CREATE INDEX events_replay ON events(replay_of) WHERE replay_of IS NOT NULL;

CREATE TABLE channels(
  id                  TEXT PRIMARY KEY,
  target_fp           TEXT NOT NULL,
  unconfigured        INTEGER NOT NULL DEFAULT 0 CHECK(unconfigured IN (0,1)),
  state               TEXT NOT NULL DEFAULT 'active'
                      CHECK(state IN ('active','paused','disabled')),
  reason              TEXT,
  not_before          INTEGER NOT NULL DEFAULT 0,
  probe_at            INTEGER NOT NULL DEFAULT 0,
  half_open           INTEGER NOT NULL DEFAULT 0 CHECK(half_open IN (0,1)),
  failure_run         INTEGER NOT NULL DEFAULT 0,
  failed_deliveries   INTEGER NOT NULL DEFAULT 0,
  failure_since       INTEGER,
  counted_since       INTEGER,
  misconfigured_since INTEGER,
  failing_since       INTEGER,
  suspended_since     INTEGER,
  delivered_at        INTEGER,
  paused_until        INTEGER,
  pause_reason        TEXT,
  updated_at          INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE recipients(
  channel_id    TEXT NOT NULL REFERENCES channels(id),
  recipient     TEXT NOT NULL,
  accepted_at   INTEGER,
  failure_since INTEGER,
  failing_since INTEGER,
  reason        TEXT,
  PRIMARY KEY(channel_id, recipient)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries(
  seq                 INTEGER PRIMARY KEY AUTOINCREMENT,
  id                  TEXT NOT NULL UNIQUE,
  event_id            TEXT NOT NULL REFERENCES events(id),
  ordering_key        TEXT NOT NULL,
  channel_id          TEXT NOT NULL REFERENCES channels(id),
  recipient           TEXT NOT NULL DEFAULT '',
  replay              INTEGER NOT NULL DEFAULT 0,
  content_type        TEXT NOT NULL,
  body                BLOB,
  fallback            TEXT,
  state               TEXT NOT NULL
                      CHECK(state IN ('pending','sending','delivered','dead','resent',
                                      'cancelled')),
  resent_as           TEXT REFERENCES deliveries(id),
  attempts            INTEGER NOT NULL DEFAULT 0,
  charged_attempts    INTEGER NOT NULL DEFAULT 0,
  free_attempts       INTEGER NOT NULL DEFAULT 0,
  unknown_streak      INTEGER NOT NULL DEFAULT 0,
  manual_attempt      INTEGER NOT NULL DEFAULT 0,
  next_attempt_at     INTEGER,
  blocked             INTEGER NOT NULL DEFAULT 0 CHECK(blocked IN (0,1)),
  expires_at          INTEGER NOT NULL,
  due_at_before_probe INTEGER,
  counted_in_run      INTEGER,
  lease_owner         TEXT,
  final_reason        TEXT,
  last_class          TEXT,
  last_code           INTEGER,
  reported            INTEGER NOT NULL DEFAULT 0 CHECK(reported IN (0,1)),
  created_at          INTEGER NOT NULL,
  updated_at          INTEGER NOT NULL,
  UNIQUE(event_id, channel_id, recipient, replay),
  CHECK((state = 'pending') = (next_attempt_at IS NOT NULL)),
  CHECK((state = 'sending') = (lease_owner IS NOT NULL)),
  CHECK((state = 'resent') = (resent_as IS NOT NULL))
) STRICT;
CREATE INDEX deliveries_due ON deliveries(channel_id, next_attempt_at, seq)
  WHERE state = 'pending' AND blocked = 0;
CREATE INDEX deliveries_order ON deliveries(channel_id, recipient, ordering_key, seq)
  WHERE state IN ('pending','sending');
CREATE INDEX deliveries_sending ON deliveries(channel_id) WHERE state = 'sending';
CREATE INDEX deliveries_dead ON deliveries(channel_id, ordering_key) WHERE state = 'dead';
CREATE INDEX deliveries_closed ON deliveries(state, seq) WHERE state IN ('resent','cancelled');
CREATE INDEX deliveries_unreported ON deliveries(seq) WHERE state = 'dead' AND reported = 0;
CREATE INDEX deliveries_resent ON deliveries(resent_as) WHERE resent_as IS NOT NULL;

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

CREATE TABLE conditions(
  kind        TEXT NOT NULL,
  subject     TEXT NOT NULL,
  since       INTEGER NOT NULL,
  account     TEXT,
  cause       TEXT,
  reason      TEXT,
  event_id    TEXT REFERENCES events(id),
  notified_at INTEGER,
  PRIMARY KEY(kind, subject),
  CHECK((event_id IS NULL) = (notified_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX conditions_event ON conditions(event_id) WHERE event_id IS NOT NULL;

CREATE TABLE condition_changes(
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id    TEXT NOT NULL,
  kind        TEXT NOT NULL,
  phase       TEXT NOT NULL CHECK(phase IN ('firing','resolved')),
  account     TEXT NOT NULL,
  cause       TEXT,
  avatar_id   TEXT NOT NULL,
  name        TEXT,
  status      TEXT,
  started_at  INTEGER NOT NULL,
  detected_at INTEGER NOT NULL,
  reason      TEXT
) STRICT;
CREATE INDEX condition_changes_group ON condition_changes(kind, account, detected_at);

CREATE TABLE alert_groups(
  kind         TEXT NOT NULL,
  subject      TEXT NOT NULL,
  published_at INTEGER NOT NULL,
  PRIMARY KEY(kind, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE unrecognized(
  avatar_id   TEXT NOT NULL,
  status      TEXT NOT NULL,
  reported_at INTEGER NOT NULL,
  PRIMARY KEY(avatar_id, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts(
  name      TEXT PRIMARY KEY,
  listed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE discovered(
  avatar_id     TEXT PRIMARY KEY,
  account       TEXT NOT NULL,
  discovered_at INTEGER NOT NULL
) STRICT;
CREATE INDEX discovered_account ON discovered(account, avatar_id);

CREATE TABLE config(
  id     INTEGER PRIMARY KEY CHECK(id = 1),
  active TEXT NOT NULL
) STRICT;

CREATE TABLE run_state(
  id            INTEGER PRIMARY KEY CHECK(id = 1),
  ended_cleanly INTEGER NOT NULL CHECK(ended_cleanly IN (0,1))
) STRICT;
";
