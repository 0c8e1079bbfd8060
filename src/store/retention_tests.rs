use std::collections::BTreeSet;

use super::*;
use crate::domain::avatar::AvatarId;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::{Previous, Transition};
use crate::domain::retention::Retention;
use crate::store::migrations::reference_schema;
use crate::store::sqlite::clean_shutdown;
use crate::store::sqlite::open;
use crate::store::sqlite::statement::column;
use crate::store::tables::transitions;

const DAY_MS: i64 = 86_400_000;
const ROWS: usize = 500;
const NOW: Timestamp = Timestamp::from_millis(1000 * DAY_MS);

/// A random number generator with a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % most
    }

    fn day(&mut self) -> i64 {
        i64::try_from(self.below(1000)).unwrap() * DAY_MS
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn insert_transition(db: &Connection, avatar: &str, sequence: i64, millis: i64) {
    let transition = Transition {
        avatar_id: AvatarId::parse(avatar).unwrap(),
        sequence: u64::try_from(sequence).unwrap(),
        previous: Previous::Assumed(Status::Training),
        earlier: None,
        training: None,
        status: Status::Idle,
        detected_at: at(millis),
        upstream_updated_at: None,
    };
    transitions::append(db, &transition).unwrap();
}

fn insert_event(db: &Connection, id: &str, about: Option<(&str, i64)>, millis: i64) {
    let sql = "INSERT INTO events(id, type, avatar_id, avatar_seq, occurred_at, body)
               VALUES(?1, 'avatar.ready', ?2, ?3, ?4, x'7b7d')";
    let (avatar, sequence) = about.unzip();
    db.execute(sql, (id, avatar, sequence, millis)).unwrap();
}

fn insert_delivery(
    db: &Connection,
    (id, event, channel, replay): (&str, &str, &str, u64),
    (state, reported): (&str, bool),
    millis: i64,
    attempts: i64,
) {
    db.execute(
        "INSERT INTO deliveries(id, event_id, ordering_key, channel_id, replay, content_type, body,
           state, reported, attempts, next_attempt_at, lease_owner, expires_at, created_at,
           updated_at)
         VALUES(?1, ?2, 'a', ?3, ?4, 't', x'7b7d', ?5, ?6, ?8, iif(?5 = 'pending', 1, NULL),
                iif(?5 = 'sending', 'boot', NULL), 1, 1, ?7)",
        (id, event, channel, i64::try_from(replay).unwrap(), state, reported, millis, attempts),
    )
    .unwrap();
    for no in 1..=attempts {
        let sql = "INSERT INTO attempts(delivery_id, no, trigger, started_at, finished_at, boot_id)
                   VALUES(?1, ?2, 'scheduled', 1, iif(?3 AND ?2 = ?4, NULL, 1), 'boot')";
        db.execute(sql, (id, no, state == "sending", attempts)).unwrap();
    }
}

/// Old transitions of one avatar, each with an event and a delivery that had so many attempts.
fn insert_past(db: &Connection, transitions: i64, attempts: i64) {
    for n in 0..transitions {
        let (event, delivery) = (format!("evt_{n}"), format!("dlv_{n}"));
        insert_transition(db, "a", n + 1, 1);
        insert_event(db, &event, Some(("a", n + 1)), 1);
        let row = (delivery.as_str(), event.as_str(), "x", 0);
        insert_delivery(db, row, ("delivered", false), 1, attempts);
    }
}

fn empty() -> Connection {
    let db = reference_schema(1).unwrap();
    db.pragma_update(None, "foreign_keys", true).unwrap();
    db.execute_batch("INSERT INTO channels(id, target_fp) VALUES('x', ''), ('y', '')").unwrap();
    db
}

fn world(dice: &mut Dice) -> Connection {
    let db = empty();
    let mut sequences = [0_i64; 4];
    for n in 0..60 {
        let (millis, who) = (dice.day(), usize::try_from(dice.below(4)).unwrap());
        let about = (dice.below(4) > 0).then(|| {
            sequences[who] += 1;
            (["a", "b", "c", "d"][who], sequences[who])
        });
        if let Some((avatar, sequence)) = about {
            insert_transition(&db, avatar, sequence, millis);
        }
        if about.is_some() && dice.below(3) == 0 {
            continue;
        }
        let event = format!("evt_{n}");
        insert_event(&db, &event, about, millis);
        if dice.below(10) == 0 {
            let sql = "INSERT INTO conditions(kind, subject, since, event_id, notified_at)
                 VALUES('k', ?1, 1, ?1, 1)";
            db.execute(sql, [&event]).unwrap();
        }
        for channel in ["x", "y"] {
            for replay in 0..dice.below(3) {
                let states = ["pending", "sending", "delivered", "delivered", "dead", "cancelled"];
                let state = states[usize::try_from(dice.below(6)).unwrap()];
                let id = format!("dlv_{n}{channel}{replay}");
                let reported = dice.below(3) > 0;
                let attempts = i64::try_from(dice.below(4)).unwrap();
                let attempts = if state == "sending" { attempts + 1 } else { attempts };
                let row = (id.as_str(), event.as_str(), channel, replay);
                insert_delivery(&db, row, (state, reported), dice.day(), attempts);
            }
            let resend = "UPDATE deliveries AS d SET state = 'resent', resent_as = n.id
                          FROM deliveries n
                          WHERE d.event_id = ?1 AND d.state = 'dead' AND n.event_id = d.event_id
                            AND n.channel_id = d.channel_id AND n.replay = d.replay + 1";
            db.execute(resend, [&event]).unwrap();
        }
    }
    db
}

type Row = (String, String, String, i64, String, bool, i64);

fn deliveries(db: &Connection) -> Vec<Row> {
    let sql =
        "SELECT id, event_id, channel_id, replay, state, reported, updated_at FROM deliveries";
    rows(db, sql, [], |row| row.try_into()).unwrap()
}

fn texts(db: &Connection, sql: &str) -> BTreeSet<String> {
    column(db, sql, []).unwrap().into_iter().collect()
}

const EVENTS: &str = "SELECT id FROM events";
const TRANSITIONS: &str = "SELECT avatar_id || avatar_seq FROM transitions";

/// The events that have to be kept, computed independently of the code.
fn events_to_keep(db: &Connection, before: i64) -> BTreeSet<String> {
    let rows = deliveries(db);
    let held = texts(db, "SELECT event_id FROM conditions");
    let young = texts(db, &format!("SELECT id FROM events WHERE occurred_at >= {before}"));
    let needs = |(_, _, _, _, state, _, updated): &Row| match state.as_str() {
        "pending" | "sending" | "dead" => true,
        _ => *updated >= before,
    };
    let needed = rows.iter().filter(|row| needs(row)).map(|row| row.1.clone());
    needed.chain(held).chain(young).collect()
}

fn transitions_to_keep(
    db: &Connection,
    before: i64,
    events: &BTreeSet<String>,
) -> BTreeSet<String> {
    let newest = "SELECT avatar_id || max(avatar_seq) FROM transitions GROUP BY avatar_id";
    let young = format!("{TRANSITIONS} WHERE detected_at >= {before}");
    let of_events = "SELECT id || ' ' || avatar_id || avatar_seq FROM events
                     WHERE avatar_seq IS NOT NULL";
    let reported = texts(db, of_events).into_iter().filter_map(|text| {
        let (event, transition) = text.split_once(' ')?;
        events.contains(event).then(|| transition.to_owned())
    });
    texts(db, newest).into_iter().chain(texts(db, &young)).chain(reported).collect()
}

fn check_whole(db: &Connection, seed: u64) {
    let sql = "SELECT count(*) + (SELECT pruned_count FROM history) FROM transitions";
    let written = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'transitions'";
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number(sql), number(written), "seed {seed}");
    assert_eq!(number("SELECT count(*) FROM pragma_foreign_key_check"), 0, "seed {seed}");
}

#[test]
fn a_run_removes_exactly_the_old_rows_wherever_it_is_killed() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let mut db = world(&mut dice);
        let (old, older) = (at(700 * DAY_MS), at(600 * DAY_MS));
        let cutoffs = Cutoffs { deliveries_before: Some(old), transitions_before: Some(older) };
        let events = events_to_keep(&db, old.as_millis());
        let transitions = transitions_to_keep(&db, older.as_millis(), &events);
        let kept: Vec<Row> =
            deliveries(&db).into_iter().filter(|row| events.contains(&row.1)).collect();
        let attempts = "SELECT count(*) FROM attempts WHERE delivery_id IN (
                       SELECT d.id FROM deliveries d WHERE d.event_id IN (
                         SELECT value FROM json_each(?1)))";
        let names = serde_json::to_string(&events).unwrap();
        let count = |db: &Connection| -> i64 {
            db.query_row(attempts, [&names], |row| row.get(0)).unwrap()
        };
        let attempts_kept = count(&db);
        let mut cursor = PruneCursor::default();
        loop {
            let most = usize::try_from(dice.below(7)).unwrap() + 1;
            let transaction = db.transaction().unwrap();
            let pruned = step(&transaction, cutoffs, cursor, most).unwrap();
            assert!(pruned.rows() <= most, "seed {seed}");
            if dice.below(5) == 0 {
                // Killed before the commit; the next process starts another run.
                transaction.rollback().unwrap();
                cursor = PruneCursor::default();
            } else {
                transaction.commit().unwrap();
                let Some(next) = pruned.next else { break };
                cursor = next;
            }
            check_whole(&db, seed);
            let after = deliveries(&db);
            assert!(kept.iter().all(|row| after.contains(row)), "seed {seed}");
            assert!(texts(&db, EVENTS).is_superset(&events), "seed {seed}");
            assert!(texts(&db, TRANSITIONS).is_superset(&transitions), "seed {seed}");
            assert_eq!(count(&db), attempts_kept, "seed {seed}");
        }
        assert_eq!(texts(&db, EVENTS), events, "seed {seed}");
        assert_eq!(texts(&db, TRANSITIONS), transitions, "seed {seed}");
        assert_eq!(deliveries(&db), kept, "seed {seed}");
    }
}

#[test]
fn the_rows_of_a_step_are_limited() {
    let mut db = empty();
    let transaction = db.transaction().unwrap();
    insert_past(&transaction, 10_000, 7);
    // One event that is larger than a step.
    insert_event(&transaction, "evt_large", None, 1);
    for replay in 0..400 {
        let row = (&*format!("dlv_large{replay}"), "evt_large", "x", replay);
        insert_delivery(&transaction, row, ("delivered", false), 1, 3);
    }
    transaction.commit().unwrap();
    let cutoffs = Retention {
        transitions: Some(std::time::Duration::from_hours(24)),
        deliveries: Some(std::time::Duration::from_hours(24)),
    }
    .cutoffs(NOW);
    let (mut cursor, mut total, mut steps) = (Some(PruneCursor::default()), Pruned::default(), 0);
    while let Some(at) = cursor {
        let before = db.total_changes();
        let transaction = db.transaction().unwrap();
        let pruned = step(&transaction, cutoffs, at, ROWS).unwrap();
        transaction.commit().unwrap();
        assert!(pruned.rows() <= ROWS);
        // The row of the history counts the removed transitions.
        assert!(db.total_changes() - before <= ROWS as u64 + 1);
        (total, cursor, steps) = (total.and(pruned), pruned.next, steps + 1);
    }
    assert_eq!(total.rows(), 10_000 * 10 + 1 + 400 * 4 - 1, "all but the newest transition");
    assert!(steps >= 200, "{steps} steps");
    assert_eq!(texts(&db, TRANSITIONS), BTreeSet::from(["a10000".to_owned()]));
    // A client of the stream that has read less has missed transitions.
    let pruned_up_to = "SELECT pruned_up_to FROM history";
    let pruned_up_to: i64 = db.query_row(pruned_up_to, [], |row| row.get(0)).unwrap();
    assert_eq!(pruned_up_to, 9_999);
    check_whole(&db, 0);
}

#[test]
fn each_statement_and_each_check_of_references_uses_an_index() {
    let db = empty();
    for sql in [
        super::EVENTS,
        REMOVE_ATTEMPTS,
        REMOVE_DELIVERIES,
        REMOVE_EVENTS,
        super::TRANSITIONS,
        REMOVE_TRANSITIONS,
    ] {
        let mut explained = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> = explained.raw_query().mapped(|row| row.get(3)).flatten().collect();
        let scans = plan.iter().filter(|it| it.contains("SCAN") && !it.contains("VIRTUAL TABLE"));
        assert!(scans.count() == 0 && !plan.is_empty(), "{sql}: {plan:#?}");
    }
}

#[test]
fn a_run_without_old_rows_writes_nothing_and_reads_few_rows() {
    let db = empty();
    for n in 0..2_000 {
        insert_transition(&db, "a", n + 1, NOW.as_millis());
        insert_event(&db, &format!("evt_{n}"), Some(("a", n + 1)), NOW.as_millis());
    }
    let before = db.total_changes();
    let cutoffs = Cutoffs { transitions_before: Some(NOW), deliveries_before: Some(NOW) };
    let first = step(&db, cutoffs, PruneCursor::default(), ROWS).unwrap();
    let second = step(&db, cutoffs, first.next.unwrap(), ROWS).unwrap();
    assert_eq!((second.next, first.rows() + second.rows()), (None, 0));
    assert_eq!(db.total_changes(), before);
}

#[test]
fn a_dead_letter_replayed_under_a_new_id_is_removed_with_the_replay() {
    let db = empty();
    let old = 1_000;
    let event = |id: &str, first: Option<&str>| {
        let sql = "INSERT INTO events(id, type, occurred_at, body, replay_of)
                   VALUES(?1, 'test.ping', ?2, x'', ?3)";
        db.execute(sql, (id, old, first)).unwrap();
    };
    let delivery = |id: &str, event: &str, channel: &str, state: &str| {
        let sql =
            "INSERT INTO deliveries(id, event_id, ordering_key, channel_id, content_type, body,
                     state, reported, expires_at, created_at, updated_at)
                   VALUES(?1, ?2, '', ?3, '', x'', ?4, 1, 0, ?5, ?5)";
        db.execute(sql, (id, event, channel, state, old)).unwrap();
    };
    event("evt_1", None);
    delivery("dlv_x", "evt_1", "x", "dead");
    delivery("dlv_y", "evt_1", "y", "dead");
    event("evt_2", Some("evt_1"));
    delivery("dlv_x2", "evt_2", "x", "delivered");
    let cutoffs =
        Cutoffs { deliveries_before: Some(Timestamp::from_millis(old + 1)), ..Cutoffs::default() };
    let events = || {
        step(&db, cutoffs, PruneCursor::default(), 100).unwrap();
        texts(&db, EVENTS)
    };
    db.execute(
        "UPDATE deliveries SET state = 'resent', resent_as = 'dlv_x2' WHERE id = 'dlv_x'",
        [],
    )
    .unwrap();
    // The dead letter to `y` keeps the first event, and the link from that to `x` the second one.
    assert_eq!(events(), ["evt_1", "evt_2"].map(str::to_owned).into());
    db.execute("UPDATE deliveries SET state = 'cancelled' WHERE id = 'dlv_y'", []).unwrap();
    assert_eq!(events(), ["evt_2".to_owned()].into());
    assert_eq!(events(), [].into(), "by the next run");
}

#[test]
fn a_run_gives_the_space_back_but_for_some_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    drop(open::open_for_writing(&path).unwrap());
    let mut db = Connection::open(&path).unwrap();
    db.execute_batch("INSERT INTO channels(id, target_fp) VALUES('x', ''), ('y', '')").unwrap();
    let transaction = db.transaction().unwrap();
    insert_past(&transaction, 20_000, 1);
    transaction.execute("UPDATE events SET body = zeroblob(500)", ()).unwrap();
    transaction.commit().unwrap();
    let number = |db: &Connection, pragma: &str| -> usize {
        db.pragma_query_value(None, pragma, |row| row.get(0)).unwrap()
    };
    let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
    let bytes = |db: &Connection| {
        db.query_row(truncate, [], |_| Ok(())).unwrap();
        std::fs::metadata(&path).unwrap().len()
    };
    let (bytes_before, pages_before) = (bytes(&db), number(&db, "page_count"));
    let cutoffs = Cutoffs { transitions_before: Some(NOW), deliveries_before: Some(NOW) };
    let (mut cursor, mut free_max) = (Some(PruneCursor::default()), 0);
    while let Some(at) = cursor {
        let before = number(&db, "page_count");
        let transaction = db.transaction().unwrap();
        cursor = step(&transaction, cutoffs, at, ROWS).unwrap().next;
        transaction.commit().unwrap();
        let pages = number(&db, "page_count");
        assert!(before - pages <= ROWS / ROWS_PER_PAGE_RELEASED, "a step is short");
        free_max = free_max.max(number(&db, "freelist_count"));
    }
    assert!(pages_before > 10 * FREE_PAGES_MIN, "{pages_before}");
    let (pages, free) = (number(&db, "page_count"), number(&db, "freelist_count"));
    assert_eq!(free, FREE_PAGES_MIN, "kept for new rows");
    assert!(free_max <= pages_before / FREE_PAGES_PART, "they do not pile up: {free_max}");
    assert!(pages < pages_before / 5, "{pages} of {pages_before}");
    assert!(bytes(&db) < bytes_before / 5);
    check_whole(&db, 0);
    assert_eq!(clean_shutdown::quick_check_of_pages(&db).unwrap(), None);
}
