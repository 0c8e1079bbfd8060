//! The API moves to other machines while connections to the old ones are kept: for how long they
//! are believed.

use super::*;

async fn poll_at(client: &Client, seconds: u64) -> Observation {
    let now = NOW.plus(Duration::from_secs(seconds));
    client.get_avatar(&AvatarId::parse("a1").unwrap(), now).await
}

#[tokio::test]
async fn a_kept_connection_has_a_greatest_age() {
    let api = FakeArgil::start();
    api.set_status("a1", "TRAINING");
    let client = client(&api);
    let connections = async |at_s| {
        poll_at(&client, at_s).await;
        api.connections()
    };
    for at_s in (0..300).step_by(60) {
        assert_eq!(connections(at_s).await, 1, "at {at_s} s");
    }
    assert_eq!(connections(301).await, 2, "the name is resolved again");
    assert_eq!(connections(350).await, 2);
    assert_eq!(connections(450).await, 3, "unused for longer than any is kept");
    // A clock that was set back makes them old as well.
    assert_eq!(connections(0).await, 4);
    assert_eq!(api.requests().len(), 9, "no request is sent twice");
}

#[tokio::test]
async fn a_bad_response_on_an_old_connection_counts_only_if_a_new_one_confirms_it() {
    for code in [401, 403, 404] {
        let api = FakeArgil::start();
        api.set_status("a1", "IDLE");
        let client = client(&api);
        check_idle(&poll_at(&client, 0).await);
        api.answer_next("a1", Answer::status(code, "{}"));
        check_idle(&poll_at(&client, 60).await);
        assert_eq!((api.requests().len(), api.connections()), (3, 2), "for {code}");
        assert_eq!(client.reconnects(), 1, "it is charged");
        // The new connection is believed for a while; then it is old, too.
        api.answer_next("a1", Answer::status(code, "{}"));
        let bad = poll_at(&client, 80).await;
        assert!(!matches!(bad, Observation::Seen(_) | Observation::Failed { .. }), "{bad:?}");
        assert_eq!((api.requests().len(), api.connections()), (4, 2), "for {code}");
        // After a bad response, a connection expires sooner: the next poll uses a new one at once.
        api.answer_next("a1", Answer::status(code, "{}"));
        let bad = poll_at(&client, 120).await;
        assert!(!matches!(bad, Observation::Seen(_) | Observation::Failed { .. }), "{bad:?}");
        assert_eq!((api.requests().len(), api.connections()), (5, 3), "for {code}");
    }
}

#[tokio::test]
async fn a_failure_on_an_old_connection_is_reported_at_once_and_the_next_poll_uses_a_new_one() {
    let api = FakeArgil::start();
    api.set_status("a1", "IDLE");
    let client = client(&api);
    check_idle(&poll_at(&client, 0).await);
    api.answer_next("a1", Answer::status(503, "{}"));
    check_failed(&poll_at(&client, 60).await, "the API answered 503");
    assert_eq!(api.requests().len(), 2);
    check_idle(&poll_at(&client, 62).await);
    assert_eq!((api.requests().len(), api.connections()), (3, 2));
}

#[tokio::test]
async fn a_name_is_resolved_for_each_connection_pool() {
    let api = FakeArgil::start_at(([127, 0, 0, 1], 0).into());
    api.set_status("a1", "IDLE");
    let base = format!("http://localhost:{}/v1", api.address().port());
    let client = client_at(&base, Duration::from_secs(8));
    for at_s in [0, 400] {
        check_idle(&poll_at(&client, at_s).await);
    }
    assert_eq!(api.connections(), 2);
    assert_eq!(api.requests()[0].header("host"), Some(&base[7..base.len() - 3]));
}
