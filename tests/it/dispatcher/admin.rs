//! Admin operations beside a running dispatcher.

use super::*;

/// The dispatcher queries the table at least this often.
const GLANCE: Duration = Duration::from_secs(2);

fn retry(bench: &Bench, row: &DeliveryRow, roll: u128) -> AdminResult {
    let mut hands = DeliveryAdmin::open(&bench.world.path()).unwrap();
    hands.retry(&row.id, RetryAs::SameId, bench.world.clock.wall(), RandomBits::new(roll)).unwrap()
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
    let attempts = bench.world.reader().attempts(&bench.rows()[0].id).unwrap();
    assert_eq!(attempts[5].trigger, "manual");
}

#[tokio::test]
async fn a_delivery_in_flight_refuses_a_manual_attempt() {
    let (bench, slow) = Bench::sending(|_| slowly(seconds(30))).await;
    assert_eq!(retry(&bench, &bench.rows()[0], 7), AdminResult::InvalidState("sending".to_owned()));
    bench.world.pass(seconds(30)).await;
    assert_eq!(slow.calls().len(), 1);
}
