//! The avatars that reach no channel, grouped by the reason, so that one line covers many avatars.
//! The number of groups, names and reasons is bounded.

use std::collections::HashMap;

use crate::domain::account::AccountName;
use crate::domain::event::EventKind;
use crate::domain::routing::facts::{AvatarFacts, AvatarRouting};
use crate::domain::routing::subscription::{RouteRefusal, Subscription};
use crate::text::plural::counted;

/// An avatar, or all that are discovered in an account.
#[derive(Debug)]
pub struct Routed {
    /// How it is named in a message; `None` for those that are discovered.
    pub label: Option<String>,
    /// Its name in messages; `None` when only a poll shows it.
    pub name: Option<String>,
    /// What the config says of it.
    pub routing: AvatarRouting,
}

/// Avatars that reach no channel for the same reasons.
#[derive(Default)]
struct Group {
    reasons: Vec<String>,
    labels: Vec<String>,
    /// The accounts with discovered avatars.
    discovered: Vec<AccountName>,
}

/// Describes the avatars that certainly reach no channel, one line for each reason, in their order.
pub fn unreached(
    avatars: impl Iterator<Item = Routed>,
    channels: &[Subscription<'_>],
) -> Vec<String> {
    let mut numbers: HashMap<(bool, Vec<RouteRefusal>), usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for avatar in avatars {
        let facts = avatar.routing.facts(avatar.name.as_deref(), None);
        let refusals = channels.iter().map(|channel| channel.certain_refusal(&facts));
        let Some(refusals) = refusals.collect::<Option<Vec<_>>>() else { continue };
        let names_none = facts.channels.is_some_and(<[_]>::is_empty);
        let number = *numbers.entry((names_none, refusals)).or_insert_with_key(|(_, refusals)| {
            let reasons = reasons(channels.iter().zip(refusals.iter().copied()), &facts);
            groups.push(Group { reasons, ..Group::default() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(number) {
            match avatar.label {
                Some(label) => group.labels.push(label),
                None => group.discovered.push(avatar.routing.account),
            }
        }
    }
    let (shown, more) = groups.split_at(groups.len().min(GROUPS_MAX));
    let mut lines: Vec<String> = shown.iter().map(Group::describe).collect();
    if !more.is_empty() {
        let labels = more.iter().map(|group| group.labels.len()).sum();
        let discovered: Vec<_> = more.iter().flat_map(|group| &group.discovered).collect();
        let more = subject(labels, "more avatar", &discovered);
        lines.push(format!("{more} reach no channel either, for other reasons"));
    }
    lines
}

/// Why no channel gets an event of this kind about an avatar: the reasons of each channel.
pub fn unreached_event(
    kind: EventKind,
    avatar: &AvatarFacts<'_>,
    channels: &[Subscription<'_>],
) -> String {
    if avatar.channels.is_some_and(<[_]>::is_empty) {
        return EMPTY_CHANNELS.to_owned();
    }
    let reason = |channel: &Subscription<'_>| match channel.refusal(avatar) {
        Some(refusal) => channel.reason(refusal, avatar),
        None => format!("`{}` is not among its `events`", kind.name()),
    };
    let reasons = channels.iter().map(|it| format!("{}: {}", it.channel, reason(it)));
    first(reasons.collect(), REASONS_MAX, "; ")
}

/// Describes the avatars with conditions that certainly reach no operator channel, if there is an
/// operator channel.
pub fn without_operator(
    avatars: impl Iterator<Item = Routed>,
    channels: &[Subscription<'_>],
) -> Option<String> {
    let operators: Vec<_> = channels.iter().filter(|channel| channel.operator).collect();
    if operators.is_empty() {
        return None;
    }
    let mut group = Group::default();
    for avatar in avatars {
        let facts = avatar.routing.facts(avatar.name.as_deref(), None);
        if operators.iter().all(|channel| channel.only.exclusion(&facts).is_some()) {
            match avatar.label {
                Some(label) => group.labels.push(label),
                None => group.discovered.push(avatar.routing.account),
            }
        }
    }
    let is_found = !(group.labels.is_empty() && group.discovered.is_empty());
    is_found.then(|| {
        let avatars = group.subject();
        format!(
            "no operator channel is for {avatars}, so no problem with them is sent{}",
            group.names()
        )
    })
}

impl Group {
    fn describe(&self) -> String {
        let is_one = self.labels.len() == 1 && self.discovered.is_empty();
        let reach = if is_one { "reaches" } else { "reach" };
        let reasons = first(self.reasons.clone(), REASONS_MAX, "; ");
        format!("{} {reach} no channel ({reasons}){}", self.subject(), self.names())
    }

    fn subject(&self) -> String {
        subject(self.labels.len(), "avatar", &self.discovered.iter().collect::<Vec<_>>())
    }

    fn names(&self) -> String {
        match self.labels.is_empty() {
            true => String::new(),
            false => format!(": {}", first(self.labels.clone(), NAMES_MAX, ", ")),
        }
    }
}

/// A number of avatars, and those that are discovered in accounts.
fn subject(labels: usize, noun: &str, discovered: &[&AccountName]) -> String {
    let named = (labels > 0).then(|| counted(labels, noun));
    let accounts: Vec<String> = discovered.iter().map(|name| format!("`{name}`")).collect();
    let noun = if accounts.len() == 1 { "account" } else { "accounts" };
    let found = (!accounts.is_empty()).then(|| {
        format!("all avatars that are discovered in {noun} {}", first(accounts, NAMES_MAX, ", "))
    });
    named.into_iter().chain(found).collect::<Vec<_>>().join(" and ")
}

/// The reasons of channels, by which other channels have the same.
fn reasons<'s>(
    refusals: impl Iterator<Item = (&'s Subscription<'s>, RouteRefusal)>,
    avatar: &AvatarFacts<'_>,
) -> Vec<String> {
    if avatar.channels.is_some_and(<[_]>::is_empty) {
        return vec![EMPTY_CHANNELS.to_owned()];
    }
    // What the avatar does not name needs a word only if there is nothing else to say.
    let (others, named): (Vec<_>, Vec<_>) =
        refusals.partition(|(_, refusal)| *refusal == RouteRefusal::NotNamed);
    let shown = if named.is_empty() { others } else { named };
    shown
        .iter()
        .map(|(it, refusal)| format!("{}: {}", it.channel, it.reason(*refusal, avatar)))
        .collect()
}

/// The first texts, and the number of the others.
fn first(mut texts: Vec<String>, count: usize, separator: &str) -> String {
    let more = texts.len().saturating_sub(count);
    texts.truncate(count);
    let shown = texts.join(separator);
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

const EMPTY_CHANNELS: &str = "`channels` is empty";
/// The maximum number of groups that are described.
const GROUPS_MAX: usize = 5;
/// The maximum number of names in a line.
const NAMES_MAX: usize = 5;
/// The maximum number of channels in a line.
const REASONS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::channel_name::ChannelName;
    use crate::domain::event::EventKind;
    use crate::domain::routing::filter::ChannelFilter;
    use crate::domain::routing::pattern::Pattern;
    use crate::domain::routing::tag::Tag;

    fn avatar(number: usize, tag: Option<String>, channels: Option<&[&str]>) -> Routed {
        let name = |name: &&str| ChannelName::parse(name).unwrap();
        let routing = AvatarRouting {
            account: AccountName::default(),
            tags: tag.map(|tag| Tag::parse(&tag).unwrap()).into_iter().collect(),
            channels: channels.map(|names| names.iter().map(name).collect()),
        };
        Routed { label: Some(format!("`a{number}`")), name: None, routing }
    }

    fn discovered(account: &str) -> Routed {
        let account = AccountName::parse(account).unwrap();
        let routing = AvatarRouting { account, ..AvatarRouting::default() };
        Routed { label: None, name: None, routing }
    }

    fn lines(avatars: Vec<Routed>, only: &ChannelFilter) -> Vec<String> {
        let channel = ChannelName::parse("ops").unwrap();
        let events = &EventKind::DEFAULT;
        let ops = Subscription { channel: &channel, events, operator: false, only };
        unreached(avatars.into_iter(), &[ops])
    }

    fn spanish() -> ChannelFilter {
        ChannelFilter { tags: vec![Tag::parse("spanish").unwrap()], ..ChannelFilter::default() }
    }

    #[test]
    fn avatars_that_reach_no_channel_are_grouped_and_named() {
        let french = || Some("french".to_owned());
        let mut avatars: Vec<Routed> = (0..7).map(|number| avatar(number, None, None)).collect();
        avatars.push(avatar(7, french(), None));
        avatars.push(avatar(8, Some("spanish".to_owned()), None));
        avatars.push(avatar(9, french(), Some(&[])));
        avatars.push(avatar(10, Some("spanish".to_owned()), Some(&["mail"])));
        let group = |avatars: &str, why: &str, names: &str| {
            let reach = if avatars.starts_with("1 ") { "reaches" } else { "reach" };
            format!("{avatars} {reach} no channel ({why}): {names}")
        };
        let not_for = "ops: only for tags spanish";
        let others = "ops: not among the `channels` of the avatar";
        let seven = "`a0`, `a1`, `a2`, `a3`, `a4` and 3 more";
        let expected = [
            group("8 avatars", not_for, seven),
            group("1 avatar", "`channels` is empty", "`a9`"),
            group("1 avatar", others, "`a10`"),
        ];
        assert_eq!(lines(avatars, &spanish()), expected);
    }

    #[test]
    fn discovered_avatars_are_no_number() {
        let all = "all avatars that are discovered in";
        let why = "reach no channel (ops: only for tags spanish)";
        let found = lines(vec![discovered("acme"), discovered("globex")], &spanish());
        assert_eq!(found, [format!("{all} accounts `acme`, `globex` {why}")]);
        let found = lines(vec![avatar(1, None, None), discovered("acme")], &spanish());
        assert_eq!(found, [format!("1 avatar and {all} account `acme` {why}: `a1`")]);
    }

    #[test]
    fn the_reason_is_that_of_the_channel_and_not_always_its_tags() {
        let (team, ops) = (ChannelName::parse("team").unwrap(), ChannelName::parse("ops").unwrap());
        let only = ChannelFilter {
            names: vec![Pattern::parse("Studio *").unwrap()],
            ..ChannelFilter::default()
        };
        let events = &EventKind::DEFAULT;
        let team = Subscription { channel: &team, events, operator: false, only: &only };
        let any = ChannelFilter::default();
        let ops = Subscription { channel: &ops, events: &[], operator: true, only: &any };
        let jane = Routed { name: Some("Jane".to_owned()), ..avatar(1, None, None) };
        let found = unreached([jane].into_iter(), &[ops, team]);
        let expected = "1 avatar reaches no channel (ops: gets no events of avatars: its `events` \
                        is empty; team: only for names Studio *): `a1`";
        assert_eq!(found, [expected]);
        let unnamed = avatar(1, None, None);
        let facts = unnamed.routing.facts(None, None).polled(true);
        let ready = unreached_event(EventKind::AvatarReady, &facts, &[team]);
        let no_name = "team: only for names Studio *; the last response has no name";
        assert_eq!(ready, no_name);
        let facts = unnamed.routing.facts(Some("studio 1"), None).polled(true);
        let changed = unreached_event(EventKind::AvatarStatusChanged, &facts, &[team]);
        assert_eq!(changed, "team: `avatar.status_changed` is not among its `events`");
    }

    #[test]
    fn avatars_without_an_operator_channel_are_named() {
        let (channel, only) = (ChannelName::parse("ops").unwrap(), spanish());
        let check = |operator: bool, avatars: Vec<Routed>, expected: Option<&str>| {
            let ops = Subscription { channel: &channel, events: &[], operator, only: &only };
            let found = without_operator(avatars.into_iter(), &[ops]);
            assert_eq!(found.as_deref(), expected);
        };
        let both = || vec![avatar(1, None, None), avatar(2, Some("spanish".to_owned()), None)];
        let text = "no operator channel is for 1 avatar, so no problem with them is sent: `a1`";
        check(true, both(), Some(text));
        check(true, vec![], None);
        let text = "no operator channel is for all avatars that are discovered in account `acme`, \
                    so no problem with them is sent";
        check(true, vec![discovered("acme")], Some(text));
        check(false, both(), None);
    }

    #[test]
    fn what_a_poll_may_show_counts_as_reached() {
        let models = vec![Pattern::parse("*IMAGE*").unwrap()];
        let only = ChannelFilter { models, ..ChannelFilter::default() };
        assert_eq!(lines(vec![avatar(1, None, None)], &only), Vec::<String>::new());
    }

    #[test]
    fn many_reasons_are_summed_up() {
        let names: Vec<ChannelName> =
            (0..8).map(|number| ChannelName::parse(&format!("c{number}")).unwrap()).collect();
        let only = spanish();
        let channels: Vec<_> = names
            .iter()
            .map(|channel| {
                let events = &EventKind::DEFAULT;
                Subscription { channel, events, operator: false, only: &only }
            })
            .collect();
        let avatars = (0..8).map(|number| avatar(number, None, Some(&[&format!("c{number}")])));
        let lines = unreached(avatars.chain([avatar(9, None, None)]), &channels);
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[0], "1 avatar reaches no channel (c0: only for tags spanish): `a0`");
        assert_eq!(lines[5], "4 more avatars reach no channel either, for other reasons");
    }
}
