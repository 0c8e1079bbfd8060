use proptest::prelude::*;

use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT
const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> HttpResponse {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    HttpResponse {
        status,
        headers: headers.iter().map(owned).collect(),
        body_prefix: body.as_bytes().to_vec(),
        decode_error: None,
    }
}

fn check(status: u16, headers: &[(&str, &str)], class: OutcomeClass, delay_ms: Option<u64>) {
    let meaning = response(status, headers, "").classify(NOW);
    assert_eq!(meaning.class, class, "for {status} {headers:?}");
    assert_eq!(
        meaning.retry_after,
        delay_ms.map(Duration::from_millis),
        "for {status} {headers:?}"
    );
}

#[test]
fn each_status_has_a_class() {
    for status in 100..=599 {
        let expected = match status {
            200..=299 => OutcomeClass::Delivered,
            410 => OutcomeClass::Gone,
            413 | 415 => OutcomeClass::Rejected,
            429 => OutcomeClass::Throttled,
            _ => OutcomeClass::Retryable,
        };
        check(status, &[], expected, None);
    }
}

#[test]
fn a_delay_is_read_from_every_failure_in_each_form() {
    let wait = |status, value, class, delay_ms| {
        check(status, &[("retry-after", value)], class, delay_ms);
    };
    for status in [301, 400, 404, 408, 500, 502, 504] {
        wait(status, "7", OutcomeClass::Retryable, Some(7000));
        wait(status, "soon", OutcomeClass::Retryable, None);
    }
    wait(410, "7", OutcomeClass::Gone, Some(7000));
    wait(413, "7", OutcomeClass::Rejected, Some(7000));
    wait(429, "7", OutcomeClass::Throttled, Some(7000));
    wait(429, "0.65", OutcomeClass::Throttled, Some(650));
    wait(429, "Sun, 06 Nov 1994 08:50:07 GMT", OutcomeClass::Throttled, Some(30_000));
    wait(429, "soon", OutcomeClass::Throttled, None);
    wait(429, "31536000", OutcomeClass::Throttled, Some(24 * 3600 * 1000));
    wait(503, "7", OutcomeClass::Throttled, Some(7000));
    wait(503, "soon", OutcomeClass::Retryable, None);
    wait(503, "0", OutcomeClass::Retryable, None);
    wait(200, "7", OutcomeClass::Delivered, None);
    // A date is relative to the receiver's `Date`.
    let there = [
        ("retry-after", "Sun, 06 Nov 1994 10:00:10 GMT"),
        ("date", "Sun, 06 Nov 1994 10:00:00 GMT"),
    ];
    check(429, &there, OutcomeClass::Throttled, Some(10_000));
    check(429, &[("retry-after", "soon"), ("retry-after", "9")], OutcomeClass::Throttled, {
        Some(9000)
    });
}

#[test]
fn without_a_header_the_body_of_a_429_gives_the_delay() {
    let check = |status: u16, headers: &[(&str, &str)], body: &str, delay_ms: Option<u64>| {
        let meaning = response(status, headers, body).classify(NOW);
        assert_eq!(meaning.retry_after, delay_ms.map(Duration::from_millis), "for `{body}`");
    };
    check(429, &[], r#"{"message":"slow down","retry_after":64.57,"global":false}"#, Some(64_570));
    check(429, &[], r#"{"retry_after":3}"#, Some(3000));
    check(429, &[("retry-after", "7")], r#"{"retry_after":3}"#, Some(7000));
    check(429, &[("retry-after", "soon")], r#"{"retry_after":3}"#, Some(3000));
    check(429, &[], r#"{"retry_after":1e300}"#, Some(24 * 3600 * 1000));
    for body in [
        r#"{"retry_after":-1}"#,
        r#"{"retry_after":0}"#,
        r#"{"retry_after":"3"}"#,
        r#"{"retry_after":null}"#,
        r#"{"retry_after":3"#,
        r#"["retry_after"]"#,
        "3",
        "<html>",
        "",
    ] {
        check(429, &[], body, None);
    }
    check(500, &[], r#"{"retry_after":3}"#, None);
    check(200, &[], r#"{"retry_after":3}"#, None);
}

#[test]
fn a_used_up_rate_limit_counts_even_in_a_2xx() {
    let rest = |headers: &[(&str, &str)], delay_ms: Option<u64>| {
        let headers = [&[("x-ratelimit-limit", "5")], headers].concat();
        check(200, &headers, OutcomeClass::Delivered, delay_ms);
        check(500, &headers, OutcomeClass::Retryable, delay_ms);
        check(429, &headers, OutcomeClass::Throttled, delay_ms);
    };
    let none = ("x-ratelimit-remaining", "0");
    rest(&[none, ("x-ratelimit-reset-after", "1.5")], Some(1500));
    rest(&[none, ("x-ratelimit-reset-after", "1e9")], Some(24 * 3600 * 1000));
    rest(&[none, ("x-ratelimit-reset-after", "-1")], None);
    rest(&[none, ("x-ratelimit-reset-after", "NaN")], None);
    rest(&[none, ("x-ratelimit-reset-after", "soon")], None);
    rest(&[none, ("x-ratelimit-reset", "784111787")], Some(10_000));
    rest(&[none, ("x-ratelimit-reset", "784111787.25")], Some(10_250));
    rest(&[none, ("x-ratelimit-reset", "784111787000")], Some(10_000));
    rest(&[none, ("x-ratelimit-reset", "784111000")], None);
    rest(&[none, ("x-ratelimit-reset", "60")], None);
    rest(&[none, ("x-ratelimit-reset", "1e300")], None);
    rest(&[none, ("x-ratelimit-reset", "-1")], None);
    rest(&[none], None);
    rest(&[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset-after", "9")], None);
    rest(&[("x-ratelimit-reset-after", "9")], None);
    let there =
        [none, ("x-ratelimit-reset", "784111787"), ("date", "Sun, 06 Nov 1994 08:49:45 GMT")];
    rest(&there, Some(2000));
    // `Retry-After` has precedence.
    let both = [none, ("x-ratelimit-reset-after", "9"), ("retry-after", "2")];
    check(429, &both, OutcomeClass::Throttled, Some(2000));
    check(200, &both, OutcomeClass::Delivered, Some(9000));
}

#[test]
fn a_receiver_can_reject_a_message_or_disable_the_channel() {
    let wish = |status, value, class| check(status, &[("webhook-delivery", value)], class, None);
    for status in [200, 204, 301, 404, 410, 429, 500] {
        wish(status, "disable", OutcomeClass::Gone);
        wish(status, " Disable ", OutcomeClass::Gone);
        wish(status, "abort-message, disable", OutcomeClass::Gone);
    }
    for status in [301, 404, 429, 500, 503] {
        wish(status, "abort-message", OutcomeClass::Rejected);
    }
    wish(200, "abort-message", OutcomeClass::Delivered);
    wish(410, "abort-message", OutcomeClass::Gone);
    wish(500, "disabled", OutcomeClass::Retryable);
    wish(500, "", OutcomeClass::Retryable);
    let meaning = response(500, &[("webhook-delivery", "abort-message")], "").classify(NOW);
    assert_eq!(meaning.remark, Some("it does not want this message again"));
}

#[test]
fn the_clock_of_the_receiver_is_read_from_every_response() {
    let check = |date: &str, expected: Option<Timestamp>| {
        assert_eq!(response(500, &[("date", date)], "").clock(), expected, "for `{date}`");
    };
    check("Sun, 06 Nov 1994 08:49:37 GMT", Some(NOW));
    check("today", None);
    assert_eq!(response(200, &[], "").clock(), None);
}

proptest! {
    #[test]
    fn every_delay_is_capped(
        status in 100_u16..1000,
        value in "[0-9.eE+-]{0,12}|[ -~]{0,40}",
        name in prop::sample::select(vec![
            "retry-after",
            "x-ratelimit-reset",
            "x-ratelimit-reset-after",
            "webhook-delivery",
            "date",
        ]),
        body in "\\{\"retry_after\": ?[0-9.eE+-]{1,9}\\}",
    ) {
        let headers = [(name, value.as_str()), ("x-ratelimit-remaining", "0")];
        let meaning = response(status, &headers, &body).classify(NOW);
        if let Some(wait) = meaning.retry_after {
            prop_assert!(!wait.is_zero() && wait <= RETRY_AFTER_MAX, "{wait:?}");
        }
    }
}
