//! The catalogue of the poller's faults, and for each the tests that hold over a real socket
//! what this program makes of it.
//!
//! No fault is a status: what was last seen stays, nothing is invented, and the next look comes
//! when it should. What mends itself is looked at again soon and told when it lasts; what no wait
//! mends is told at once, or shown at once and told when it is confirmed.
//!
//! - P1, the name does not resolve:
//!   - `faults::network::p01_a_name_that_does_not_resolve_backs_off_and_is_told_once_for_all`
//!   - `faults::machine::p01_a_name_that_moves_is_followed`
//!   - `argil_client::a_name_that_does_not_resolve_is_named`
//! - P2, the connection is refused or reset:
//!   - `faults::network::p02_a_refused_connection_backs_off_and_is_told_once_for_all`
//!   - `faults::network::p02_a_connection_that_is_reset_or_closed_is_no_status`
//!   - `argil_client::a_refused_connection_is_named`
//!   - `argil_client::a_connection_that_dies_on_first_use_is_a_failure`
//! - P3, the certificate is old, of another host, or of nobody who is known:
//!   - `faults::network::p03_a_certificate_that_is_not_trusted_stops_the_key_and_is_told_at_once`
//!   - `argil_client::surroundings::a_certificate_that_nobody_vouches_for_is_a_tls_failure`
//!   - `argil_client::surroundings::a_trusted_certificate_is_seen_and_one_of_another_host_is_not`
//! - P4, TLS fails because our clock is wrong:
//!   - `faults::machine::p04_a_certificate_that_fails_by_our_clock_blames_our_clock`
//! - P5, nobody takes the connection:
//!   - `faults::network::p05_a_connection_that_nobody_takes_backs_off_and_is_told_once_for_all`
//!   - `argil_client::a_server_that_takes_no_connection_ends_at_the_limit`
//! - P6, no head of an answer, or a slow one:
//!   - `faults::network::p06_a_head_that_stalls_or_drips_ends_at_the_limit_and_is_no_status`
//!   - `argil_client::silence_ends_at_the_limit`
//! - P7, a body that stalls or is slow:
//!   - `faults::network::p07_a_body_that_stalls_or_drips_ends_at_the_limit_and_is_no_status`
//!   - `argil_client::an_answer_that_drips_ends_at_the_limit`
//! - P8, 401:
//!   - `poller::rejected_key::a_refused_key_allows_one_poll_at_growing_delays`
//!   - `poller::conditions::a_refused_key_fires_unavailable_at_once_and_once_for_all_avatars`
//!   - `poller::lists::a_refused_key_causes_no_burst_of_list_polls`
//! - P9, 403:
//!   - `faults::key::p09_one_forbidden_avatar_is_asked_about_rarely_and_harms_no_other`
//!   - `faults::key::p09_a_key_that_is_forbidden_everything_is_a_refused_key`
//!   - `faults::key::p09_avatars_of_somebody_else_are_no_fault_of_the_key_however_many`
//!   - `faults::key::p09_avatars_that_leave_the_account_together_are_told_of_once`
//! - P10, 404 for an avatar that was never seen:
//!   - `faults::machine::p10_an_id_that_was_never_seen_is_told_with_its_line_of_the_config`
//!   - `poller::conditions::an_avatar_that_never_existed_fires_missing_at_once_and_is_polled_soon`
//! - P11, 404 for an avatar that was seen before:
//!   - `poller::conditions::a_known_avatar_is_missing_only_after_half_an_hour_and_three_polls`
//!   - `poller::conditions::a_short_absence_fires_no_condition`
//!   - `poller::conditions::missing_fires_once_over_restarts`
//! - P12, 429 with a wait in seconds:
//!   - `faults::key::p12_a_wait_in_seconds_holds_for_the_key_and_is_a_floor`
//!   - `poller::rejected_key::retry_after_is_a_minimum_and_blocks_the_whole_account`
//!   - `poller::rejected_key::a_throttled_account_makes_one_poll_before_the_others`
//! - P13, 429 with a date:
//!   - `faults::key::p13_a_wait_until_a_date_is_measured_against_the_date_of_the_answer`
//!   - `argil_client::answers::a_throttled_look_says_for_how_long`
//! - P14, 429 without a wait, or with an absurd one, or with two:
//!   - `faults::key::p14_an_absurd_wait_is_ignored_and_none_is_longer_than_an_hour`
//!   - `argil_client::answers::a_throttled_look_says_for_how_long`
//! - P15, 500, 502, 503, 504:
//!   - `faults::answers::p15_an_error_of_the_server_backs_off_and_is_no_status`
//!   - `faults::key::p15_a_server_that_says_when_it_is_back_is_left_alone_until_then`
//!   - `poller::failures_back_off_until_one_success`
//! - P16, 400, 405, 406, 410, 415, 422, 451:
//!   - `faults::answers::p16_an_answer_that_blames_the_question_waits_a_quarter_of_an_hour`
//!   - `argil_client::answers::every_other_code_is_a_failure`
//! - P17, 200 with a web page:
//!   - `faults::answers::p17_a_web_page_is_no_status`
//! - P18, an odd content type around a proper answer:
//!   - `argil_client::answers::a_200_in_odd_clothes_is_seen`
//! - P19, JSON that is cut, broken, contradicts itself or is too deep:
//!   - `faults::answers::p19_json_that_is_broken_in_any_way_is_no_status`
//!   - `argil_client::answers::an_answer_that_is_not_whole_is_a_failure`
//!   - `argil_client::answers::what_is_not_http_is_a_failure`
//! - P20, a body that is too large, packed or without an end:
//!   - `faults::answers::p20_a_body_that_is_too_large_waits_a_quarter_of_an_hour`
//!   - `argil_client::answers::a_body_without_end_is_cut_at_the_cap`
//!   - `argil_client::answers::a_gzip_bomb_is_cut_at_the_cap`
//! - P21, a status that nobody knows:
//!   - `faults::answers::p21_a_status_that_nobody_knows_is_kept_as_it_came_and_told_to_who_asks`
//!   - `faults::answers::p21_a_status_that_is_too_long_for_one_is_no_status`
//!   - `outcomes::each_outcome_is_told_by_webhook_and_mail_and_nothing_else_is`
//! - P22, a status that is missing, null or no text:
//!   - `faults::answers::p22_a_status_that_is_missing_or_no_text_is_no_status`
//! - P23, an answer about another avatar:
//!   - `faults::answers::p23_an_answer_about_another_avatar_changes_neither`
//! - P24, other fields that are new, missing or of another type:
//!   - `faults::answers::p24_other_fields_may_be_missing_new_or_of_any_type`
//! - P25, a status that goes back:
//!   - `faults::course::p25_an_avatar_that_is_trained_again_is_news_again_under_another_id`
//! - P26, a training between two looks:
//!   - `outcomes::a_training_between_two_looks_is_told_as_unseen_or_not_at_all_if_so_wished`
//! - P27, settled at first sight:
//!   - `faults::course::p27_what_is_settled_at_first_sight_is_a_baseline_and_no_news`
//!   - `outcomes::what_the_registration_assumed_makes_the_first_sight_news`
//! - P28, a change while the daemon was down:
//!   - `crash::a_change_during_a_downtime_is_notified_at_the_start`
//!   - `poller::start::avatars_that_became_due_are_polled_at_once`
//! - P29, a redirect:
//!   - `faults::answers::p29_a_redirect_stops_the_key_is_told_at_once_and_is_never_followed`
//!   - `argil_client::answers::a_redirect_is_not_followed_and_the_key_stays_here`
//! - P30, kept connections behind which the server restarts:
//!   - `faults::network::p30_a_server_that_restarts_behind_kept_connections_costs_no_look`
//!   - `faults::network::p30_a_kept_connection_that_dies_in_use_costs_no_look`
//!   - `argil_client::a_kept_connection_that_died_costs_one_more_request_and_no_failure`
//!   - `argil_client::a_look_never_sends_more_than_two_requests`
//! - P31, `GOAWAY`, `RST_STREAM` and floods of HTTP/2, which is never spoken:
//!   - `faults::network::p31_http2_is_never_offered_so_that_no_goaway_can_come`
//!   - `faults::network::p31_frames_of_http2_are_no_status`
//! - P32, proxy variables in the environment:
//!   - `argil_client::surroundings::proxy_variables_are_ignored`
//! - P33, a wall clock that jumps:
//!   - `poller::a_wall_clock_jump_causes_neither_a_burst_nor_a_stall`
//!   - `poller::conditions::a_wall_clock_jump_makes_no_account_unavailable`
//!   - `poller::start::a_checkpoint_of_a_wrong_clock_delays_no_avatar`
//! - P34, suspension:
//!   - `faults::course::p34_after_a_suspension_each_avatar_is_looked_at_once_and_within_the_budget`
//!   - `poller::polls_missed_during_a_suspend_are_made_once`
//! - P35, no file handles:
//!   - `faults::machine::p35_a_daemon_without_file_handles_says_so_lives_on_and_loses_nothing`
//!   - `faults::machine::p35_news_that_meets_no_file_handle_is_written_and_told_later`
//! - P36, IPv6 that leads nowhere:
//!   - `faults::machine::p36_a_server_that_only_ipv4_reaches_is_seen_under_a_name_of_both`
//! - P37, all avatars fail at once:
//!   - `poller::conditions::an_api_outage_fires_unavailable_after_unavailable_after_and_once`
//!   - `faults::network::p02_a_refused_connection_backs_off_and_is_told_once_for_all`
//! - P38, the end during a look:
//!   - `poller::failures::a_stop_waits_for_polls_in_flight_and_stores_a_checkpoint`
//!   - `poller::failures::a_stop_is_bounded_and_a_cancelled_poll_is_repeated`
//!   - `crash::a_kill_before_the_commit_finds_the_same_transition_again`

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

mod full;
mod machine;
mod network;
mod passing;
mod scene;
mod responses;
mod api_key;
mod timeline;

#[test]
fn every_fault_of_the_catalogue_has_a_test() {
    let table = table();
    assert_eq!(table.keys().copied().collect::<Vec<_>>(), (1..=38).collect::<Vec<_>>());
    for (row, names) in &table {
        assert!(!names.is_empty(), "no test holds P{row}");
        for name in names {
            assert!(is_test(name), "P{row}: there is no test `{name}`");
        }
    }
}

#[test]
fn every_test_of_a_fault_stands_in_the_catalogue() {
    let table = table();
    for file in fs::read_dir(tests().join("faults")).unwrap().map(|entry| entry.unwrap().path()) {
        let module = file.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for name in text.split("fn p").skip(1).filter_map(|rest| rest.split('(').next()) {
            let Ok(row) = name[..2].parse::<u32>() else { continue };
            let path = format!("faults::{module}::p{name}");
            assert!(table[&row].contains(&path), "P{row} does not name `{path}`");
        }
    }
}

/// The catalogue above: the tests of each row.
fn table() -> BTreeMap<u32, Vec<String>> {
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
    table
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
