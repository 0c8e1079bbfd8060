//! The work of the usual statements does not grow with the history, nor with what waits behind the
//! first delivery of an avatar: measured in steps of SQLite's virtual machine.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use crate::domain::alerts::AlertTiming;
use crate::domain::avatar::AvatarId;
use crate::domain::delivery::attempt_slots::{AttemptSlots, ChannelSlots};
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::random::RandomBits;
use crate::domain::retention::Cutoffs;
use crate::domain::time::timestamp::Timestamp;
use crate::store::avatar_rows::AvatarRow;
use crate::store::reader::{DeliveryFilter, Reader, TransitionFilter};
use crate::store::recovery::{self, CrashRecovery};
use crate::store::retention::{self, PruneCursor};
use crate::store::sqlite::{integrity, open};
use crate::store::tables::channels::{self, ChannelTarget};
use crate::store::tables::outbox;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A database with so many delivered messages, and `depth` undelivered ones of each of 20 avatars.
struct Bench {
    _folder: tempfile::TempDir,
    writer: Connection,
    reader: Reader,
    steps: Arc<AtomicU64>,
}

impl Bench {
    fn new(delivered: u32, depth: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        drop(open::open_for_writing(&path).unwrap());
        let mut writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF").unwrap();
        let avatars = delivered / 4;
        let history = format!(
            "BEGIN;
             INSERT INTO channels(id, target_fp) VALUES('ops', 'fp'), ('gone', 'fp');
             CREATE TEMP TABLE n AS WITH RECURSIVE n(x) AS (
               SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {delivered}) SELECT x FROM n;
             INSERT INTO transitions(avatar_id, avatar_seq, to_status, detected_at, trained_model,
                                     trained_since, trained_until)
               SELECT 'a' || (x % {avatars}), 1 + x / {avatars}, 'IDLE', x, 'ARGIL_ATOM', x, x
               FROM n;
             INSERT INTO events(id, type, avatar_id, avatar_seq, occurred_at, body)
               SELECT 'evt_' || x, 'avatar.ready', 'a' || (x % {avatars}), 1 + x / {avatars}, x,
                      x'7b7d' FROM n;
             INSERT INTO deliveries(id, event_id, ordering_key, channel_id, content_type, body,
                                    state, expires_at, created_at, updated_at)
               SELECT 'dlv_' || x, 'evt_' || x, 'a' || (x % {avatars}), 'ops', 't', x'7b7d',
                      iif(x <= 10, 'dead', 'delivered'), x, x, x FROM n;
             COMMIT"
        );
        writer.execute_batch(&history).unwrap();
        let waiting = format!(
            "BEGIN;
             CREATE TEMP TABLE w AS WITH RECURSIVE w(x) AS (
               SELECT 1 UNION ALL SELECT x + 1 FROM w WHERE x < {}) SELECT x FROM w;
             INSERT INTO events(id, type, avatar_id, occurred_at, body)
               SELECT 'evt_w' || x, 'avatar.ready', 'a' || (x % 20), x, x'7b7d' FROM w;
             INSERT INTO deliveries(id, event_id, ordering_key, channel_id, content_type, body,
                                    state, next_attempt_at, blocked, expires_at, created_at,
                                    updated_at)
               SELECT 'dlv_w' || x, 'evt_w' || x, 'a' || (x % 20), 'ops', 't', x'7b7d',
                      'pending', x, x > 20, {}, x, x FROM w;
             COMMIT",
            20 * depth,
            i64::MAX
        );
        writer.execute_batch(&waiting).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        let steps = Arc::new(AtomicU64::new(0));
        for connection in [&mut writer, reader.database.raw_mut()] {
            let count = Arc::clone(&steps);
            let counted = move || {
                count.fetch_add(1, Ordering::Relaxed);
                false
            };
            connection.progress_handler(10, Some(counted)).unwrap();
        }
        Self { _folder: folder, writer, reader, steps }
    }

    /// The steps of some work, in tens.
    fn steps(&self, work: Work) -> u64 {
        self.steps.store(0, Ordering::Relaxed);
        work(self);
        self.steps.load(Ordering::Relaxed)
    }
}

/// Some work by its name.
type Work = fn(&Bench);

/// What a daemon, the page and the commands do most.
const WORKS: [(&str, Work); 13] = [
    ("channels", |it| drop(it.reader.channels().unwrap())),
    ("counts by avatar", |it| drop(it.reader.delivery_counts().unwrap())),
    ("newest deliveries", |it| deliveries(it, DeliveryFilter::default())),
    ("dead letters", |it| deliveries(it, in_state("dead"))),
    ("cancelled deliveries", |it| deliveries(it, in_state("cancelled"))),
    ("statuses", |it| drop(it.reader.statuses().unwrap())),
    ("newest transitions", |it| drop(it.reader.transitions_before(None, None, 20).unwrap())),
    ("transitions of an avatar", |it| {
        let id = AvatarId::parse("a7").unwrap();
        drop(it.reader.transitions_before(Some(&id), None, 20).unwrap());
        let filter = TransitionFilter { avatars: Some(vec![id.clone()]), ..Default::default() };
        drop(it.reader.transitions_matching(&filter, 20).unwrap());
        drop(it.reader.last_training(&id).unwrap());
    }),
    ("samples of trainings", |it| drop(it.reader.training_samples(8).unwrap())),
    ("registration", |it| {
        drop(channels::register(&it.writer, &[target("ops")], NOW, "boot").unwrap());
    }),
    ("recovery", |it| {
        let policies = BTreeMap::new();
        let recovery = CrashRecovery { now: NOW, policies, random: RandomBits::new(1) };
        recovery::recover(&it.writer, &recovery, "boot").unwrap();
        recovery::reschedule_after_clock_step(&it.writer, NOW).unwrap();
    }),
    ("a claim", claim),
    ("a step of the retention", prune),
];

fn prune(bench: &Bench) {
    let all = Some(NOW);
    let cutoffs = Cutoffs { deliveries_before: all, transitions_before: all };
    let pruned = retention::step(&bench.writer, cutoffs, PruneCursor::default(), 100).unwrap();
    assert_eq!(pruned.rows(), 100);
}

fn claim(bench: &Bench) {
    let channels = vec![ChannelSlots::only(ChannelName::parse("ops").unwrap(), 4)];
    let slots = AttemptSlots { channels, ..AttemptSlots::default() };
    let timing = AlertTiming::default();
    let claimed = outbox::claim(&bench.writer, &slots, timing, NOW, "boot").unwrap();
    assert_eq!(claimed.claimed.len(), 4);
}

fn in_state(state: &str) -> DeliveryFilter {
    DeliveryFilter { state: Some(state.to_owned()), ..DeliveryFilter::default() }
}

fn deliveries(bench: &Bench, filter: DeliveryFilter) {
    let filter = DeliveryFilter { limit: Some(20), ..filter };
    drop(bench.reader.deliveries_before(&filter, None).unwrap());
}

fn target(name: &str) -> ChannelTarget {
    ChannelTarget { name: ChannelName::parse(name).unwrap(), fingerprint: "fp".to_owned() }
}

#[track_caller]
fn check_similar(work: &str, small: u64, large: u64) {
    assert!(large <= small + small / 2 + 100, "{work}: {small} tens of steps become {large}");
}

#[test]
fn the_usual_work_does_not_grow_with_the_history() {
    let (small, large) = (Bench::new(2_000, 1), Bench::new(40_000, 1));
    for (name, work) in WORKS {
        check_similar(name, small.steps(work), large.steps(work));
    }
}

#[test]
fn a_claim_does_not_grow_with_what_waits_behind_others() {
    let (shallow, deep) = (Bench::new(100, 2), Bench::new(100, 500));
    check_similar("a claim", shallow.steps(claim), deep.steps(claim));
}

#[test]
fn a_delivery_that_waits_for_none_is_found_and_sent_after_a_start() {
    let bench = Bench::new(10, 2);
    let broken = "UPDATE deliveries SET state = 'cancelled', next_attempt_at = NULL
                  WHERE blocked = 0 AND state = 'pending'";
    bench.writer.execute(broken, ()).unwrap();
    let report = integrity::examine(&bench.writer, 1);
    let found = report.findings.iter().filter(|it| it.what.contains("waits for none"));
    assert_eq!(found.count(), 20);
    let recovery =
        CrashRecovery { now: NOW, policies: BTreeMap::new(), random: RandomBits::new(1) };
    recovery::recover(&bench.writer, &recovery, "boot").unwrap();
    claim(&bench);
}

#[test]
fn one_avatar_and_a_page_of_avatars_cost_the_same_among_many() {
    let among = |avatars: u32| {
        let bench = Bench::new(100, 1);
        let watches = format!(
            "INSERT INTO watches(avatar_id, status, status_since, last_seen_at)
             WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {avatars})
             SELECT 'w' || x, 'IDLE', x, x FROM n"
        );
        bench.writer.execute(&watches, ()).unwrap();
        bench.steps(|it| {
            let id = AvatarId::parse("w77").unwrap();
            assert!(it.reader.recorded_of(&[id]).unwrap()[0].is_some());
            let mut visited = 0;
            let visit = |_: AvatarRow<'_>| {
                visited += 1;
                if visited == 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            it.reader.each_avatar("w2", visit).unwrap();
            assert_eq!(visited, 20);
        })
    };
    check_similar("a page of avatars", among(100), among(10_000));
}
