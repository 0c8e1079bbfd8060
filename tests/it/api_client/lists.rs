//! One request for all avatars of an account.

use avatar_watch::domain::polling::list_observation::ListObservation;
use avatar_watch::domain::polling::observation::{Denial, Observation, PollError};

use crate::harness::argil::{Answer, FakeArgil};

use super::{NOW, client};

async fn list(api: &FakeArgil) -> ListObservation {
    client(api).list_avatars(NOW).await
}

fn shown(listing: ListObservation) -> (Vec<String>, usize, Option<String>) {
    let ListObservation::Listed { avatars, unreadable, page, .. } = listing else {
        panic!("{listing:?}")
    };
    let avatars = avatars.iter().map(|it| format!("{} {}", it.id, it.status)).collect();
    (avatars, unreadable, page)
}

#[tokio::test]
async fn a_list_shows_every_avatar_with_its_status() {
    let api = FakeArgil::start();
    api.set_status("b", "IDLE");
    api.set_status("a", "TRAINING");
    let expected = vec!["a TRAINING".to_owned(), "b IDLE".to_owned()];
    assert_eq!(shown(list(&api).await), (expected, 0, None));
    let request = api.requests().remove(0);
    assert_eq!(request.path, "/v1/avatars?visibility=private");
    assert_eq!(request.header("x-api-key"), Some(super::KEY));
}

/// What is no list is tested where it is parsed, in `argil::list`.
#[tokio::test]
async fn a_failed_list_shows_nothing() {
    let moved = Answer::status(302, "").with("location", "http://other.test/");
    for (answer, expected) in [
        (Answer::status(200, r#"{"avatars":[]}"#), PollError::InvalidResponse),
        (Answer::status(404, "{}"), PollError::RequestRejected),
        (Answer::status(500, "{}"), PollError::InvalidResponse),
        (moved, PollError::Misrouted),
        (Answer::CloseBeforeHead, PollError::Unreachable),
    ] {
        let api = FakeArgil::start();
        api.answer_list_next(answer.clone());
        match list(&api).await {
            ListObservation::Failed(Observation::Failed { fault, .. }) => {
                assert_eq!(fault, expected, "for {answer:?}");
            }
            other => panic!("{other:?} for {answer:?}"),
        }
    }
}

#[tokio::test]
async fn a_refused_key_and_a_rate_limit_are_reported_as_such() {
    let api = FakeArgil::start();
    for (code, expected) in [(401, Denial::Key), (403, Denial::Avatar)] {
        api.answer_list_next(Answer::status(code, "{}"));
        match list(&api).await {
            ListObservation::Failed(Observation::Denied { denial, .. }) => {
                assert_eq!(denial, expected)
            }
            other => panic!("{other:?}"),
        }
    }
    api.answer_list_next(Answer::status(429, "{}").with("retry-after", "7"));
    let seen = list(&api).await;
    assert!(matches!(&seen, ListObservation::Failed(Observation::Throttled { .. })), "{seen:?}");
}

#[tokio::test]
async fn pagination_headers_make_it_a_page() {
    let check = async |name: &'static str, value: &str, is_page: bool| {
        let api = FakeArgil::start();
        api.set_status("a", "IDLE");
        let body = r#"[{"id":"a","status":"IDLE"}]"#;
        api.answer_list_next(Answer::status(200, body).with(name, value));
        let (_, _, page) = shown(list(&api).await);
        assert_eq!(page.is_some(), is_page, "for `{name}: {value}`: {page:?}");
    };
    check("x-total-count", "120", true).await;
    check("x-total-count", "1", false).await;
    check("x-total-count", "many", true).await;
    check("x-total-pages", "6", true).await;
    check("x-total-pages", "1", false).await;
    check("x-page", "2", true).await;
    check("x-page", "1", false).await;
    check("x-page-size", "20", false).await;
    check("link", "<http://api.test/avatars?page=2>; rel=\"next\"", true).await;
    check("link", "<http://api.test/a>; rel=prev, <http://api.test/b>; rel=\"last NEXT\"", true)
        .await;
    check("link", "</_next/static/a.js>; rel=preload; as=script", false).await;
    check("x-request-id", "120", false).await;
}
