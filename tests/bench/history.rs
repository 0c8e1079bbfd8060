//! A database with a history: what the daemon has after months, written within a minute.
//!
//! Rows are written in the order of time, as the daemon writes them, so that they lie in the file
//! as its rows do.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use avatar_watch::store::handle::Store;
use rusqlite::Connection;

/// Creates a database in which `avatars` had so many transitions, evenly over the last half year,
/// each of which was delivered to so many channels (`c0`, `c1`, …) at the first attempt, with the
/// body of its event. The avatars are `avatar-0`, `avatar-1`, …; half of the transitions end a
/// training. `id_end` follows the number in each id.
pub(crate) fn generate(
    path: &Path,
    avatars: usize,
    id_end: &str,
    transitions: usize,
    deliveries_per_transition: usize,
) {
    // With the schema of this build.
    let (store, writer) = Store::open(path, "bench".to_owned()).unwrap();
    drop(store);
    writer.join();
    let mut connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;
             PRAGMA temp_store = MEMORY; CREATE TEMP TABLE n(x INTEGER PRIMARY KEY, at INTEGER)",
        )
        .unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let first_ms = (now.saturating_sub(AGE)).as_millis();
    let step_ms = (AGE.as_millis() / transitions as u128).max(1);
    let channels = (0..deliveries_per_transition).fold(String::new(), |mut sql, number| {
        write!(sql, "INSERT INTO channels(id, target_fp) VALUES('c{number}', 'bench');").unwrap();
        sql
    });
    connection.execute_batch(&channels).unwrap();
    for begin in (0..transitions).step_by(BATCH) {
        let end = (begin + BATCH).min(transitions);
        let batch = connection.transaction().unwrap();
        batch
            .execute_batch(&format!(
                "DELETE FROM n;
                 WITH RECURSIVE n(x) AS (
                   SELECT {begin} UNION ALL SELECT x + 1 FROM n WHERE x < {end} - 1)
                 INSERT INTO n SELECT x, {first_ms} + x * {step_ms} FROM n;
                 INSERT INTO transitions(avatar_id, avatar_seq, from_status, to_status,
                     last_seen_previous_at, detected_at, trained_model, trained_since,
                     trained_until)
                   SELECT 'avatar-' || (x % {avatars}) || '{id_end}', 1 + x / {avatars},
                     iif(x / {avatars} % 2, 'TRAINING', 'IDLE'),
                     iif(x / {avatars} % 2, 'IDLE', 'TRAINING'), at - 2000, at,
                     iif(x / {avatars} % 2, 'ARGIL_ATOM', NULL),
                     iif(x / {avatars} % 2, at - {step_ms} * {avatars}, NULL),
                     iif(x / {avatars} % 2, at - 2000, NULL) FROM n;
                 INSERT INTO events(id, type, avatar_id, avatar_seq, occurred_at, title, body)
                   SELECT printf('evt_%012x%020x', at, x),
                     iif(x / {avatars} % 2, 'avatar.ready', 'avatar.status_changed'),
                     'avatar-' || (x % {avatars}) || '{id_end}', 1 + x / {avatars}, at,
                     'Jane is ready',
                     CAST(printf('{BODY}', x) AS BLOB) FROM n;"
            ))
            .unwrap();
        for channel in 0..deliveries_per_transition {
            batch
                .execute_batch(&format!(
                    "INSERT INTO deliveries(id, event_id, ordering_key, channel_id, content_type,
                         state, attempts, charged_attempts, expires_at, last_class, last_code,
                         reported, created_at, updated_at)
                       SELECT printf('dlv_%012x{channel:04x}%016x', at, x),
                         printf('evt_%012x%020x', at, x),
                         'avatar-' || (x % {avatars}) || '{id_end}',
                         'c{channel}', 'application/json', 'delivered', 1, 1, at + 259200000,
                         'delivered', 204, 1, at, at + 100 FROM n;
                     INSERT INTO attempts(delivery_id, no, trigger, started_at, finished_at,
                         outcome, phase, code, latency_ms, boot_id)
                       SELECT printf('dlv_%012x{channel:04x}%016x', at, x), 1, 'scheduled', at,
                         at + 100, 'delivered', 'response', 204, 12, 'bench' FROM n;"
                ))
                .unwrap();
        }
        batch.commit().unwrap();
    }
    let watches = "INSERT INTO watches(avatar_id, name, model, status, status_since, last_seen_at,
                                       sequence)
                   SELECT avatar_id, 'Jane', 'ARGIL_ATOM', to_status, detected_at, detected_at,
                     max(avatar_seq) FROM transitions GROUP BY avatar_id";
    connection.execute(watches, ()).unwrap();
}

/// How long ago the first transition was.
const AGE: Duration = Duration::from_hours(24 * 180);
/// Transitions that are written at once; their rows are beside each other in the file.
const BATCH: usize = 100;
/// As long as the standard body of an avatar that is ready.
const BODY: &str = concat!(
    r#"{"type":"avatar.ready","timestamp":"2026-11-23T11:15:22.123Z","data":{"sequence":%d,"#,
    r#""avatar":{"id":"avatar-0","name":"Jane, English","model":"ARGIL_ATOM","#,
    r#""orientation":"ASPECT_RATIO_9_16","extras":{}},"previous_status":"TRAINING","#,
    r#""status":"IDLE","training_observed":true,"#,
    r#""last_seen_previous_at":"2026-11-23T11:15:10.001Z","#,
    r#""detected_at":"2026-11-23T11:15:22.123Z","#,
    r#""upstream_updated_at":"2026-11-23T11:14:58Z"}}"#,
);
