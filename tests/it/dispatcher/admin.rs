//! Admin operations beside a running dispatcher.

use super::*;

/// The dispatcher queries the table at least this often.
const GLANCE: Duration = Duration::from_secs(2);

async fn with_one_dead_letter() -> (Bench, Arc<Post>) {
    let (bench, post) = Bench::sending(first(1, OutcomeClass::Rejected)).await;
    assert_eq!(bench.states(), ["failed"]);
    (bench, post)
}

fn retry(bench: &Bench, row: &DeliveryRow, roll: u128) -> AdminResult {
    let mut hands = DeliveryAdmin::open(&bench.world.path()).unwrap();
    hands.retry(&row.id, RetryAs::SameId, bench.world.clock.wall(), RandomBits::new(roll)).unwrap()
}

#[tokio::test]
async fn a_dead_letter_sent_again_keeps_its_id_and_bytes() {
    let (bench, post) = with_one_dead_letter().await;
    let AdminResult::Done(fresh) = retry(&bench, &bench.rows()[0], 7) else {
        panic!("not sent again")
    };
    bench.world.quiet().await;
    assert_eq!(post.calls().len(), 1, "no wakeup was sent");
    bench.world.pass(GLANCE).await;
    let calls = post.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].delivery_id, fresh);
    assert_eq!((&calls[1].event_id, &calls[1].body), (&calls[0].event_id, &calls[0].body));
    assert_eq!(bench.states(), ["failed", "delivered"]);
    let attempts = bench.world.reader().attempts(&fresh).unwrap();
    assert_eq!(attempts[0].trigger, "manual");
    bench.check_attempts(&[&post]);
}

#[tokio::test]
async fn a_manual_attempt_does_not_wait_for_the_schedule() {
    let (bench, post) = Bench::sending(first(5, OutcomeClass::Retryable)).await;
    for _ in 0..4 {
        let due_at = bench.rows()[0].next_attempt_at.unwrap();
        bench.world.pass(due_at.since(bench.world.clock.wall())).await;
    }
    assert_eq!(post.calls().len(), 5);
    retry(&bench, &bench.rows()[0], 7);
    bench.world.pass(GLANCE).await;
    assert_eq!(post.calls().len(), 6);
    assert_eq!(bench.states(), ["delivered"]);
}

#[tokio::test]
async fn a_delivery_in_flight_refuses_a_manual_attempt() {
    let (bench, slow) = Bench::sending(|_| slowly(seconds(30))).await;
    assert_eq!(retry(&bench, &bench.rows()[0], 7), AdminResult::InvalidState("sending".to_owned()));
    bench.world.pass(seconds(30)).await;
    assert_eq!(slow.calls().len(), 1);
}

#[tokio::test]
async fn a_cancelled_delivery_is_not_attempted_and_unblocks_its_queue() {
    let (bench, post) = Bench::serving(first(1, OutcomeClass::Retryable)).await;
    bench.gallery.show(&id("a"), Status::Idle);
    bench.world.pass(seconds(60)).await;
    let row = bench.rows().remove(0);
    let mut hands = DeliveryAdmin::open(&bench.world.path()).unwrap();
    let handled = hands.cancel(&row.id, bench.world.clock.wall()).unwrap();
    assert_eq!(handled, AdminResult::Done(row.id));
    bench.gallery.show(&id("a"), Status::Refused);
    bench.world.pass(seconds(60)).await;
    assert_eq!(bench.states(), ["cancelled", "delivered"]);
    assert_eq!(post.calls().len(), 2);
}
