//! Dead letters that are sent again.

use super::*;

#[tokio::test]
async fn a_dead_letter_sent_again_as_new_is_resent() {
    let mut bench = Bench::new().await;
    for channel in ["ops", "mail"] {
        bench.commit(channel, 1, &[channel]).await;
        let dead = bench.one(channel, NOW).await;
        bench.settle(&dead, OutcomeClass::Rejected, NOW).await;
    }
    let (admin, all) = (bench.admin(), DeadLetterFilter::default());
    let failed = admin.dead_letters(&all).unwrap();
    assert_eq!(failed.len(), 2);
    assert!(matches!(bench.retry(&failed[0], RetryAs::NewId), AdminResult::Done(_)));
    assert_eq!(admin.dead_letters(&all).unwrap(), failed[1..], "that one is on its way");
    let counted = |bench: &Bench| {
        let channels = bench.reader().channels().unwrap().into_iter();
        let by_channel: Vec<_> = channels
            .map(|it| (it.name.to_string(), it.dead_letters))
            .filter(|it| it.1 > 0)
            .collect();
        let by_avatar: u64 =
            bench.reader().delivery_counts().unwrap().values().map(|it| it.dead_letters).sum();
        (by_channel, by_avatar)
    };
    assert_eq!(counted(&bench), (vec![("mail".to_owned(), 1)], 1));

    // Its delivery under the new id counts separately.
    let again = bench.one("ops", NOW).await;
    bench.settle(&again, OutcomeClass::Rejected, NOW).await;
    assert_eq!(admin.dead_letters(&all).unwrap(), [failed[1].clone(), again.id.clone()]);
    assert_eq!(bench.attempts(&again.id)[0].trigger, "manual");
    // The first one can be sent again through that one only.
    let refused = AdminResult::Resent(again.id.clone(), "dead".to_owned());
    assert_eq!(bench.retry(&failed[0], RetryAs::NewId), refused);
    assert!(matches!(bench.retry(&again.id, RetryAs::SameId), AdminResult::Done(_)));
    let third = bench.one("ops", NOW).await;
    bench.settle(&third, OutcomeClass::Rejected, NOW).await;
    assert_eq!(admin.dead_letters(&all).unwrap(), [failed[1].clone(), third.id]);
}

#[tokio::test]
async fn a_dead_or_discarded_delivery_is_sent_again_once_and_names_its_successor() {
    for discards in [false, true] {
        let (mut bench, dead) = Bench::claimed().await;
        bench.settle(&dead, OutcomeClass::Rejected, NOW).await;
        if discards {
            bench.admin().cancel(&dead.id, NOW).unwrap();
        }
        let AdminResult::Done(successor) = bench.retry(&dead.id, RetryAs::SameId) else {
            panic!("it is not sent again")
        };
        let refused = |state: &str| AdminResult::Resent(successor.clone(), state.to_owned());
        for retry_as in [RetryAs::SameId, RetryAs::NewId] {
            assert_eq!(bench.retry(&dead.id, retry_as), refused("pending"));
        }
        let again = bench.one("ops", NOW).await;
        bench.settle(&again, OutcomeClass::Delivered, NOW).await;
        assert_eq!(bench.retry(&dead.id, RetryAs::SameId), refused("delivered"));
        assert_eq!(bench.admin().cancel(&dead.id, NOW).unwrap(), refused("delivered"));
        let row = bench.row(&dead.id);
        assert_eq!(row.state, "resent");
        assert_eq!(row.resent_as, Some((successor, "delivered".to_owned())));
        assert_eq!(bench.reader().deliveries(&DeliveryFilter::default()).unwrap().len(), 2);
        assert!(bench.reader().delivery_counts().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_crash_during_a_resend_leaves_a_dead_letter_or_a_linked_successor() {
    let (mut bench, dead) = Bench::claimed().await;
    bench.settle(&dead, OutcomeClass::Rejected, NOW).await;
    // The write of the link fails after the insertion of the successor.
    let breaks = rusqlite::Connection::open(bench.path()).unwrap();
    let sql = "CREATE TRIGGER breaks BEFORE UPDATE OF resent_as ON deliveries
               BEGIN SELECT raise(ABORT, 'as the test asked for'); END";
    let mut admin = bench.admin();
    breaks.execute_batch(sql).unwrap();
    let random = bench.random();
    assert!(admin.retry(&dead.id, RetryAs::SameId, NOW, random).is_err());
    breaks.execute_batch("DROP TRIGGER breaks").unwrap();
    assert_eq!(bench.row(&dead.id).state, "dead");
    assert_eq!(bench.reader().deliveries(&DeliveryFilter::default()).unwrap().len(), 1);
    assert!(matches!(bench.retry(&dead.id, RetryAs::SameId), AdminResult::Done(_)));
}
