//! The real daemon, killed many times during retention: the database stays intact, and pending
//! deliveries are unchanged to the byte.

use std::time::Duration;

use avatar_watch::domain::avatar::AvatarId;
use avatar_watch::domain::avatar::status::Status;
use avatar_watch::domain::avatar::transition::{Previous, Transition};
use avatar_watch::domain::delivery::channel_name::ChannelName;
use avatar_watch::domain::delivery::retry_policy::DeliveryPolicy;
use avatar_watch::domain::delivery::{DeliveryId, RetryState};
use avatar_watch::domain::event::{Event, EventKind, Subject};
use avatar_watch::domain::id::EventId;
use avatar_watch::domain::polling::watch::{LastObserved, Watch};
use avatar_watch::domain::random::RandomBits;
use avatar_watch::domain::time::timestamp::Timestamp;
use avatar_watch::store::handle::{NewEvent, ObservationCommit, Store};
use avatar_watch::store::tables::outbox::NewDelivery;
use rusqlite::Connection;
use rustix::process::Signal;

use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, stderr, wait_until};
use crate::harness::plans::avatar;

const CHANGES: u64 = 2000;
/// Years ago.
const THEN: Timestamp = Timestamp::from_millis(1_500_000_000_000);

fn change(sequence: u64) -> ObservationCommit {
    let id = AvatarId::parse("old").unwrap();
    let roll = RandomBits::new(u128::from(sequence));
    let transition = Transition {
        avatar_id: id.clone(),
        sequence,
        previous: Previous::Observed { status: Status::Training, at: THEN },
        earlier: None,
        status: Status::Idle,
        detected_at: THEN,
        upstream_updated_at: None,
    };
    let event = Event {
        id: EventId::mint(THEN, roll),
        kind: EventKind::AvatarReady,
        occurred_at: THEN,
        subject: Subject::Transition {
            avatar: Box::new(avatar(&id, &Status::Idle)),
            transition: Box::new(transition.clone()),
            training: None,
        },
    };
    let body = format!("{{\"sequence\":{sequence}}}").into_bytes();
    let delivery = NewDelivery {
        id: DeliveryId::mint(THEN, roll.derive(1)),
        channel: ChannelName::parse("ops").unwrap(),
        recipient: String::new(),
        content_type: "application/json".to_owned(),
        body: body.clone(),
        fallback: None,
        retry_state: RetryState::new(THEN, &DeliveryPolicy::webhook()),
    };
    let observed = LastObserved { status: Status::Idle, since: THEN, last_seen_at: THEN };
    ObservationCommit {
        watch: Watch { observed: Some(observed), sequence, ..Watch::new(id) },
        transition: Some(transition),
        training: None,
        events: vec![NewEvent { event, title: String::new(), body, deliveries: vec![delivery] }],
        discovered: None,
        now: THEN,
    }
}

/// Writes years of delivered transitions, and some deliveries that are pending until 2100.
async fn fill(bench: &Bench) {
    let (store, writer) = Store::open(&bench.database(), "past".to_owned()).unwrap();
    for sequence in 1..=CHANGES {
        store.commit(change(sequence)).await.unwrap();
    }
    drop(store);
    writer.join();
    let past = Connection::open(bench.database()).unwrap();
    past.execute_batch(
        "BEGIN IMMEDIATE;
         UPDATE deliveries SET next_attempt_at = 4102444800000, expires_at = 4102444800000;
         UPDATE deliveries SET state = 'delivered', next_attempt_at = NULL, attempts = 1
         WHERE seq % 40 <> 0;
         INSERT INTO attempts(delivery_id, no, trigger, started_at, finished_at, boot_id)
         SELECT id, 1, 'scheduled', 1, 1, 'past' FROM deliveries WHERE state = 'delivered';
         COMMIT;",
    )
    .unwrap();
}

type Waiting = Vec<(String, String, Vec<u8>, Vec<u8>)>;

/// The pending deliveries with their event bodies, and the number of rows that may be removed.
fn read(bench: &Bench) -> (Waiting, i64) {
    let database = Connection::open(bench.database()).unwrap();
    let sql = "SELECT d.id, e.id, d.body, e.body FROM deliveries d JOIN events e
               ON e.id = d.event_id JOIN transitions t
               ON t.avatar_id = e.avatar_id AND t.avatar_seq = e.avatar_seq
               WHERE state = 'pending' ORDER BY d.seq";
    let mut waiting = database.prepare(sql).unwrap();
    let waiting = waiting
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let sql = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM deliveries)
                    + (SELECT count(*) FROM attempts) + (SELECT count(*) FROM transitions)";
    (waiting, database.query_row(sql, [], |row| row.get(0)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_during_retention_lose_no_pending_delivery() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let unreachable = "http://127.0.0.1:9/hook";
    let config = Config::new(argil.base_url()).avatar("a1").webhook("ops", unreachable);
    let keep = |how_long: &str| {
        let store = format!(
            "\n[store]\nkeep_deliveries = \"{how_long}\"\nkeep_transitions = \"{how_long}\"\n"
        );
        config.clone().with(&store).text().to_owned()
    };
    let bench = Bench::new(&keep("forever"));
    let daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
    assert!(daemon.stop().success());
    fill(&bench).await;
    let (waiting, all) = read(&bench);
    assert_eq!(waiting.len(), usize::try_from(CHANGES / 40).unwrap());

    let (mut during, mut left) = (0, all);
    for kill in 0..200_u64 {
        bench.configure(&keep("forever"));
        let before = std::fs::read_to_string(bench.path("daemon.log")).unwrap().len();
        let daemon = bench.start();
        let log = |text: &str| wait_until(text, || daemon.log()[before..].contains(text));
        log("watching with the database");
        bench.configure(&keep("7d"));
        daemon.signal(Signal::HUP);
        log("config reloaded");
        // At a different time in each round.
        std::thread::sleep(Duration::from_millis(kill * 37 % 250));
        let is_over = daemon.log()[before..].contains("removed expired rows");
        daemon.kill();
        let verified = bench.run(&["db", "verify"]);
        assert!(verified.status.success(), "kill {kill}: {}", stderr(&verified));
        let (waits, rows) = read(&bench);
        assert_eq!(waits, waiting, "kill {kill}");
        during += u32::from(rows < left && !is_over);
        left = rows;
        if is_over {
            break;
        }
    }
    assert!(during >= 3, "{during} kills came during the removal");
    // Pending deliveries with event and transition; the newest transition; that of the watched
    // avatar.
    assert_eq!(left, 3 * i64::try_from(waiting.len()).unwrap() + 1, "of {all}");
}
