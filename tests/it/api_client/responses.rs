//! Whole answers and broken ones: what each is taken for.

use std::time::Duration;

use avatar_watch::domain::polling::observation::{Denial, Observation, PollError};
use serde_json::json;

use super::{
    AVATAR, KEY, check_failed, check_idle, client, observe, observe_within, poll, raw, with_length,
};
use crate::harness::argil::{Answer, FakeArgil};

#[tokio::test]
async fn a_denied_key_is_denied_and_never_repeated() {
    let body = json!({"code": 401, "message": format!("no such key: {KEY}")}).to_string();
    for (code, denial) in [(401, Denial::Key), (403, Denial::Avatar)] {
        let seen = observe(Answer::status(code, body.clone())).await;
        let reason = format!("the API answered {code}: `no such key: ***`");
        assert_eq!(seen, Observation::Denied { denial, reason });
    }
    let api = FakeArgil::start();
    api.require_key("another");
    assert!(matches!(poll(&client(&api), "a1").await, Observation::Denied { .. }));
}

#[tokio::test]
async fn every_other_code_is_a_failure() {
    for code in [400, 405, 406, 410, 415, 422, 451, 500, 502, 503, 504, 599, 201, 204, 206, 304] {
        let body = if matches!(code, 204 | 304) { "" } else { AVATAR };
        check_failed(&observe(Answer::status(code, body)).await, &format!("answered {code}"));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_stays_here() {
    let other = FakeArgil::start();
    let target = other.base_url();
    for code in [301, 302, 303, 307, 308] {
        let answer = Answer::status(code, "").with("location", format!("{target}/avatars/a1"));
        let expected = format!("answered {code}, a redirect to `127.0.0.1`, which is not followed");
        check_failed(&observe(answer).await, &expected);
    }
    let leak = Answer::status(302, "").with("location", format!("https://{KEY}.test/?k={KEY}"));
    check_failed(&observe(leak).await, "a redirect to `***.test`");
    check_failed(&observe(Answer::status(302, "").with("location", "http://[")).await, "302");
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_200_with_an_odd_content_type_is_accepted() {
    let html = Answer::status(200, AVATAR).with("content-type", "text/html; charset=latin-1");
    check_idle(&observe(html).await);
    let odd =
        json!({"id": "A1", "status": "IDLE", "name": 7, "width": "x", "extras": [], "new": {}});
    check_idle(&observe(Answer::status(200, odd.to_string())).await);
    // No length, old protocol: the end of the connection is the end of the body.
    check_idle(&observe(raw(&format!("HTTP/1.0 200 OK\r\n\r\n{AVATAR}"))).await);
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(3);
    check_idle(&observe(raw(&format!("{interim}{}", with_length(27, AVATAR)))).await);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    check_idle(&observe(raw(&format!("{chunked}1b;x=y\r\n{AVATAR}\r\n0\r\na: b\r\n\r\n"))).await);
    let zipped = Answer::status(200, gzip_stored(AVATAR.as_bytes()));
    check_idle(&observe(zipped.with("content-encoding", "gzip")).await);
}

/// That body in that coding.
fn coded(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => gzip_stored(body),
        // `<html>sign in</html>` and an avatar, as brotli: an uncompressed metablock each.
        "br" => {
            let length = u32::try_from(body.len() - 1).unwrap();
            // WBITS 16, not the last one, four nibbles of length, uncompressed; then an empty end.
            let bits = (length << 4) | (1 << 20);
            let mut coded = bits.to_le_bytes()[..3].to_vec();
            coded.extend_from_slice(body);
            coded.push(3);
            coded
        }
        _ => body.to_vec(),
    }
}

#[tokio::test]
async fn an_avatar_is_seen_in_every_coding_that_is_known_and_a_page_is_no_proof_in_any() {
    let once = gzip_stored(AVATAR.as_bytes());
    let members = [gzip_stored(&AVATAR.as_bytes()[..9]), gzip_stored(&AVATAR.as_bytes()[9..])];
    for (codings, body) in [
        (&["gzip"][..], once.clone()),
        (&["GZip"], once.clone()),
        (&["x-gzip"], once.clone()),
        (&["gzip"], members.concat()),
        (&["gzip, gzip"], gzip_stored(&once)),
        (&["gzip", "gzip"], gzip_stored(&once)),
        (&["gzip, identity"], once.clone()),
        (&["identity, gzip"], once.clone()),
        (&["br"], coded("br", AVATAR.as_bytes())),
        (&["br, gzip"], gzip_stored(&coded("br", AVATAR.as_bytes()))),
        (&["utf-8"], AVATAR.into()),
        (&["none"], AVATAR.into()),
        (&[""], AVATAR.into()),
        (&["aws-chunked"], AVATAR.into()),
    ] {
        let answer = Answer::status(200, body);
        let with = |answer: Answer, coding: &&str| answer.with("content-encoding", *coding);
        check_idle(&observe(codings.iter().fold(answer, with)).await);
    }
    let page = b"<html>sign in</html>";
    for coding in ["identity", "gzip", "br", "BR"] {
        let body = coded(&coding.to_lowercase(), page);
        let page = Answer::status(404, body).with("content-encoding", coding);
        check_failed(&observe(page).await, "the API answered 404 with a web page");
    }
}

#[tokio::test]
async fn a_coding_that_is_not_understood_is_named_and_proves_nothing() {
    let unknown = "has a content coding that is not known, `compress`";
    let corrupt = "is not the `gzip` that its `Content-Encoding` says";
    for (coding, why) in [("compress", unknown), ("Compress, gzip", unknown), ("gzip", corrupt)] {
        let with = |code, body: &str| Answer::status(code, body).with("content-encoding", coding);
        check_failed(&observe(with(200, AVATAR)).await, &format!("the answer {why}"));
        let gone = observe(with(404, "{\"code\":404}")).await;
        check_failed(&gone, &format!("the API answered 404, and the answer {why}"));
        assert!(matches!(gone, Observation::Failed { fault: PollError::UnknownEncoding, .. }));
        let broken = observe(with(500, "busy")).await;
        check_failed(&broken, &format!("the API answered 500, and the answer {why}"));
        assert!(matches!(broken, Observation::Failed { fault: PollError::InvalidResponse, .. }));
        let refused = observe(with(401, "\u{1}binary")).await;
        let reason = format!("the API answered 401, and the answer {why}");
        assert_eq!(refused.reason(), Some(reason.as_str()), "{refused:?}");
        assert!(matches!(refused, Observation::Denied { .. }));
    }
    // Nor does the name of a coding show the key.
    let coding = super::KEY.to_uppercase();
    let notified = observe(Answer::status(200, AVATAR).with("content-encoding", coding)).await;
    check_failed(&notified, "the answer has a content coding that is not known, `***`");
    let mut cut = gzip_stored(b"{\"code\":404,\"message\":\"Avatar not found\"}");
    cut.truncate(12);
    let cut = Answer::status(404, cut).with("content-encoding", "gzip");
    check_failed(&observe(cut).await, "the answer broke off within its content coding");
}

#[tokio::test]
async fn an_answer_may_come_in_any_pieces() {
    let whole = with_length(27, AVATAR).into_bytes();
    for size in [1, 2, 7, 39] {
        let pieces = whole.chunks(size).map(<[u8]>::to_vec).collect();
        let pause = Duration::from_millis(1);
        check_idle(&observe(Answer::Drip { pieces, pause }).await);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_a_failure() {
    let cut = observe(raw(&with_length(99, AVATAR))).await;
    check_failed(&cut, "the answer broke off");
    assert!(matches!(cut, Observation::Failed { fault: PollError::Unreachable, .. }));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    check_failed(&observe(raw(&format!("{chunked}1b\r\n{AVATAR}"))).await, "the answer broke off");
    check_failed(&observe(raw(&format!("{chunked}zz\r\n"))).await, "the answer broke off");
    let mut zipped = gzip_stored(AVATAR.as_bytes());
    zipped.truncate(20);
    let cut = Answer::status(200, zipped).with("content-encoding", "gzip");
    check_failed(&observe(cut).await, "the answer broke off");
}

#[tokio::test]
async fn what_is_not_http_is_a_failure() {
    check_failed(&observe(raw("SSH-2.0-OpenSSH_9.2\r\n")).await, "no usable answer from");
    check_failed(&observe(raw("HTTP/1.1 200 OK\r\nbad header\r\n\r\n")).await, "no usable answer");
    check_failed(&observe(raw("HTTP/1.1 101 Switching\r\n\r\n")).await, "");
    let flood = format!("HTTP/1.1 200 OK\r\n{}", "x-flood: y\r\n".repeat(700_000));
    check_failed(&observe(raw(&flood)).await, "no usable answer");
    let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(8_000_000));
    check_failed(&observe(raw(&long)).await, "no usable answer");
}

#[tokio::test]
async fn a_body_without_end_is_cut_at_the_cap() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let endless = Answer::Endless { head, piece: vec![b' '; 8192] };
    check_failed(&observe(endless).await, "larger than 256 KiB");
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
    let endless = Answer::Drip { pieces: vec![interim; 1000], pause: Duration::from_millis(5) };
    let seen = observe_within(endless, Duration::from_millis(300)).await;
    check_failed(&seen, "no answer within 300ms");
}

const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A gzip of one stored block (RFC 1951, section 3.2.4).
fn gzip_stored(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let mut bytes = GZIP_HEAD.to_vec();
    bytes.push(1);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&(!length).to_le_bytes());
    bytes.extend_from_slice(data);
    let mut sum = !0_u32;
    for byte in data {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 * (sum & 1));
        }
    }
    bytes.extend_from_slice(&(!sum).to_le_bytes());
    bytes.extend_from_slice(&u32::from(length).to_le_bytes());
    bytes
}
