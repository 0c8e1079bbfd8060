//! The catalogue of the poller's faults and odd cases. Each has a test over a real socket: one in
//! this folder with its number as a prefix, such as `p01_`, or one that is named here.
//!
//! A failed poll changes no status, and the next poll is on time. Transient faults are polled again
//! soon and reported if they last; permanent faults are reported at once, or when they are
//! confirmed.
//!
//! - P1, the name does not resolve.
//! - P2, the connection is refused or reset:
//!   - `api_client::a_connection_that_dies_on_first_use_is_a_failure`
//! - P3, the certificate is expired, for another host, or from an unknown authority:
//!   - `api_client::environment::a_trusted_certificate_is_accepted_and_one_of_another_host_is_not`
//! - P4, TLS fails because the local clock is wrong.
//! - P5, the connection is not accepted.
//! - P6, no head of a response, or a slow one.
//! - P7, a body that stalls or is slow.
//! - P8, 401:
//!   - `poller::rejected_key::a_refused_key_allows_one_poll_at_growing_delays`
//!   - `poller::conditions::unavailable_fires_once_over_restarts_and_is_resolved_after_one`
//!   - `poller::lists::a_refused_key_causes_no_burst_of_list_polls`
//! - P9, 403.
//! - P10, 404 for an avatar that was never observed:
//!   - `poller::conditions::an_avatar_that_never_existed_fires_missing_at_once_and_is_polled_soon`
//! - P11, 404 for an avatar that was observed before:
//!   - `poller::conditions::a_known_avatar_is_missing_only_after_half_an_hour_and_three_polls`
//!   - `poller::conditions::a_short_absence_fires_no_condition`
//! - P12, 429 with a delay in seconds:
//!   - `poller::rejected_key::a_throttled_account_makes_one_poll_before_the_others`
//! - P13, 429 with a date.
//! - P14, 429 without a delay, with an absurd one, or with two.
//! - P15, 500, 502, 503, 504:
//!   - `poller::failures_back_off_until_one_success`
//! - P16, 400, 405, 406, 410, 415, 422, 451:
//!   - `api_client::responses::every_other_code_is_a_failure`
//! - P17, 200 with a web page.
//! - P18, a valid response with an odd content type:
//!   - `api_client::responses::a_200_with_an_odd_content_type_is_accepted`
//! - P19, JSON that is cut, broken, contradicts itself or is too deep:
//!   - `api_client::responses::an_answer_that_is_not_whole_is_a_failure`
//!   - `api_client::responses::what_is_not_http_is_a_failure`
//! - P20, a body that is too large or endless (`tests/memory` has the compressed ones):
//!   - `api_client::responses::a_body_without_end_is_cut_at_the_cap`
//! - P21, an unknown status:
//!   - `dispatcher::outcomes::each_outcome_is_sent_by_webhook_and_mail`
//! - P22, a status that is missing, null or not a string.
//! - P23, a response about another avatar.
//! - P24, other fields that are new, missing or of another type.
//! - P25, a status that goes back.
//! - P26, a training between two polls:
//!   - `dispatcher::outcomes::a_training_between_two_polls_is_inferred_unless_disabled`
//! - P27, settled at the first poll.
//! - P28, a change while the daemon was down:
//!   - `poller::start::avatars_that_became_due_are_polled_at_once`
//! - P29, a redirect:
//!   - `api_client::responses::a_redirect_is_not_followed_and_the_key_stays_here`
//! - P30, a server that restarts behind kept connections:
//!   - `api_client::a_poll_never_sends_more_than_two_requests`
//! - P31, `GOAWAY`, `RST_STREAM` and floods of HTTP/2, which is never used.
//! - P32, proxy variables in the environment:
//!   - `api_client::environment::proxy_variables_are_ignored`
//! - P33, a wall clock that jumps:
//!   - `poller::a_wall_clock_jump_causes_neither_a_burst_nor_a_stall`
//!   - `poller::conditions::a_wall_clock_jump_makes_no_account_unavailable`
//!   - `poller::start::a_checkpoint_of_a_wrong_clock_delays_no_avatar`
//! - P34, suspension.
//! - P35, no file handles.
//! - P36, unreachable IPv6.
//! - P37, all avatars fail at once:
//!   - `poller::conditions::an_api_outage_fires_unavailable_after_unavailable_after_and_once`
//! - P38, a stop during a poll:
//!   - `poller::failures::a_stop_waits_for_polls_in_flight_and_stores_a_checkpoint`
//!   - `poller::failures::a_stop_is_bounded_and_a_cancelled_poll_is_repeated`
//!   - `crash::a_kill_before_the_commit_finds_the_same_transition_again`

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

mod machine;
mod network;
mod passing;
mod scene;
mod responses;
mod api_key;
mod odd_cases;

#[test]
fn every_fault_of_the_catalogue_has_a_test_and_every_test_a_fault() {
    let mut table: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for line in include_str!("faults.rs").lines() {
        if let Some(row) = line.strip_prefix("//! - P") {
            let before = table.insert(row.split(',').next().unwrap().parse().unwrap(), Vec::new());
            assert_eq!(before, None, "twice: `{line}`");
        } else if let Some(name) = line.strip_prefix("//!   - `") {
            let mut row = table.last_entry().unwrap();
            row.get_mut().push(name.strip_suffix('`').unwrap().to_owned());
        }
    }
    assert_eq!(table.keys().copied().collect::<Vec<_>>(), (1..=38).collect::<Vec<_>>());
    for file in fs::read_dir(tests().join("faults")).unwrap().map(|entry| entry.unwrap().path()) {
        let module = file.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for name in text.split("fn p").skip(1).filter_map(|rest| rest.split('(').next()) {
            let Ok(row) = name[..2].parse::<u32>() else { continue };
            let names = table.get_mut(&row).unwrap_or_else(|| panic!("there is no P{row}"));
            names.push(format!("faults::{module}::p{name}"));
        }
    }
    for (row, names) in &table {
        assert!(!names.is_empty(), "no test holds P{row}");
        for name in names {
            assert!(is_test(name), "P{row}: there is no test `{name}`");
        }
    }
}

/// Whether there is a test of that path from the root of these tests.
pub(crate) fn is_test(path: &str) -> bool {
    let (module, name) = path.rsplit_once("::").unwrap();
    let file = tests().join(module.replace("::", "/")).with_extension("rs");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let begins = |line: &str| {
        line.strip_prefix("async ").unwrap_or(line).starts_with(&format!("fn {name}("))
    };
    lines.windows(2).any(|pair| {
        (pair[0].starts_with("#[test]") || pair[0].starts_with("#[tokio::test")) && begins(pair[1])
    })
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it")
}
