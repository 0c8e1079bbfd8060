use super::*;

fn at(minutes_ago: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(1_000_000_000 - minutes_ago * 60_000))
}

fn channel() -> ChannelFacts<'static> {
    ChannelFacts {
        name: "ops",
        configured: true,
        state: ChannelState::Active,
        failing_since: None,
        reason: None,
        paused_until: None,
        pause_reason: None,
        undelivered: 0,
        oldest_at: None,
        dead_letters: 0,
    }
}

fn well() -> StatusInputs<'static> {
    StatusInputs {
        running: true,
        config_readable: true,
        channels: Some(vec![channel()]),
        ..StatusInputs::default()
    }
}

fn check(inputs: &StatusInputs<'_>, summary: &str, text: &str) {
    let findings = evaluate(inputs, LATE_AFTER, at(0).unwrap());
    let said: Vec<&str> = findings.iter().map(|finding| finding.text.as_str()).collect();
    assert_eq!((Severity::of(&findings).summary(), said.join("; ").as_str()), (summary, text));
}

const NOTICES: &str = "OK, with notices";
const WARNINGS: &str = "Warnings";
const CRITICAL: &str = "Critical problems";

#[test]
fn problems_of_the_daemon_and_the_config_change_the_summary() {
    check(&well(), "OK", "");
    let stopped = StatusInputs { running: false, ..well() };
    check(&stopped, CRITICAL, "The daemon is not running");
    let stalled = StatusInputs { stalled: vec!["poller"], ..well() };
    check(&stalled, CRITICAL, "The poller of the daemon is stalled");
    let unreadable = StatusInputs { config_readable: false, ..well() };
    check(&unreadable, WARNINGS, "The config cannot be read");
    let (one, two) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
    let of_file = |config_readable, config_problems, config_changes, text: &str| {
        let inputs = StatusInputs { config_readable, config_problems, config_changes, ..well() };
        check(&inputs, WARNINGS, text);
    };
    of_file(false, &two, &[], "The config cannot be read: a");
    of_file(true, &two, &[], "The config has 2 problems: a");
    of_file(true, &[], &one, "The config was changed and not reloaded: a");
    of_file(true, &[], &two, "The config was changed and not reloaded: a, and 1 more");
    check(&StatusInputs { watched: Some(0), ..well() }, WARNINGS, "No avatar is watched");
    check(&StatusInputs { watched: Some(1), ..well() }, "OK", "");
}

#[test]
fn conditions_change_the_summary() {
    let holds = |kind: &str, subject: &str, name, summary: &str, text: &str| {
        let (cause, reason) = (Some("key_rejected"), Some("it said no"));
        let it = ConditionFacts { kind, subject, name, since: at(1), cause, reason };
        check(&StatusInputs { conditions: vec![it], ..well() }, summary, text);
    };
    let text = "Account argil cannot be checked: Argil rejects its API key (it said no)";
    holds("account.unavailable", "account argil", None, CRITICAL, text);
    holds("avatar.missing", "a1", None, WARNINGS, "Avatar a1 is missing: it said no");
    for (kind, text) in [
        ("avatar.unreachable", "Jane cannot be checked: it said no"),
        ("avatar.training_overdue", "Jane is in training for longer than expected: it said no"),
        ("avatar.status_unrecognized", "Jane has an unknown status: it said no"),
    ] {
        holds(kind, "a1", Some("Jane"), WARNINGS, text);
    }
    let text = "The config was rejected, and the previous one stays active: it said no";
    holds("config.rejected", "The config", None, WARNINGS, text);
}

#[test]
fn channels_change_the_summary() {
    let no_channels = "There are no channels, so no notifications are sent";
    check(&StatusInputs { channels: Some(vec![]), ..well() }, NOTICES, no_channels);
    let gone = ChannelFacts { configured: false, ..channel() };
    check(&StatusInputs { channels: Some(vec![gone]), ..well() }, NOTICES, no_channels);
    check(&StatusInputs { channels: None, ..well() }, "OK", "");
    let other = ChannelFacts { name: "other", ..channel() };
    let of = |it: ChannelFacts<'_>, summary: &str, text: &str| {
        check(&StatusInputs { channels: Some(vec![it, other]), ..well() }, summary, text);
    };
    let (paused, disabled) = (ChannelState::Paused, ChannelState::Disabled);
    let waiting = ChannelFacts { undelivered: 2, oldest_at: at(1), ..channel() };
    of(waiting, "OK", "");
    of(gone, "OK", "");
    of(ChannelFacts { state: paused, ..channel() }, NOTICES, "Channel ops is paused");
    let text = "Channel ops is paused; 2 messages wait, the oldest for 1m";
    of(ChannelFacts { state: paused, ..waiting }, NOTICES, text);
    let text = "Channel ops is paused; 2 messages wait, the oldest for 11m";
    of(ChannelFacts { state: paused, oldest_at: at(11), ..waiting }, WARNINGS, text);
    let text = "Channel ops is not in the config, and 2 messages wait, the oldest for 1m";
    of(ChannelFacts { configured: false, ..waiting }, WARNINGS, text);
    of(ChannelFacts { state: disabled, ..channel() }, CRITICAL, "Channel ops is disabled");
    of(ChannelFacts { failing_since: at(1), ..channel() }, WARNINGS, "Channel ops is failing");
    let failing = ChannelFacts { failing_since: at(1), reason: Some("500"), ..channel() };
    of(failing, WARNINGS, "Channel ops is failing: 500");
    of(ChannelFacts { dead_letters: 1, ..channel() }, CRITICAL, "Channel ops has 1 dead letter");
    of(ChannelFacts { dead_letters: 1, ..gone }, CRITICAL, "Channel ops has 1 dead letter");
    let text = "Channel ops is late: 2 messages wait, the oldest for 11m";
    of(ChannelFacts { oldest_at: at(11), ..waiting }, WARNINGS, text);
}

#[test]
fn a_failing_avatar_is_a_notice_until_it_lasts() {
    let failing = |kind, name, since, summary: &str, text: &str| {
        let account = Some("argil");
        let it = FailingAvatar { id: "a1", name, account, kind, since, reason: "it said no" };
        check(&StatusInputs { failing: vec![it], ..well() }, summary, text);
    };
    let missing = "Avatar a1 is missing: it said no";
    failing(FailureKind::Missing, None, at(0), WARNINGS, missing);
    let jane = Some("Jane");
    for (kind, text) in [
        (FailureKind::Denied, "Jane cannot be checked: Argil denies access (it said no)"),
        (FailureKind::Throttled, "Jane cannot be checked: Argil limits the requests (it said no)"),
        (FailureKind::Failed, "Jane cannot be checked: it said no"),
    ] {
        failing(kind, jane, at(5), NOTICES, text);
        failing(kind, jane, at(6), WARNINGS, text);
    }
}

#[test]
fn avatars_that_fail_for_one_cause_are_one_finding() {
    let avatar = |id, account, kind, reason| FailingAvatar {
        id,
        name: None,
        account: Some(account),
        kind,
        since: at(1),
        reason,
    };
    let failed = FailureKind::Failed;
    let failing = vec![
        avatar("a1", "argil", failed, "no connection"),
        avatar("a2", "argil", failed, "no connection"),
        avatar("a3", "argil", failed, "500"),
        avatar("a4", "argil", FailureKind::Missing, "404"),
        avatar("a5", "argil", FailureKind::Missing, "404"),
        avatar("b1", "studio", failed, "no connection"),
    ];
    let texts = [
        "Avatar a4 is missing: 404",
        "Avatar a5 is missing: 404",
        "2 avatars of account argil cannot be checked: no connection",
        "Avatar a3 cannot be checked: 500",
        "Avatar b1 cannot be checked: no connection",
    ];
    check(&StatusInputs { failing, ..well() }, WARNINGS, &texts.join("; "));
}

#[test]
fn nothing_is_reported_twice_and_the_worst_comes_first() {
    let since = at(7);
    let holds = |kind, subject| {
        let (name, cause, reason) = (None, None, None);
        ConditionFacts { kind, subject, name, since, cause, reason }
    };
    let avatar = |id| FailingAvatar {
        id,
        name: None,
        account: Some("argil"),
        kind: FailureKind::Denied,
        since: at(60),
        reason: "no",
    };
    let disabled = ChannelFacts { state: ChannelState::Disabled, dead_letters: 2, ..channel() };
    let inputs = StatusInputs {
        conditions: vec![
            holds("avatar.unreachable", "a1"),
            holds("channel.disabled", "channel ops"),
            holds("account.unavailable", "account argil"),
        ],
        channels: Some(vec![disabled]),
        failing: vec![avatar("a1"), avatar("a2")],
        ..well()
    };
    check(
        &inputs,
        "Critical problems",
        "Account argil cannot be checked; Channel ops is disabled; Channel ops has 2 dead \
         letters; Avatar a1 cannot be checked",
    );
    let findings = evaluate(&inputs, LATE_AFTER, at(0).unwrap());
    assert_eq!((findings[3].avatar.as_deref(), findings[3].since), (Some("a1"), at(7)));
    assert_eq!(findings[0].avatar, None);
}

#[test]
fn every_finding_says_what_to_do() {
    let disabled = ChannelFacts { state: ChannelState::Disabled, dead_letters: 2, ..channel() };
    let channels = Some(vec![disabled]);
    let it = StatusInputs { running: false, channels, watched: Some(0), ..well() };
    let findings = evaluate(&it, LATE_AFTER, at(0).unwrap());
    let help: Vec<&str> = findings.iter().map(|finding| finding.help.as_str()).collect();
    assert!(help[0].contains("`systemctl start avatar-watch`"), "{help:?}");
    assert!(help[1].contains("`avatar-watch channels enable ops`"), "{help:?}");
    assert!(help[2].contains("`avatar-watch deliveries retry --dead --channel ops`"), "{help:?}");
    assert!(help[3].contains("`[[avatars]]`"), "{help:?}");
}

#[test]
fn the_problems_of_the_config_file_are_one_finding() {
    let problems = ["a.toml:3: `b` is odd".to_owned()];
    let rejected = ConditionFacts {
        kind: "config.rejected",
        subject: "the config",
        name: None,
        since: at(1),
        cause: None,
        reason: Some("a.toml:3: `b` is odd"),
    };
    let inputs = StatusInputs { conditions: vec![rejected], config_problems: &problems, ..well() };
    check(&inputs, WARNINGS, "The config has 1 problem: a.toml:3: `b` is odd");
}

#[test]
fn a_status_says_what_lasts_and_only_promises_what_is_true() {
    let evaluate = |inputs: &StatusInputs<'_>| evaluate(inputs, LATE_AFTER, at(0).unwrap());
    let condition = |kind, cause| ConditionFacts {
        kind,
        subject: "a1",
        name: None,
        since: at(1),
        cause,
        reason: None,
    };
    let outage = condition("account.unavailable", Some("key_rejected"));
    let found = evaluate(&StatusInputs { conditions: vec![outage], ..well() });
    assert_eq!(found[0].lasting, "; no poll has succeeded for");
    let missing = condition("avatar.missing", None);
    let found = evaluate(&StatusInputs { conditions: vec![missing], ..well() });
    assert!(found[0].help.ends_with("operator channels are notified when the avatar is found."));
    let failing = FailingAvatar {
        id: "a1",
        name: None,
        account: None,
        kind: FailureKind::Missing,
        since: at(1),
        reason: "404",
    };
    let found = evaluate(&StatusInputs { failing: vec![failing], ..well() });
    assert!(found[0].help.ends_with("are notified if this lasts."), "{}", found[0].help);
    let paused = |paused_until| {
        let channel = ChannelFacts { state: ChannelState::Paused, paused_until, ..channel() };
        evaluate(&StatusInputs { channels: Some(vec![channel]), ..well() }).remove(0)
    };
    let (endless, later, passed) = (paused(None), paused(at(-1)), paused(at(1)));
    assert!(
        endless.help.starts_with("run `avatar-watch channels resume ops` to send its messages")
    );
    assert!(later.help.starts_with("it ends by itself"), "{}", later.help);
    assert_eq!(later.text, "Channel ops is paused until 1970-01-12 13:47:40 UTC");
    let text = "Channel ops is paused until the daemon runs, since the end of the pause \
                (1970-01-12 13:45:40 UTC) has passed";
    assert_eq!(passed.text, text);
}

#[test]
fn findings_of_one_kind_are_sorted_by_name() {
    let missing = |subject| ConditionFacts {
        kind: "avatar.missing",
        subject,
        name: None,
        since: at(1),
        cause: None,
        reason: None,
    };
    let conditions = ["b", "c", "A"].map(missing).to_vec();
    let text = "Avatar A is missing; Avatar b is missing; Avatar c is missing";
    check(&StatusInputs { conditions, ..well() }, WARNINGS, text);
}
