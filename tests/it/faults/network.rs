//! No response, or none from the API: names, connections, certificates, timeouts.

use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::time::Duration;

use avatar_watch::domain::polling::poll_failure::FailureKind;

use super::scene::{SHORT_TIMEOUT, Scene, given};
use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::full_listener::full;
use crate::harness::plans::seconds;
use crate::harness::tls::{Identity, TlsServer};

/// An unreachable endpoint: nothing is notified for 15 minutes, then once for all avatars; and the
/// first success after it is an event.
async fn check_unreachable(base_url: &str, timeout: Duration, reason: &str) {
    let avatars = ["a", "b", "c"];
    let scene = Scene::watching(&avatars).await;
    scene.redirect_to(base_url, timeout);
    let faults = avatars.map(|avatar| (avatar, reason));
    for wait in [5, 2, 4] {
        scene.expect_poll_after(seconds(wait), &avatars).await;
    }
    scene.check_failure(&faults, FailureKind::Failed);
    scene.world.live(seconds(900 - 6 - 1)).await;
    assert_eq!(scene.ops.notified(), [""; 0], "a short outage is not notified");
    scene.world.live(seconds(1)).await;
    assert_eq!(
        scene.ops.notified(),
        ["account.unavailable firing argil unreachable"],
        "one for all"
    );
    scene.redirect_back();
    scene.api.set_all(&avatars, "IDLE");
    scene.world.live(seconds(300)).await;
    scene.check_available(&avatars);
}

#[tokio::test]
async fn p01_an_unresolved_name_backs_off_and_is_reported_once_for_all_avatars() {
    // Longer than a DNS label may be, so that no server is queried.
    let name = format!("{}.invalid", "x".repeat(64));
    let reason = format!("cannot resolve `{name}`");
    check_unreachable(&format!("http://{name}/v1"), seconds(20), &reason).await;
}

#[tokio::test]
async fn p02_a_refused_connection_backs_off_and_is_reported_once_for_all_avatars() {
    let port = {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let base_url = format!("http://127.0.0.1:{port}/v1");
    let reason = format!("no connection to `127.0.0.1:{port}`: connection refused");
    check_unreachable(&base_url, seconds(20), &reason).await;
}

#[tokio::test]
async fn p02_a_connection_that_is_reset_or_closed_is_no_status() {
    let answers = [("reset", Answer::Reset), ("closed", Answer::CloseBeforeHead)];
    let scene = given(&answers).await;
    let faults = [("reset", "broke: connection reset"), ("closed", "closed the connection")];
    scene.check_passing(&faults).await;
}

#[tokio::test]
async fn p03_an_untrusted_certificate_blocks_the_key_and_is_reported_at_once() {
    for (year_of_end, reason) in [
        (4000, "TLS failed: its certificate was issued by an untrusted authority"),
        (2001, "TLS failed: its certificate expired at 2001-01-01T00:00:00.000Z, or our clock is"),
    ] {
        let server = TlsServer::start(&Identity::self_signed("127.0.0.1", year_of_end), "").await;
        let avatars = ["a", "b"];
        let scene = Scene::watching(&avatars).await;
        scene.redirect_to(&server.base_url(), seconds(20));
        scene.check_misrouted(&avatars, reason).await;
        assert_eq!((server.offers().len(), server.requests()), (2 + 3, 0), "the key stays here");
    }
}

#[tokio::test]
async fn p05_an_unanswered_connection_backs_off_and_is_reported_once_for_all() {
    let (address, _full) = full((Ipv4Addr::LOCALHOST, 0).into()).await;
    let limit = Duration::from_millis(100);
    check_unreachable(&format!("http://{address}/v1"), limit, "within 100ms").await;
}

/// Servers that are too slow in these ways: each poll ends at the timeout, with this reason.
async fn check_slow(cases: &[(&str, Answer, &str)]) {
    let answers: Vec<_> =
        cases.iter().map(|(avatar, answer, _)| (*avatar, answer.clone())).collect();
    let scene = given(&answers).await;
    scene.redirect_to(scene.api.base_url().as_str(), SHORT_TIMEOUT);
    let faults: Vec<_> = cases.iter().map(|(avatar, _, reason)| (*avatar, *reason)).collect();
    scene.check_passing(&faults).await;
}

/// Sends that, and then a blank every few milliseconds for a long time.
fn drip(first: &[u8]) -> Answer {
    let mut pieces = vec![first.to_vec()];
    pieces.resize(5000, b" ".to_vec());
    Answer::Drip { pieces, pause: Duration::from_millis(5) }
}

#[tokio::test]
async fn p06_a_head_that_stalls_or_drips_ends_at_the_limit_and_is_no_status() {
    let none = "no answer within 200ms";
    check_slow(&[
        ("silent", Answer::Stall(Vec::new()), none),
        ("half", Answer::Stall(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()), none),
        ("slow", drip(b"HTTP/1.1 200 OK\r\nx: y"), none),
    ])
    .await;
}

#[tokio::test]
async fn p07_a_body_that_stalls_or_drips_ends_at_the_limit_and_is_no_status() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n";
    let part = |id: &str| format!("{head}{{\"id\":\"{id}\",\"status\":\"IDLE\"}}");
    let cut = "within 200ms";
    check_slow(&[
        ("none", Answer::Stall(head.into()), cut),
        ("half", Answer::Stall(part("half").into()), cut),
        ("slow", drip(part("slow").as_bytes()), "no complete answer within 200ms"),
    ])
    .await;
}

#[tokio::test]
async fn p30_a_server_restart_behind_kept_connections_costs_no_poll() {
    let avatars = ["a", "b", "c"];
    let mut scene = Scene::watching(&avatars).await;
    scene.world.live(seconds(5)).await;
    let address = scene.api.address();
    drop(std::mem::replace(&mut scene.api, FakeArgil::start()));
    scene.api = FakeArgil::start_at(address);
    scene.api.set_all(&avatars, "IDLE");
    scene.expect_poll_after(seconds(5), &avatars).await;
    scene.check_recovered(&avatars);
    assert_eq!(scene.api.requests().len(), avatars.len(), "nothing had to be asked twice");
}

#[tokio::test]
async fn p30_a_kept_connection_that_closes_in_use_costs_no_poll() {
    let avatars = ["closed", "reset"];
    let scene = Scene::watching(&avatars).await;
    scene.api.answer_next("closed", Answer::CloseBeforeHead);
    scene.api.answer_next("reset", Answer::Reset);
    scene.expect_poll_after(seconds(5), &avatars).await;
    assert_eq!(scene.api.requests().len(), 2 + 4, "each was asked about once more");
    // After a failure it would be two seconds.
    scene.api.set_all(&avatars, "IDLE");
    scene.expect_poll_after(seconds(5), &avatars).await;
    scene.check_recovered(&avatars);
}

/// `GOAWAY` and `RST_STREAM` exist in HTTP/2 only, which is never used: it is not offered over TLS,
/// and without TLS it needs prior agreement.
#[tokio::test]
async fn p31_http2_is_never_offered_so_that_no_goaway_can_come() {
    let server = TlsServer::start(&Identity::self_signed("127.0.0.1", 4000), "").await;
    let scene = Scene::watching(&["a"]).await;
    scene.redirect_to(&server.base_url(), seconds(20));
    scene.world.live(seconds(5)).await;
    let offers = server.offers();
    assert_eq!(offers.len(), 1);
    assert!(!offers[0].contains(&"h2".to_owned()), "{offers:?}");
}

#[tokio::test]
async fn p31_frames_of_http2_are_no_status() {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let reset = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    let answers = [
        ("settings", Answer::Raw(settings.repeat(1000))),
        ("goaway", Answer::Raw([&settings[..], &goaway].concat())),
        ("reset", Answer::Raw([&settings[..], &reset].concat())),
    ];
    let scene = given(&answers).await;
    let faults = answers.each_ref().map(|(avatar, _)| (*avatar, "no usable answer from"));
    scene.check_passing(&faults).await;
}
