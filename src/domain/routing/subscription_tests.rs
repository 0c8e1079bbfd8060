use super::*;
use crate::domain::account::AccountName;
use crate::domain::avatar::AvatarId;
use crate::domain::condition::{AvatarGroup, Condition, OutageCause, Phase};
use crate::domain::id::EventId;
use crate::domain::random::RandomBits;
use crate::domain::routing::facts::AvatarRouting;
use crate::domain::routing::pattern::Pattern;
use crate::domain::routing::tag::Tag;
use crate::domain::time::timestamp::Timestamp;

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn account(name: &str) -> AccountName {
    AccountName::parse(name).unwrap()
}

fn tags(texts: &[&str]) -> Vec<Tag> {
    texts.iter().map(|text| Tag::parse(text).unwrap()).collect()
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

fn avatar(own: &[&str], channels: Option<&[&str]>) -> AvatarRouting {
    AvatarRouting {
        account: account("studio"),
        tags: tags(own).into_iter().collect(),
        channels: channels.map(|names| names.iter().map(|name| channel(name)).collect()),
    }
}

fn spanish() -> ChannelFilter {
    ChannelFilter { tags: tags(&["spanish", "latam"]), ..ChannelFilter::default() }
}

#[track_caller]
fn check(only: &ChannelFilter, facts: &AvatarFacts<'_>, receives: bool, reason: &str) {
    let ops = channel("ops");
    let events = &EventKind::DEFAULT;
    let subscription = Subscription { channel: &ops, events, operator: false, only };
    let reason = reason.to_owned();
    assert_eq!(subscription.explain(facts), RouteDecision { receives, reason });
    if receives {
        assert_eq!(subscription.certain_refusal(facts), None);
    }
}

#[test]
fn a_channel_without_only_is_for_every_avatar_or_for_those_that_name_it() {
    let all = ChannelFilter::default();
    check(&all, &avatar(&[], None).facts(None, None), true, "every avatar");
    let named = avatar(&[], Some(&["ops", "mail"]));
    check(&all, &named.facts(None, None), true, "named by the avatar");
    let others = avatar(&[], Some(&["mail"]));
    let reason = "not among the `channels` of the avatar";
    check(&all, &others.facts(None, None), false, reason);
    check(&all, &avatar(&[], Some(&[])).facts(None, None), false, reason);
}

#[test]
fn within_a_list_any_value_matches_and_every_list_must_match() {
    let only = spanish();
    check(&only, &avatar(&["Spanish", "vip"], None).facts(None, None), true, "tags spanish");
    let both = avatar(&["spanish", "latam"], None);
    check(&only, &both.facts(None, None), true, "tags spanish, latam");
    check(&only, &avatar(&["vip"], None).facts(None, None), false, "only for tags spanish, latam");
    let only = ChannelFilter { accounts: vec![account("other")], ..spanish() };
    check(&only, &both.facts(None, None), false, "only for accounts other");
    let only = ChannelFilter { accounts: vec![account("studio")], ..spanish() };
    check(&only, &both.facts(None, None), true, "tags spanish, latam, accounts studio");
}

#[test]
fn a_model_or_name_matches_when_it_is_known() {
    let image = patterns(&["*image*"]);
    let only = ChannelFilter { models: image.clone(), ..ChannelFilter::default() };
    let plain = avatar(&[], None);
    check(&only, &plain.facts(None, Some("ARGIL_IMAGE")), true, "models *image*");
    check(&only, &plain.facts(None, Some("ARGIL_V1")), false, "only for models *image*");
    let unknown = "only for models *image*; the model is not known yet";
    check(&only, &plain.facts(Some("image"), None), false, unknown);
    let only = ChannelFilter { names: patterns(&["Jane*", "Joe"]), ..ChannelFilter::default() };
    check(&only, &plain.facts(Some("jane, English"), None), true, "names Jane*");
    let unknown = "only for names Jane*, Joe; the name is not known yet";
    check(&only, &plain.facts(None, None), false, unknown);
    let absent = "only for names Jane*, Joe; the last response has no name";
    check(&only, &plain.facts(None, None).polled(true), false, absent);
    let only = ChannelFilter { models: image, ..spanish() };
    assert!(only.exclusion(&plain.facts(None, None)).is_some(), "a poll shows no tag");
    let tagged = avatar(&["latam"], None);
    assert!(only.exclusion(&tagged.facts(None, None)).is_none(), "a poll may show the model");
    assert!(only.exclusion(&tagged.facts(None, Some("x"))).is_some());
    assert!(only.exclusion(&tagged.facts(None, None).polled(true)).is_some());
}

#[test]
fn channels_and_only_must_both_match() {
    let named = avatar(&["vip"], Some(&["ops"]));
    check(&spanish(), &named.facts(None, None), false, "only for tags spanish, latam");
    let named = avatar(&["latam"], Some(&["ops"]));
    check(&spanish(), &named.facts(None, None), true, "named by the avatar, tags latam");
}

fn condition(subject: ConditionSubject) -> Event {
    let now = Timestamp::from_millis(1);
    let condition = Condition { phase: Phase::Firing, started_at: now, subject, reason: None };
    Event {
        id: EventId::mint(now, RandomBits::new(1)),
        kind: EventKind::AvatarMissing,
        occurred_at: now,
        subject: Subject::Condition(Box::new(condition)),
    }
}

#[test]
fn only_concerns_conditions_of_avatars_and_no_others() {
    let ops = channel("ops");
    let only = spanish();
    let subscription = Subscription { channel: &ops, events: &[], operator: true, only: &only };
    let missing = condition(ConditionSubject::Avatar {
        id: AvatarId::parse("a1").unwrap(),
        name: None,
        account: account("studio"),
        status: None,
        group: AvatarGroup::default(),
    });
    // The channels of an avatar are about its transitions.
    let (latam, other) = (avatar(&["latam"], Some(&[])), avatar(&["vip"], None));
    assert!(subscription.receives(&missing, &[latam.facts(None, None)]));
    assert!(!subscription.receives(&missing, &[other.facts(None, None)]));
    // A group goes to a channel that is for one of its avatars.
    let both = [other.facts(None, None), latam.facts(None, None)];
    assert!(subscription.receives(&missing, &both));
    // The model of an avatar is not known when a condition is published.
    let models = ChannelFilter { models: patterns(&["*IMAGE*"]), ..ChannelFilter::default() };
    let for_images = Subscription { only: &models, ..subscription };
    assert!(for_images.receives(&missing, &[other.facts(None, None)]));
    assert!(!for_images.receives(&missing, &[other.facts(None, Some("ARGIL_ATOM"))]));
    let cause = OutageCause::Local;
    let about_account = ConditionSubject::Account { name: account("other"), cause };
    assert!(subscription.receives(&condition(about_account), &[]));
    assert!(subscription.receives(&condition(ConditionSubject::Config), &[]));
    let failing = |name| ConditionSubject::Channel { name: channel(name), recipient: None };
    assert!(subscription.receives(&condition(failing("mail")), &[]));
    assert!(!subscription.receives(&condition(failing("ops")), &[]));
    let facts = latam.facts(None, None);
    assert_eq!(subscription.certain_refusal(&facts), Some(RouteRefusal::NoEvents));
    assert!(!subscription.explain(&facts).receives);
}
