use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::domain::avatar::Avatar;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::Previous;
use crate::domain::delivery::attempt_slots::{ChannelSlots, ChannelUse};
use crate::domain::delivery::channel_health::ChannelHealth;
use crate::domain::delivery::channel_name::ChannelName;
use crate::domain::delivery::retry_policy::{DeliveryPolicy, OnUnknown};
use crate::domain::delivery::{DeliveryId, DeliveryState, Outcome, OutcomeClass, RetryState};
use crate::domain::event::{EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::polling::watch::LastObserved;
use crate::domain::random::RandomBits;
use crate::store::admin::deliveries::{AdminResult, DeadLetterFilter, DeliveryAdmin, RetryAs};
use crate::store::reader::{AttemptRow, DeliveryFilter, DeliveryRow, Reader};
use crate::store::tables::outbox::ClaimedDelivery;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// A store on a real file that closes it again.
struct Bench {
    folder: tempfile::TempDir,
    store: Option<(Store, Writer)>,
    rolls: u128,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Self { folder, store: None, rolls: 0 };
        bench.start("boot1");
        bench.register(&[("ops", "f1"), ("mail", "f2")], NOW).await;
        bench
    }

    /// Registers channels with their targets.
    async fn register(&self, channels: &[(&str, &str)], now: Timestamp) -> ChannelChanges {
        let channels = channels.iter().map(|(name, target)| ChannelTarget {
            name: ChannelName::parse(name).unwrap(),
            fingerprint: (*target).to_owned(),
        });
        self.store().register_channels(channels.collect(), now).await.unwrap()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.db")
    }

    fn store(&self) -> &Store {
        &self.store.as_ref().unwrap().0
    }

    fn start(&mut self, boot: &str) {
        self.stop();
        self.store = Some(Store::open(&self.path(), boot.to_owned()).unwrap());
    }

    fn stop(&mut self) {
        if let Some((store, writer)) = self.store.take() {
            drop(store);
            writer.join();
        }
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.path()).unwrap()
    }

    /// The number of commits in the log: their last frames have the size of the database
    /// (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).
    fn commits(&self) -> usize {
        let log = fs::read(self.folder.path().join("a.db-wal")).unwrap();
        log[32..].chunks(24 + 4096).filter(|frame| frame[4..8] != [0; 4]).count()
    }

    fn random(&mut self) -> RandomBits {
        self.rolls += 1;
        RandomBits::new(self.rolls)
    }

    /// The commit of the `sequence`-th transition of an avatar, with a delivery to each channel.
    fn change(&mut self, avatar: &str, sequence: u64, channels: &[&str]) -> ObservationCommit {
        let id = AvatarId::parse(avatar).unwrap();
        let transition = Transition {
            avatar_id: id.clone(),
            sequence,
            previous: Previous::Observed { status: Status::Training, at: NOW },
            earlier: None,
            training: None,
            status: Status::Idle,
            detected_at: NOW,
            upstream_updated_at: None,
        };
        let event = Event {
            id: EventId::mint(NOW, self.random()),
            kind: EventKind::AvatarReady,
            occurred_at: NOW,
            subject: Subject::Transition {
                avatar: Box::new(Avatar::new(id.clone(), Status::Idle)),
                transition: Box::new(transition.clone()),
            },
        };
        let (status, changed_after) = (Status::Idle, None);
        let observed = LastObserved { status, since: NOW, changed_after, last_seen_at: NOW };
        let deliveries = channels
            .iter()
            .map(|channel| NewDelivery {
                id: DeliveryId::mint(NOW, self.random()),
                channel: ChannelName::parse(channel).unwrap(),
                recipient: String::new(),
                content_type: "application/json".to_owned(),
                body: format!("{avatar} {sequence}").into_bytes(),
                fallback: None,
                retry_state: RetryState::new(NOW, &DeliveryPolicy::webhook()),
            })
            .collect();
        ObservationCommit {
            watch: Watch { observed: Some(observed), sequence, ..Watch::new(id) },
            transition: Some(transition),
            events: vec![NewEvent {
                event,
                title: "Jane is ready".to_owned(),
                body: b"{}".to_vec(),
                deliveries,
            }],
            conditions: Vec::new(),
            discovered: None,
            now: NOW,
        }
    }

    async fn commit(&mut self, avatar: &str, sequence: u64, to: &[&str]) -> ObservationCommit {
        let change = self.change(avatar, sequence, to);
        self.store().commit(change.clone()).await.unwrap();
        change
    }

    /// A delivery to `ops` in its first attempt.
    async fn claimed() -> (Self, ClaimedDelivery) {
        let mut bench = Self::new().await;
        bench.commit("a", 1, &["ops"]).await;
        let claimed = bench.one("ops", NOW).await;
        (bench, claimed)
    }

    async fn one(&self, channel: &str, now: Timestamp) -> ClaimedDelivery {
        self.claim(channel, 1, now).await.claimed.remove(0)
    }

    async fn claim(&self, channel: &str, room: usize, now: Timestamp) -> ClaimResult {
        let channel = ChannelName::parse(channel).unwrap();
        let slots = AttemptSlots {
            channels: vec![ChannelSlots::only(channel, room)],
            ..AttemptSlots::default()
        };
        self.store().claim(slots, AlertTiming::default(), now).await.unwrap()
    }

    fn retry(&mut self, id: &DeliveryId, retry_as: RetryAs) -> AdminResult {
        let random = self.random();
        self.admin().retry(id, retry_as, NOW, random).unwrap()
    }

    /// Records the result of an attempt at the current target of its channel.
    async fn settle(&self, claimed: &ClaimedDelivery, class: OutcomeClass, now: Timestamp) -> bool {
        let settled = self.store().record_result(result(claimed, class, now)).await.unwrap();
        assert_ne!(settled, RecordedResult::TargetChanged);
        settled == RecordedResult::Recorded
    }

    fn admin(&self) -> DeliveryAdmin {
        DeliveryAdmin::open(&self.path()).unwrap()
    }

    fn row(&self, id: &DeliveryId) -> DeliveryRow {
        self.reader().delivery(id.as_str()).unwrap().unwrap()
    }

    fn attempts(&self, id: &DeliveryId) -> Vec<AttemptRow> {
        self.reader().attempts(id).unwrap()
    }

    fn health(&self, channel: &str) -> ChannelHealth {
        let channels = self.reader().channels().unwrap();
        channels.into_iter().find(|it| it.name.as_str() == channel).unwrap().health
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop();
    }
}

fn result(claimed: &ClaimedDelivery, class: OutcomeClass, now: Timestamp) -> AttemptResult {
    let outcome = Outcome { code: Some(200), ..Outcome::new(class, "response") };
    let (policy, random) = (DeliveryPolicy::webhook(), RandomBits::new(1 << 127));
    AttemptResult {
        id: claimed.id.clone(),
        attempt: claimed.attempt,
        target: Some(if claimed.channel.as_str() == "ops" { "f1" } else { "f2" }.to_owned()),
        retry_state: claimed.retry_state.clone().apply(&outcome, None, now, &policy, random),
        outcome,
        finished_at: now,
        latency_ms: 3,
        random,
    }
}

/// For a config with this channel.
fn recovery(channel: &str, policy: DeliveryPolicy, now: Timestamp) -> CrashRecovery {
    let policies = [(ChannelName::parse(channel).unwrap(), policy)].into();
    CrashRecovery { now, policies, random: RandomBits::new(1) }
}

fn bodies(claims: &ClaimResult) -> Vec<String> {
    claims.claimed.iter().map(|row| String::from_utf8(row.body.clone()).unwrap()).collect()
}

#[tokio::test]
async fn a_commit_is_written_completely_or_not_at_all() {
    let mut bench = Bench::new().await;
    let mut failing = bench.change("a", 1, &["ops"]);
    failing.events[0].deliveries[0].channel = ChannelName::parse("unknown").unwrap();
    assert!(bench.store().commit(failing).await.is_err());
    assert!(bench.reader().transitions(None, 10).unwrap().is_empty());
    assert!(bench.reader().watches().unwrap().is_empty());

    let change = bench.commit("a", 1, &["ops", "mail"]).await;
    let reader = bench.reader();
    assert_eq!(reader.transitions(None, 10).unwrap(), [change.transition.unwrap()]);
    assert_eq!(reader.watches().unwrap(), std::slice::from_ref(&change.watch));
    let rows = reader.deliveries(&DeliveryFilter::default()).unwrap();
    assert_eq!(rows.iter().map(|row| row.channel.as_str()).collect::<Vec<_>>(), ["ops", "mail"]);
    let seeded = bench.store().watches(vec![change.watch.id.clone()]).await.unwrap();
    assert_eq!(seeded, [change.watch]);
}

#[tokio::test]
async fn deliveries_of_one_avatar_are_sent_in_order_and_do_not_wait_for_others() {
    let mut bench = Bench::new().await;
    for (avatar, sequence) in [("a", 1), ("a", 2), ("b", 1)] {
        bench.commit(avatar, sequence, &["ops"]).await;
    }
    let first = bench.claim("ops", 10, NOW).await;
    assert_eq!(bodies(&first), ["a 1", "b 1"]);
    assert!(bench.claim("ops", 10, NOW).await.claimed.is_empty());

    assert!(bench.settle(&first.claimed[0], OutcomeClass::Retryable, NOW).await);
    let waiting = bench.claim("ops", 10, NOW).await;
    assert!(waiting.claimed.is_empty());
    let due_at = NOW.plus(Duration::from_secs(5));
    assert_eq!(waiting.next_due_at, Some(due_at));

    let again = bench.claim("ops", 10, due_at).await;
    assert_eq!(bodies(&again), ["a 1"]);
    assert_eq!(again.claimed[0].attempt, 2);
    assert!(bench.settle(&again.claimed[0], OutcomeClass::Delivered, due_at).await);
    assert_eq!(bodies(&bench.claim("ops", 10, due_at).await), ["a 2"]);
}

#[tokio::test]
async fn a_body_that_is_that_of_the_event_is_stored_once_and_sent_with_the_same_bytes() {
    let mut bench = Bench::new().await;
    let mut change = bench.change("a", 1, &["ops", "mail"]);
    let standard = change.events[0].body.clone();
    change.events[0].deliveries[0].body = standard.clone();
    bench.store().commit(change).await.unwrap();
    let stored = rusqlite::Connection::open(bench.path()).unwrap();
    let sql = "SELECT group_concat(channel_id) FROM deliveries WHERE body IS NULL";
    let stored: String = stored.query_row(sql, (), |row| row.get(0)).unwrap();
    assert_eq!(stored, "ops");
    let [ops, mail] = [bench.one("ops", NOW).await, bench.one("mail", NOW).await];
    assert_eq!((ops.body, mail.body), (standard.clone(), b"a 1".to_vec()));
    assert_eq!(bench.reader().message(&ops.id).unwrap().unwrap().1, standard);
}

#[tokio::test]
async fn channels_share_the_attempts_beyond_the_first_of_each() {
    let mut bench = Bench::new().await;
    for avatar in ["a", "b", "c", "d"] {
        bench.commit(avatar, 1, &["ops", "mail"]).await;
    }
    let names = ["mail", "ops"].map(|name| ChannelName::parse(name).unwrap());
    let uses = names.each_ref().map(|channel| ChannelUse { channel, in_flight: 0, max: 8 });
    let slots = AttemptSlots::new(4, &uses);
    let claims = bench.store().claim(slots, AlertTiming::default(), NOW).await.unwrap();
    let of = |name: &str| claims.claimed.iter().filter(|it| it.channel.as_str() == name).count();
    assert_eq!((of("mail"), of("ops")), (3, 1));
}

#[tokio::test]
async fn a_result_counts_only_for_its_own_attempt_and_only_once() {
    let (mut bench, claimed) = Bench::claimed().await;
    let stale = ClaimedDelivery { attempt: 7, ..claimed.clone() };
    assert!(!bench.settle(&stale, OutcomeClass::Delivered, NOW).await);
    assert!(bench.settle(&claimed, OutcomeClass::Delivered, NOW).await);
    assert!(!bench.settle(&claimed, OutcomeClass::Retryable, NOW).await);
    assert_eq!(bench.row(&claimed.id).state, "delivered");
    assert_eq!(bench.attempts(&claimed.id).len(), 1);
    // Another process has it now.
    bench.commit("b", 1, &["ops"]).await;
    let lost = bench.one("ops", NOW).await;
    bench.start("boot2");
    assert!(!bench.settle(&lost, OutcomeClass::Delivered, NOW).await);
}

#[tokio::test]
async fn only_the_requested_attempt_is_manual() {
    let (mut bench, first) = Bench::claimed().await;
    bench.settle(&first, OutcomeClass::Retryable, NOW).await;
    bench.retry(&first.id, RetryAs::SameId);
    let second = bench.one("ops", NOW).await;
    bench.settle(&second, OutcomeClass::Retryable, NOW).await;
    let late = NOW.plus(Duration::from_hours(1));
    bench.one("ops", late).await;
    let attempts = bench.attempts(&first.id);
    let triggers: Vec<&str> = attempts.iter().map(|attempt| attempt.trigger.as_str()).collect();
    assert_eq!(triggers, ["scheduled", "manual", "scheduled"]);
}

#[tokio::test]
async fn an_attempt_at_the_old_target_does_not_affect_the_health_of_the_new_one() {
    for class in [OutcomeClass::Gone, OutcomeClass::Throttled, OutcomeClass::Retryable] {
        let (bench, claimed) = Bench::claimed().await;
        bench.register(&[("ops", "new"), ("mail", "f2")], NOW).await;
        let before = bench.health("ops");
        let mut ended = result(&claimed, class, NOW);
        ended.outcome.retry_after = Some(Duration::from_hours(3));
        assert_eq!(
            bench.store().record_result(ended).await.unwrap(),
            RecordedResult::TargetChanged
        );
        assert_eq!(bench.health("ops"), before, "after {class:?}");
        let attempts = bench.attempts(&claimed.id);
        assert_eq!(attempts[0].outcome.as_deref(), Some(class.name()), "it is on record");
        // The delivery is not delayed either.
        let again = bench.claim("ops", 1, NOW).await.claimed;
        assert_eq!(again.first().map(|it| &it.id), Some(&claimed.id), "after {class:?}");
    }
}

#[tokio::test]
async fn an_open_attempt_of_an_unconfigured_channel_stays_open() {
    let hold = DeliveryPolicy { on_unknown: OnUnknown::Hold, ..DeliveryPolicy::webhook() };
    let late = NOW.plus(Duration::from_hours(10 * 24));
    for (terms, expected) in [(hold, "dead"), (DeliveryPolicy::webhook(), "pending")] {
        let (mut bench, lost) = Bench::claimed().await;
        bench.start("boot2");
        let registration = bench.register(&[("mail", "f2")], NOW).await;
        assert_eq!(registration.unconfigured, [(ChannelName::parse("ops").unwrap(), 1)]);
        let without = recovery("mail", DeliveryPolicy::email(), NOW);
        assert_eq!(bench.store().recover(without).await.unwrap(), 0);
        // The channel returns after the expiry of the delivery, within the same run.
        bench.register(&[("ops", "f1"), ("mail", "f2")], late).await;
        let with = recovery("ops", terms, late);
        assert_eq!(bench.store().recover(with).await.unwrap(), 1);
        let row = bench.row(&lost.id);
        assert_eq!(row.state, expected, "{:?}", row.final_reason);
    }
}

#[tokio::test]
async fn a_crash_during_a_probe_keeps_the_schedule_of_the_delivery() {
    let mut bench = Bench::new().await;
    for avatar in ["a", "b", "c"] {
        bench.commit(avatar, 1, &["ops"]).await;
    }
    let due_at = NOW.plus(Duration::from_hours(5));
    // The oldest has the longest delay; three failures limit the channel to probes.
    for claimed in bench.claim("ops", 9, NOW).await.claimed {
        let spent = u32::from(claimed.retry_state.expires_at > NOW);
        let mut ended = result(&claimed, OutcomeClass::Retryable, NOW);
        ended.retry_state.charged_attempts = 4 * spent;
        ended.retry_state.state = DeliveryState::Pending { next_attempt_at: due_at };
        assert_eq!(bench.store().record_result(ended).await.unwrap(), RecordedResult::Recorded);
    }
    let soon = NOW.plus(Duration::from_secs(60));
    let probe = bench.claim("ops", 9, soon).await.claimed.remove(0);
    assert_eq!(probe.due_at_before_probe, Some(due_at));
    bench.start("boot2");
    let recovery = recovery("ops", DeliveryPolicy::webhook(), soon);
    assert_eq!(bench.store().recover(recovery).await.unwrap(), 1);
    assert_eq!(bench.row(&probe.id).next_attempt_at, Some(due_at));
}

#[tokio::test]
async fn a_clock_set_back_moves_start_times_to_now() {
    let mut bench = Bench::new().await;
    for avatar in ["a", "b", "c"] {
        bench.commit(avatar, 1, &["ops"]).await;
    }
    let ahead = NOW.plus(Duration::from_hours(24 * 365));
    for claimed in bench.claim("ops", 9, ahead).await.claimed {
        let mut ended = result(&claimed, OutcomeClass::Retryable, ahead);
        ended.outcome = Outcome::new(OutcomeClass::Retryable, "response");
        bench.store().record_result(ended).await.unwrap();
    }
    bench.store().reschedule_after_clock_step(NOW).await.unwrap();
    let health = bench.health("ops");
    let begun = [health.failure_since, health.counted_since, health.failing_since];
    assert_eq!(begun, [Some(NOW); 3]);
    assert!(health.ready_at().unwrap() <= NOW);
}

#[tokio::test]
async fn pending_deliveries_and_dead_letters_can_be_cancelled_and_no_others() {
    let (mut bench, dead) = Bench::claimed().await;
    bench.settle(&dead, OutcomeClass::Rejected, NOW).await;
    let pending = bench.commit("b", 1, &["ops"]).await.events.remove(0).deliveries.remove(0);
    let mut admin = bench.admin();
    for id in [dead.id, pending.id] {
        assert_eq!(admin.cancel(&id, NOW).unwrap(), AdminResult::Cancelled(id.clone()));
        let again = admin.cancel(&id, NOW).unwrap();
        assert_eq!(again, AdminResult::InvalidState("cancelled".to_owned()));
        assert_eq!(bench.row(&id).final_reason.as_deref(), Some("cancelled manually"));
    }
    assert!(admin.dead_letters(&DeadLetterFilter::default()).unwrap().is_empty());
    let unknown = DeliveryId::mint(NOW, RandomBits::new(99));
    assert_eq!(admin.cancel(&unknown, NOW).unwrap(), AdminResult::NotFound);
    assert!(bench.claim("ops", 1, NOW).await.claimed.is_empty());
}

#[tokio::test]
async fn a_channel_that_left_the_config_keeps_its_deliveries() {
    let mut bench = Bench::new().await;
    bench.commit("a", 1, &["ops", "mail"]).await;
    let registration = bench.register(&[("ops", "f1")], NOW).await;
    assert_eq!(registration.unconfigured, [(ChannelName::parse("mail").unwrap(), 1)]);
    // It returns after ten days, which do not count towards the expiry of its deliveries.
    let late = NOW.plus(Duration::from_hours(10 * 24));
    bench.register(&[("ops", "f1"), ("mail", "f2")], late).await;
    let claimed = bench.one("mail", late).await;
    assert_eq!(claimed.retry_state.expires_at, late.plus(DeliveryPolicy::webhook().expires_after));
}

#[tokio::test]
async fn reads_and_an_empty_claim_write_nothing() {
    let mut bench = Bench::new().await;
    let id = bench.commit("a", 1, &[]).await.watch.id;
    let sizes = |bench: &Bench| {
        let wal = bench.folder.path().join("a.db-wal");
        let file = |path: PathBuf| {
            let meta = std::fs::metadata(path).unwrap();
            (meta.len(), meta.modified().unwrap())
        };
        (file(wal), file(bench.path()))
    };
    let before = sizes(&bench);
    for _ in 0..10 {
        bench.store().watches(vec![id.clone()]).await.unwrap();
        bench.store().recover(recovery("ops", DeliveryPolicy::webhook(), NOW)).await.unwrap();
        assert!(bench.claim("ops", 9, NOW).await.claimed.is_empty());
        bench.register(&[("ops", "f1"), ("mail", "f2")], NOW).await;
    }
    assert_eq!(sizes(&bench), before);
}

#[tokio::test]
async fn the_last_seen_time_never_moves_back() {
    let mut bench = Bench::new().await;
    let id = bench.commit("a", 1, &[]).await.watch.id;
    let late = NOW.plus(Duration::from_secs(9));
    let seen = |at| Checkpoint { id: id.clone(), last_seen_at: Some(at), next_poll_at: Some(NOW) };
    bench.store().save_poll_times(vec![seen(late), seen(NOW)]).await.unwrap();
    let watch = bench.store().watches(vec![id]).await.unwrap().remove(0);
    assert_eq!(watch.observed.unwrap().last_seen_at, late);
}

#[tokio::test]
async fn the_poll_times_of_many_avatars_are_saved_in_several_writes() {
    let bench = Bench::new().await;
    let many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1200)
                INSERT INTO watches(avatar_id) SELECT 'a' || x FROM n";
    Connection::open(bench.path()).unwrap().execute(many, ()).unwrap();
    let ids: Vec<_> = (1..=1200).map(|n| AvatarId::parse(&format!("a{n}")).unwrap()).collect();
    let before = bench.commits();
    let checkpoint = |id| Checkpoint { id, last_seen_at: None, next_poll_at: Some(NOW) };
    let checkpoints = ids.iter().cloned().map(checkpoint).collect();
    bench.store().save_poll_times(checkpoints).await.unwrap();
    assert_eq!(bench.commits() - before, 3);
    assert_eq!(bench.store().next_polls(ids).await.unwrap().len(), 1200);
}

#[tokio::test]
async fn the_states_of_a_completed_delivery_are_stored() {
    let mut bench = Bench::new().await;
    let mut now = NOW;
    for (n, class) in
        [OutcomeClass::Throttled, OutcomeClass::Local, OutcomeClass::Ambiguous].iter().enumerate()
    {
        bench.commit(&format!("a{n}"), 1, &["ops"]).await;
        let claimed = bench.one("ops", now).await;
        let expected = result(&claimed, *class, now).retry_state;
        assert!(bench.settle(&claimed, *class, now).await);
        let DeliveryState::Pending { next_attempt_at } = expected.state else { panic!() };
        let again = bench.one("ops", next_attempt_at).await;
        assert_eq!(again.retry_state.charged_attempts, expected.charged_attempts);
        assert_eq!(again.retry_state.free_attempts, expected.free_attempts);
        bench.settle(&again, OutcomeClass::Delivered, next_attempt_at).await;
        now = next_attempt_at;
    }
}

#[path = "resend_tests.rs"]
mod resend;
