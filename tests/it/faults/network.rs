//! No answer, or none that came from where it should: names, connections, certificates, silence.

use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::time::Duration;

use avatar_watch::domain::polling::poll_failure::FailureKind;

use super::full::full;
use super::scene::{IMPATIENT, Scene, given};
use crate::harness::argil::{Answer, FakeArgil};
use crate::harness::plans::seconds;
use crate::harness::tls::{Identity, TlsServer};

/// A way on which nobody is reached: nothing is told for a quarter of an hour, then once for
/// all; and the first sight after it is news.
async fn check_unreachable(base_url: &str, timeout: Duration, reason: &str) {
    let avatars = ["a", "b", "c"];
    let scene = Scene::watching(&avatars).await;
    scene.lead_to(base_url, timeout);
    let faults = avatars.map(|avatar| (avatar, reason));
    for wait in [5, 2, 4] {
        scene.expect_look_after(seconds(wait), &avatars).await;
    }
    scene.check_trouble(&faults, FailureKind::Failed);
    scene.world.live(seconds(900 - 6 - 1)).await;
    assert_eq!(scene.told(), [""; 0], "a short outage is told to nobody");
    scene.world.live(seconds(1)).await;
    assert_eq!(scene.told(), ["account.unavailable firing argil unreachable"], "one for all");
    scene.lead_back();
    scene.set_all(&avatars, "IDLE");
    scene.world.live(seconds(300)).await;
    scene.check_mended(&avatars);
    let told = scene.told();
    assert!(
        told.contains(&"account.unavailable resolved argil unreachable".to_owned()),
        "{told:?}"
    );
    assert_eq!(told.len(), 2 + avatars.len(), "{told:?}");
}

#[tokio::test]
async fn p01_a_name_that_does_not_resolve_backs_off_and_is_told_once_for_all() {
    // Longer than a label of the DNS may be, so that nobody is asked.
    let name = format!("{}.invalid", "x".repeat(64));
    let reason = format!("cannot resolve `{name}`");
    check_unreachable(&format!("http://{name}/v1"), seconds(20), &reason).await;
}

#[tokio::test]
async fn p02_a_refused_connection_backs_off_and_is_told_once_for_all() {
    let port = {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let base_url = format!("http://127.0.0.1:{port}/v1");
    check_unreachable(&base_url, seconds(20), "connection refused").await;
}

#[tokio::test]
async fn p02_a_connection_that_is_reset_or_closed_is_no_status() {
    let answers = [("reset", Answer::Reset), ("closed", Answer::CloseBeforeHead)];
    let scene = given(&answers).await;
    let faults = [("reset", "broke: connection reset"), ("closed", "closed the connection")];
    scene.check_passing(&faults).await;
}

#[tokio::test]
async fn p03_a_certificate_that_is_not_trusted_stops_the_key_and_is_told_at_once() {
    for (year_of_end, reason) in [
        (4000, "TLS failed: its certificate was issued by an untrusted authority"),
        (2001, "TLS failed: its certificate expired at 2001-01-01T00:00:00.000Z, or our clock is"),
    ] {
        let server = TlsServer::start(&Identity::self_signed("127.0.0.1", year_of_end), "").await;
        let avatars = ["a", "b"];
        let scene = Scene::watching(&avatars).await;
        scene.lead_to(&server.base_url(), seconds(20));
        scene.check_wrong_way(&avatars, reason).await;
        assert_eq!((server.offers().len(), server.requests()), (2 + 3, 0), "the key stays here");
    }
}

#[tokio::test]
async fn p05_a_connection_that_nobody_takes_backs_off_and_is_told_once_for_all() {
    let (address, _full) = full((Ipv4Addr::LOCALHOST, 0).into()).await;
    let limit = Duration::from_millis(100);
    check_unreachable(&format!("http://{address}/v1"), limit, "within 100ms").await;
}

/// Servers that are too slow in these ways: each look ends at the limit.
async fn check_slow(answers: &[(&str, Answer)]) {
    let scene = given(answers).await;
    scene.lead_to(scene.api.base_url().as_str(), IMPATIENT);
    let faults: Vec<_> = answers.iter().map(|(avatar, _)| (*avatar, "within 200ms")).collect();
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
    check_slow(&[
        ("silent", Answer::Stall(Vec::new())),
        ("half", Answer::Stall(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec())),
        ("slow", drip(b"HTTP/1.1 200 OK\r\nx: y")),
    ])
    .await;
}

#[tokio::test]
async fn p07_a_body_that_stalls_or_drips_ends_at_the_limit_and_is_no_status() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n";
    let part = |id: &str| format!("{head}{{\"id\":\"{id}\",\"status\":\"IDLE\"}}");
    check_slow(&[
        ("none", Answer::Stall(head.into())),
        ("half", Answer::Stall(part("half").into())),
        ("slow", drip(part("slow").as_bytes())),
    ])
    .await;
}

#[tokio::test]
async fn p30_a_server_that_restarts_behind_kept_connections_costs_no_look() {
    let avatars = ["a", "b", "c"];
    let mut scene = Scene::watching(&avatars).await;
    scene.world.live(seconds(5)).await;
    let address = scene.api.address();
    drop(std::mem::replace(&mut scene.api, FakeArgil::start()));
    scene.api = FakeArgil::start_at(address);
    scene.set_all(&avatars, "IDLE");
    scene.expect_look_after(seconds(5), &avatars).await;
    scene.check_mended(&avatars);
    assert_eq!(scene.api.requests().len(), avatars.len(), "nothing had to be asked twice");
}

#[tokio::test]
async fn p30_a_kept_connection_that_dies_in_use_costs_no_look() {
    let avatars = ["closed", "reset"];
    let scene = Scene::watching(&avatars).await;
    scene.api.answer_next("closed", Answer::CloseBeforeHead);
    scene.api.answer_next("reset", Answer::Reset);
    scene.expect_look_after(seconds(5), &avatars).await;
    assert_eq!(scene.api.requests().len(), 2 + 4, "each was asked about once more");
    // After a failure it would be two seconds.
    scene.set_all(&avatars, "IDLE");
    scene.expect_look_after(seconds(5), &avatars).await;
    scene.check_mended(&avatars);
}

/// `GOAWAY` and `RST_STREAM` exist in HTTP/2 only, which is never spoken: it is not offered over
/// TLS, and without TLS nothing but a prior agreement could bring it about.
#[tokio::test]
async fn p31_http2_is_never_offered_so_that_no_goaway_can_come() {
    let server = TlsServer::start(&Identity::self_signed("127.0.0.1", 4000), "").await;
    let scene = Scene::watching(&["a"]).await;
    scene.lead_to(&server.base_url(), seconds(20));
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
