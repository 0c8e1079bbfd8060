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

#[tokio::test]
async fn an_element_that_cannot_be_read_spoils_no_other() {
    let check = async |body: &str, expected: &[&str], unreadable: usize| {
        let api = FakeArgil::start();
        api.answer_list_next(Answer::status(200, body));
        let expected: Vec<String> = expected.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(shown(list(&api).await), (expected, unreadable, None), "for {body}");
    };
    let good = r#"{"id":"a","status":"IDLE"}"#;
    check("[]", &[], 0).await;
    check(&format!("[{good},1,null,[],\"x\"]"), &["a IDLE"], 4).await;
    check(&format!(r#"[{good},{{"id":"b"}},{{"status":"IDLE"}}]"#), &["a IDLE"], 2).await;
    check(&format!(r#"[{good},{{"id":"b","status":7}}]"#), &["a IDLE"], 1).await;
    check(&format!(r#"[{good},{{"id":"b","status":"X","status":"Y"}}]"#), &["a IDLE"], 1).await;
    check(&format!(r#"[{good},{{"id":"A","status":"REFUSED"}}]"#), &[], 2).await;
    check(&format!(r#"[{good},{{"id":"b c","status":"IDLE"}}]"#), &["a IDLE"], 1).await;
}

#[tokio::test]
async fn what_is_no_list_shows_nothing() {
    let check = async |answer: Answer, expected: PollError| {
        let api = FakeArgil::start();
        api.answer_list_next(answer.clone());
        match list(&api).await {
            ListObservation::Failed(Observation::Failed { fault, .. }) => {
                assert_eq!(fault, expected, "for {answer:?}");
            }
            other => panic!("{other:?} for {answer:?}"),
        }
    };
    check(Answer::status(200, r#"{"avatars":[]}"#), PollError::InvalidResponse).await;
    check(
        Answer::status(200, r#"{"items":[{"id":"a","status":"IDLE"}]}"#),
        PollError::InvalidResponse,
    )
    .await;
    check(Answer::status(200, "[{\"id\":"), PollError::InvalidResponse).await;
    check(Answer::status(200, "<html>"), PollError::InvalidResponse).await;
    check(Answer::status(200, ""), PollError::InvalidResponse).await;
    check(
        Answer::status(200, format!("[{}1]", "1,".repeat(5_000_000))),
        PollError::RequestRejected,
    )
    .await;
    check(Answer::status(404, "{}"), PollError::RequestRejected).await;
    check(Answer::status(500, "{}"), PollError::InvalidResponse).await;
    check(Answer::status(302, "").with("location", "http://other.test/"), PollError::Misrouted)
        .await;
    check(Answer::CloseBeforeHead, PollError::Unreachable).await;
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
