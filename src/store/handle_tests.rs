use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::domain::avatar::Avatar;
use crate::domain::avatar::status::Status;
use crate::domain::avatar::transition::Previous;
use crate::domain::delivery::channel::ChannelName;
use crate::domain::delivery::channel_health::{ChannelHealth, ChannelState};
use crate::domain::delivery::retry_policy::{DeliveryPolicy, OnUnknown};
use crate::domain::delivery::{Delivery, DeliveryId, DeliveryState, Outcome, OutcomeClass};
use crate::domain::event::{EventKind, Subject};
use crate::domain::id::EventId;
use crate::domain::polling::watch::LastObserved;
use crate::domain::random::RandomBits;
use crate::store::admin::deliveries::{AdminResult, DeliveryAdmin, FailedFilter, RetryAs};
use crate::store::reader::{DeliveryFilter, Reader};
use crate::store::tables::outbox::Claimed;

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
            status: Status::Idle,
            detected_at: NOW,
            upstream_updated_at: None,
        };
        let event = Event {
            id: EventId::mint(NOW, self.random()),
            kind: EventKind::AvatarReady,
            occurred_at: NOW,
            subject: Subject::Transition {
                avatar: Box::new(Avatar {
                    id: id.clone(),
                    status: Status::Idle,
                    name: None,
                    model: None,
                    orientation: None,
                    thumbnail_url: None,
                    extras: BTreeMap::new(),
                    updated_at: None,
                }),
                transition: Box::new(transition.clone()),
                training: None,
            },
        };
        let observed = LastObserved { status: Status::Idle, since: NOW, last_seen_at: NOW };
        let deliveries = channels
            .iter()
            .map(|channel| NewDelivery {
                id: DeliveryId::mint(NOW, self.random()),
                channel: ChannelName::parse(channel).unwrap(),
                recipient: String::new(),
                content_type: "application/json".to_owned(),
                body: format!("{avatar} {sequence}").into_bytes(),
                fallback: None,
                delivery: Delivery::new(NOW, &DeliveryPolicy::webhook()),
            })
            .collect();
        ObservationCommit {
            watch: Watch { observed: Some(observed), sequence, ..Watch::new(id) },
            transition: Some(transition),
            training: None,
            events: vec![NewEvent { event, body: b"{}".to_vec(), deliveries }],
            discovered: None,
            now: NOW,
        }
    }

    async fn claim(&self, channel: &str, room: usize, now: Timestamp) -> Claims {
        let slots = vec![(ChannelName::parse(channel).unwrap(), room)];
        self.store().claim(Claim { slots, now }).await.unwrap()
    }

    /// Records the result of an attempt at the current target of its channel.
    async fn settle(&self, claimed: &Claimed, class: OutcomeClass, now: Timestamp) -> bool {
        let settled = self.store().record_result(result(claimed, class, now)).await.unwrap();
        assert_ne!(settled, RecordedResult::TargetChanged);
        settled == RecordedResult::Recorded
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

fn result(claimed: &Claimed, class: OutcomeClass, now: Timestamp) -> AttemptResult {
    let outcome = Outcome { code: Some(200), ..Outcome::new(class, "response") };
    let delivery = claimed.delivery.clone();
    AttemptResult {
        id: claimed.id.clone(),
        attempt: claimed.attempt,
        target: Some(if claimed.channel.as_str() == "ops" { "f1" } else { "f2" }.to_owned()),
        delivery: delivery.apply_outcome(
            &outcome,
            now,
            &DeliveryPolicy::webhook(),
            RandomBits::new(1 << 127),
        ),
        outcome,
        finished_at: now,
        latency_ms: 3,
        random: RandomBits::new(1 << 127),
    }
}

/// For a config with a channel `ops`.
fn recovery() -> CrashRecovery {
    recovery_of(&[("ops", DeliveryPolicy::webhook())], NOW)
}

fn recovery_of(channels: &[(&str, DeliveryPolicy)], now: Timestamp) -> CrashRecovery {
    let terms = channels
        .iter()
        .map(|(channel, terms)| (ChannelName::parse(channel).unwrap(), terms.clone()));
    CrashRecovery { now, policies: terms.collect(), random: RandomBits::new(1) }
}

fn bodies(claims: &Claims) -> Vec<String> {
    claims.claimed.iter().map(|row| String::from_utf8(row.body.clone()).unwrap()).collect()
}

#[tokio::test]
async fn a_commit_is_written_completely_and_read_back() {
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &["ops", "mail"]);
    bench.store().commit(change.clone()).await.unwrap();
    let reader = bench.reader();
    assert_eq!(reader.transitions(None, 10).unwrap(), [change.transition.unwrap()]);
    assert_eq!(reader.watches().unwrap(), std::slice::from_ref(&change.watch));
    let all = DeliveryFilter { limit: 10, ..DeliveryFilter::default() };
    let rows = reader.deliveries(&all).unwrap();
    assert_eq!(rows.iter().map(|row| row.channel.as_str()).collect::<Vec<_>>(), ["ops", "mail"]);
    let seeded = bench.store().watches(vec![change.watch.id.clone()]).await.unwrap();
    assert_eq!(seeded, [change.watch]);
}

#[tokio::test]
async fn a_failed_commit_writes_no_row() {
    let mut bench = Bench::new().await;
    let mut change = bench.change("a", 1, &["ops"]);
    change.events[0].deliveries[0].channel = ChannelName::parse("unknown").unwrap();
    assert!(bench.store().commit(change).await.is_err());
    let reader = bench.reader();
    assert!(reader.transitions(None, 10).unwrap().is_empty());
    assert!(reader.watches().unwrap().is_empty());
}

#[tokio::test]
async fn a_failed_write_does_not_affect_the_others_of_its_group() {
    let mut bench = Bench::new().await;
    let changes: Vec<ObservationCommit> = (0..50)
        .map(|n| {
            let mut change = bench.change(&format!("a{n}"), 1, &["ops"]);
            if n % 7 == 0 {
                change.events[0].deliveries[0].channel = ChannelName::parse("unknown").unwrap();
            }
            change
        })
        .collect();
    let commits = changes.into_iter().map(|change| bench.store().commit(change));
    let written = futures_util::future::join_all(commits).await;
    let good = written.iter().filter(|result| result.is_ok()).count();
    assert_eq!(good, 42);
    assert_eq!(bench.reader().transitions(None, 100).unwrap().len(), 42);
}

#[tokio::test]
async fn a_read_does_not_fail_with_the_writes_of_its_group() {
    let bench = Bench::new().await;
    let store = bench.store();
    let (begun, begins) = oneshot::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    // The disk is full from now on, and the writer is busy, so that the others form a group.
    let busy = store.run("filling the disk", move |connection, _| {
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        connection.pragma_update(None, "max_page_count", pages)?;
        begun.send(()).unwrap();
        held.recv().unwrap();
        Ok(())
    });
    let others = async {
        begins.await.unwrap();
        let written = store.save_active_config("x".repeat(1_000_000));
        let read = store.watches(vec![AvatarId::parse("a").unwrap()]);
        let release = async { release.send(()).unwrap() };
        // They are queued in this order before the writer continues.
        let (written, read, ()) = tokio::join!(written, read, release);
        (written, read)
    };
    let (busy, (written, read)) = tokio::join!(busy, others);
    busy.unwrap();
    assert!(matches!(written, Err(StoreError::NoSpace { .. })), "{written:?}");
    assert_eq!(read.unwrap().len(), 1);
}

#[tokio::test]
async fn deliveries_of_one_avatar_are_sent_in_order_and_do_not_wait_for_others() {
    let mut bench = Bench::new().await;
    for (avatar, sequence) in [("a", 1), ("a", 2), ("b", 1)] {
        let change = bench.change(avatar, sequence, &["ops"]);
        bench.store().commit(change).await.unwrap();
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
async fn a_claim_is_limited_to_the_free_slots() {
    let mut bench = Bench::new().await;
    for n in 0..5 {
        let change = bench.change(&format!("a{n}"), 1, &["ops", "mail"]);
        bench.store().commit(change).await.unwrap();
    }
    assert_eq!(bodies(&bench.claim("ops", 2, NOW).await), ["a0 1", "a1 1"]);
    assert_eq!(bench.claim("mail", 9, NOW).await.claimed.len(), 5);
    assert_eq!(bench.claim("ops", 9, NOW).await.claimed.len(), 3);
}

#[tokio::test]
async fn a_result_counts_only_for_its_own_attempt_and_only_once() {
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &["ops"]);
    bench.store().commit(change).await.unwrap();
    let claims = bench.claim("ops", 1, NOW).await;
    let claimed = &claims.claimed[0];
    let stale = Claimed { attempt: 7, ..claimed.clone() };
    assert!(!bench.settle(&stale, OutcomeClass::Delivered, NOW).await);
    assert!(bench.settle(claimed, OutcomeClass::Delivered, NOW).await);
    assert!(!bench.settle(claimed, OutcomeClass::Retryable, NOW).await);
    let reader = bench.reader();
    assert_eq!(reader.delivery(claimed.id.as_str()).unwrap().unwrap().state, "delivered");
    assert_eq!(reader.attempts(&claimed.id).unwrap().len(), 1);
}

#[tokio::test]
async fn an_open_attempt_of_a_dead_process_becomes_unknown_and_is_repeated() {
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &["ops"]);
    bench.store().commit(change).await.unwrap();
    let lost = bench.claim("ops", 1, NOW).await.claimed.remove(0);
    bench.start("boot2");
    assert_eq!(bench.store().recover(recovery()).await.unwrap(), 1);
    assert_eq!(bench.store().recover(recovery()).await.unwrap(), 0);
    let again = bench.claim("ops", 1, NOW).await.claimed.remove(0);
    assert_eq!((again.attempt, &again.id, &again.body), (2, &lost.id, &lost.body));
    assert_eq!(again.event_id, lost.event_id);
    assert!(!bench.settle(&lost, OutcomeClass::Delivered, NOW).await);
    let attempts = bench.reader().attempts(&lost.id).unwrap();
    assert_eq!(attempts[0].outcome.as_deref(), Some("unknown"));
    assert_eq!(attempts[1].outcome, None);
}

#[tokio::test]
async fn a_dead_letter_can_be_sent_again_with_the_same_id_and_bytes() {
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &["ops"]);
    bench.store().commit(change).await.unwrap();
    let first = bench.claim("ops", 1, NOW).await.claimed.remove(0);
    bench.settle(&first, OutcomeClass::Rejected, NOW).await;

    let mut admin = DeliveryAdmin::open(&bench.path()).unwrap();
    assert_eq!(admin.failed(&FailedFilter::default()).unwrap(), std::slice::from_ref(&first.id));
    let random = bench.random();
    let AdminResult::Done(fresh) = admin.retry(&first.id, RetryAs::SameId, NOW, random).unwrap()
    else {
        panic!()
    };
    assert_ne!(fresh, first.id);
    assert!(admin.failed(&FailedFilter::default()).unwrap().is_empty(), "it is being sent again");
    assert!(matches!(
        admin.retry(&first.id, RetryAs::SameId, NOW, random).unwrap(),
        AdminResult::InvalidState(_)
    ));

    let again = bench.claim("ops", 1, NOW).await.claimed.remove(0);
    assert_eq!((&again.event_id, &again.body), (&first.event_id, &first.body));
    bench.settle(&again, OutcomeClass::Delivered, NOW).await;
    let attempts = bench.reader().attempts(&fresh).unwrap();
    assert_eq!(attempts[0].trigger, "manual");
}

#[tokio::test]
async fn a_dead_letter_sent_again_as_new_counts_as_sent_again() {
    let mut bench = Bench::new().await;
    for channel in ["ops", "mail"] {
        let change = bench.change(channel, 1, &[channel]);
        bench.store().commit(change).await.unwrap();
        let dead = bench.claim(channel, 1, NOW).await.claimed.remove(0);
        bench.settle(&dead, OutcomeClass::Rejected, NOW).await;
    }
    let mut admin = DeliveryAdmin::open(&bench.path()).unwrap();
    let all = FailedFilter::default();
    let failed = admin.failed(&all).unwrap();
    assert_eq!(failed.len(), 2);
    let random = bench.random();
    let done = admin.retry(&failed[0], RetryAs::NewId, NOW, random).unwrap();
    assert!(matches!(done, AdminResult::Done(_)));
    assert_eq!(admin.failed(&all).unwrap(), failed[1..], "that one is on its way");
    let counted = |bench: &Bench| {
        let channels = bench.reader().channels().unwrap().into_iter();
        let by_channel: Vec<_> =
            channels.map(|it| (it.name.to_string(), it.failed)).filter(|it| it.1 > 0).collect();
        let by_avatar: u64 =
            bench.reader().delivery_counts().unwrap().values().map(|it| it.failed).sum();
        (by_channel, by_avatar)
    };
    assert_eq!(counted(&bench), (vec![("mail".to_owned(), 1)], 1));

    // Its delivery under the new id counts separately.
    let again = bench.claim("ops", 1, NOW).await.claimed.remove(0);
    bench.settle(&again, OutcomeClass::Rejected, NOW).await;
    assert_eq!(admin.failed(&all).unwrap(), [failed[1].clone(), again.id.clone()]);
    assert_eq!(bench.reader().attempts(&again.id).unwrap()[0].trigger, "manual");
    // A later failure under the first id was not sent again.
    let random = bench.random();
    assert!(matches!(
        admin.retry(&failed[0], RetryAs::SameId, NOW, random).unwrap(),
        AdminResult::Done(_)
    ));
    let third = bench.claim("ops", 1, NOW).await.claimed.remove(0);
    bench.settle(&third, OutcomeClass::Rejected, NOW).await;
    assert_eq!(admin.failed(&all).unwrap(), [failed[1].clone(), again.id, third.id]);
}

#[tokio::test]
async fn only_the_requested_attempt_is_manual() {
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &["ops"]);
    bench.store().commit(change).await.unwrap();
    let first = bench.claim("ops", 1, NOW).await.claimed.remove(0);
    bench.settle(&first, OutcomeClass::Retryable, NOW).await;
    let random = bench.random();
    let mut admin = DeliveryAdmin::open(&bench.path()).unwrap();
    admin.retry(&first.id, RetryAs::SameId, NOW, random).unwrap();
    let second = bench.claim("ops", 1, NOW).await.claimed.remove(0);
    bench.settle(&second, OutcomeClass::Retryable, NOW).await;
    let late = NOW.plus(Duration::from_hours(1));
    bench.claim("ops", 1, late).await.claimed.remove(0);
    let attempts = bench.reader().attempts(&first.id).unwrap();
    let triggers: Vec<&str> = attempts.iter().map(|attempt| attempt.trigger.as_str()).collect();
    assert_eq!(triggers, ["scheduled", "manual", "scheduled"]);
}

#[tokio::test]
async fn an_attempt_at_the_old_target_does_not_affect_the_health_of_the_new_one() {
    for class in [OutcomeClass::Gone, OutcomeClass::Throttled, OutcomeClass::Retryable] {
        let mut bench = Bench::new().await;
        let change = bench.change("a", 1, &["ops"]);
        bench.store().commit(change).await.unwrap();
        let claimed = bench.claim("ops", 1, NOW).await.claimed.remove(0);
        bench.register(&[("ops", "new"), ("mail", "f2")], NOW).await;
        let before = bench.health("ops");
        let mut ended = result(&claimed, class, NOW);
        ended.outcome.retry_after = Some(Duration::from_hours(3));
        assert_eq!(
            bench.store().record_result(ended).await.unwrap(),
            RecordedResult::TargetChanged
        );
        assert_eq!(bench.health("ops"), before, "after {class:?}");
        let attempts = bench.reader().attempts(&claimed.id).unwrap();
        assert_eq!(attempts[0].outcome.as_deref(), Some(class.name()), "it is on record");
        // The delivery is not delayed either.
        let again = bench.claim("ops", 1, NOW).await.claimed;
        assert_eq!(again.first().map(|it| &it.id), Some(&claimed.id), "after {class:?}");
    }
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &["ops"]);
    bench.store().commit(change).await.unwrap();
    let claimed = bench.claim("ops", 1, NOW).await.claimed.remove(0);
    assert!(bench.settle(&claimed, OutcomeClass::Gone, NOW).await);
    assert_eq!(bench.health("ops").state, ChannelState::Disabled, "at its own target it does");
}

#[tokio::test]
async fn an_open_attempt_of_an_unconfigured_channel_stays_open() {
    let hold = DeliveryPolicy { on_unknown: OnUnknown::Hold, ..DeliveryPolicy::webhook() };
    let late = NOW.plus(Duration::from_hours(10 * 24));
    for (terms, expected) in [(hold, "failed"), (DeliveryPolicy::webhook(), "pending")] {
        let mut bench = Bench::new().await;
        let change = bench.change("a", 1, &["ops"]);
        bench.store().commit(change).await.unwrap();
        let lost = bench.claim("ops", 1, NOW).await.claimed.remove(0);
        bench.start("boot2");
        let registration = bench.register(&[("mail", "f2")], NOW).await;
        assert_eq!(registration.unconfigured, [(ChannelName::parse("ops").unwrap(), 1)]);
        let without = recovery_of(&[("mail", DeliveryPolicy::email())], NOW);
        assert_eq!(bench.store().recover(without).await.unwrap(), 0);
        // The channel returns after the expiry of the delivery, within the same run.
        bench.register(&[("ops", "f1"), ("mail", "f2")], late).await;
        let with = recovery_of(&[("ops", terms)], late);
        assert_eq!(bench.store().recover(with).await.unwrap(), 1);
        let row = bench.reader().delivery(lost.id.as_str()).unwrap().unwrap();
        assert_eq!(row.state, expected, "{:?}", row.final_reason);
    }
}

#[tokio::test]
async fn a_crash_during_a_probe_keeps_the_schedule_of_the_delivery() {
    let mut bench = Bench::new().await;
    for avatar in ["a", "b", "c"] {
        let change = bench.change(avatar, 1, &["ops"]);
        bench.store().commit(change).await.unwrap();
    }
    // The oldest has the longest delay; three failures limit the channel to probes.
    for claimed in bench.claim("ops", 9, NOW).await.claimed {
        let spent = u32::from(claimed.delivery.expires_at > NOW);
        let mut ended = result(&claimed, OutcomeClass::Retryable, NOW);
        ended.delivery.attempts_used = 4 * spent;
        let next_attempt_at = NOW.plus(Duration::from_hours(5));
        ended.delivery.state = DeliveryState::Pending { next_attempt_at };
        assert_eq!(bench.store().record_result(ended).await.unwrap(), RecordedResult::Recorded);
    }
    let soon = NOW.plus(Duration::from_secs(60));
    let probe = bench.claim("ops", 9, soon).await.claimed.remove(0);
    let due_at = NOW.plus(Duration::from_hours(5));
    assert_eq!(probe.probe_of, Some(due_at));
    bench.start("boot2");
    let recovery = recovery_of(&[("ops", DeliveryPolicy::webhook())], soon);
    assert_eq!(bench.store().recover(recovery).await.unwrap(), 1);
    let row = bench.reader().delivery(probe.id.as_str()).unwrap().unwrap();
    assert_eq!(row.next_attempt_at, Some(due_at));
}

#[tokio::test]
async fn a_clock_set_back_moves_start_times_to_now() {
    let mut bench = Bench::new().await;
    for avatar in ["a", "b", "c"] {
        let change = bench.change(avatar, 1, &["ops"]);
        bench.store().commit(change).await.unwrap();
    }
    let ahead = NOW.plus(Duration::from_hours(24 * 365));
    for claimed in bench.claim("ops", 9, ahead).await.claimed {
        let mut ended = result(&claimed, OutcomeClass::Retryable, ahead);
        ended.outcome = Outcome::new(OutcomeClass::Retryable, "response");
        bench.store().record_result(ended).await.unwrap();
    }
    bench.store().reschedule_after_clock_step(NOW).await.unwrap();
    let health = bench.health("ops");
    let begun = [health.failure_since, health.first_failure_at, health.failing_since];
    assert_eq!(begun, [Some(NOW); 3]);
    assert!(health.ready_at().unwrap() <= NOW);
}

#[tokio::test]
async fn a_dead_letter_can_be_discarded() {
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &["ops"]);
    bench.store().commit(change).await.unwrap();
    let dead = bench.claim("ops", 1, NOW).await.claimed.remove(0);
    bench.settle(&dead, OutcomeClass::Rejected, NOW).await;
    let mut admin = DeliveryAdmin::open(&bench.path()).unwrap();
    assert_eq!(admin.cancel(&dead.id, NOW).unwrap(), AdminResult::Done(dead.id.clone()));
    assert!(admin.failed(&FailedFilter::default()).unwrap().is_empty());
    let row = bench.reader().delivery(dead.id.as_str()).unwrap().unwrap();
    assert_eq!(row.final_reason.as_deref(), Some("cancelled manually"));
}

#[tokio::test]
async fn only_pending_deliveries_can_be_cancelled() {
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &["ops"]);
    let id = change.events[0].deliveries[0].id.clone();
    bench.store().commit(change).await.unwrap();
    let mut admin = DeliveryAdmin::open(&bench.path()).unwrap();
    assert_eq!(admin.cancel(&id, NOW).unwrap(), AdminResult::Done(id.clone()));
    assert_eq!(admin.cancel(&id, NOW).unwrap(), AdminResult::InvalidState("cancelled".to_owned()));
    let unknown = DeliveryId::mint(NOW, RandomBits::new(99));
    assert_eq!(admin.cancel(&unknown, NOW).unwrap(), AdminResult::NotFound);
    assert!(bench.claim("ops", 1, NOW).await.claimed.is_empty());
}

#[tokio::test]
async fn a_channel_that_left_the_config_keeps_its_deliveries() {
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &["ops", "mail"]);
    bench.store().commit(change).await.unwrap();
    let registration = bench.register(&[("ops", "f1")], NOW).await;
    assert_eq!(registration.unconfigured, [(ChannelName::parse("mail").unwrap(), 1)]);
    // It returns after ten days, which do not count towards the expiry of its deliveries.
    let late = NOW.plus(Duration::from_hours(10 * 24));
    bench.register(&[("ops", "f1"), ("mail", "f2")], late).await;
    let claimed = bench.claim("mail", 1, late).await.claimed.remove(0);
    assert_eq!(claimed.delivery.expires_at, late.plus(DeliveryPolicy::webhook().expires_after));
}

#[tokio::test]
async fn reads_and_an_empty_claim_write_nothing() {
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &[]);
    let id = change.watch.id.clone();
    bench.store().commit(change).await.unwrap();
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
        bench.store().recover(recovery()).await.unwrap();
        assert!(bench.claim("ops", 9, NOW).await.claimed.is_empty());
        bench.register(&[("ops", "f1"), ("mail", "f2")], NOW).await;
    }
    assert_eq!(sizes(&bench), before);
}

#[tokio::test]
async fn the_last_seen_time_never_moves_back() {
    let mut bench = Bench::new().await;
    let change = bench.change("a", 1, &[]);
    let id = change.watch.id.clone();
    bench.store().commit(change).await.unwrap();
    let late = NOW.plus(Duration::from_secs(9));
    let seen = |at| Checkpoint { id: id.clone(), last_seen_at: Some(at), next_poll_at: Some(NOW) };
    bench.store().checkpoint(vec![seen(late), seen(NOW)]).await.unwrap();
    let watch = bench.store().watches(vec![id]).await.unwrap().remove(0);
    assert_eq!(watch.observed.unwrap().last_seen_at, late);
}

#[tokio::test]
async fn the_states_of_a_completed_delivery_are_stored() {
    let mut bench = Bench::new().await;
    let mut now = NOW;
    for (n, class) in
        [OutcomeClass::Throttled, OutcomeClass::Local, OutcomeClass::Ambiguous].iter().enumerate()
    {
        let change = bench.change(&format!("a{n}"), 1, &["ops"]);
        bench.store().commit(change).await.unwrap();
        let claimed = bench.claim("ops", 1, now).await.claimed.remove(0);
        let expected = result(&claimed, *class, now).delivery;
        assert!(bench.settle(&claimed, *class, now).await);
        let DeliveryState::Pending { next_attempt_at } = expected.state else { panic!() };
        let again = bench.claim("ops", 1, next_attempt_at).await.claimed.remove(0);
        assert_eq!(again.delivery.attempts_used, expected.attempts_used);
        assert_eq!(again.delivery.free_attempts, expected.free_attempts);
        bench.settle(&again, OutcomeClass::Delivered, next_attempt_at).await;
        now = next_attempt_at;
    }
}
