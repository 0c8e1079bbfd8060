//! The avatars that no channel is for, grouped by what the config says of them, so that one line
//! covers many avatars. The number of groups and names is bounded.

use std::collections::BTreeMap;

use crate::domain::account::AccountName;
use crate::domain::routing::facts::AvatarRouting;
use crate::domain::routing::subscription::Subscription;
use crate::domain::routing::tag::Tag;
use crate::text::plural::counted;

/// An avatar, or all that are discovered in an account.
#[derive(Debug)]
pub struct Routed {
    /// How it is named in a message.
    pub label: String,
    /// Its name in messages; `None` when only a poll shows it.
    pub name: Option<String>,
    /// What the config says of it.
    pub routing: AvatarRouting,
}

/// What all avatars of a group share.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    names_channels: Option<bool>,
    account: AccountName,
    tags: Vec<Tag>,
}

/// Describes the avatars that certainly reach no channel, one line for each group.
pub fn unreached(
    avatars: impl Iterator<Item = Routed>,
    channels: &[Subscription<'_>],
) -> Vec<String> {
    let mut groups: BTreeMap<Group, Vec<String>> = BTreeMap::new();
    for avatar in avatars {
        let facts = avatar.routing.facts(avatar.name.as_deref(), None);
        if channels.iter().all(|channel| channel.never_receives(&facts)) {
            let AvatarRouting { account, tags, channels } = avatar.routing;
            let names_channels = channels.map(|channels| !channels.is_empty());
            let group = Group { names_channels, account, tags: tags.into_iter().collect() };
            groups.entry(group).or_default().push(avatar.label);
        }
    }
    let total: usize = groups.values().map(Vec::len).sum();
    let (shown, mut lines) = (groups.len().min(GROUPS_MAX), Vec::new());
    let mut listed = 0;
    for (group, labels) in groups.iter().take(shown) {
        listed += labels.len();
        lines.push(format!("{}: {}", group.describe(labels.len()), names(labels)));
    }
    if total > listed {
        let more = counted(total - listed, "more avatar");
        lines.push(format!("{more} with other accounts or tags reach no channel either"));
    }
    lines
}

/// Describes the avatars with conditions that certainly reach no operator channel, if there is an
/// operator channel.
pub fn without_operator(
    avatars: impl Iterator<Item = Routed>,
    channels: &[Subscription<'_>],
) -> Option<String> {
    let operators: Vec<_> = channels.iter().filter(|channel| channel.operator).collect();
    let is_excluded = |avatar: &Routed| {
        let facts = avatar.routing.facts(avatar.name.as_deref(), None);
        operators.iter().all(|channel| channel.only.exclusion(&facts).is_some())
    };
    let labels: Vec<String> = avatars.filter(is_excluded).map(|avatar| avatar.label).collect();
    let is_found = !operators.is_empty() && !labels.is_empty();
    is_found.then(|| {
        let avatars = counted(labels.len(), "avatar");
        let names = names(&labels);
        format!("no operator channel is for {avatars}, so no problem with them is sent: {names}")
    })
}

impl Group {
    fn describe(&self, count: usize) -> String {
        let avatars = counted(count, "avatar");
        let reach = if count == 1 { "reaches" } else { "reach" };
        let why = match (self.names_channels, self.tags.is_empty()) {
            (Some(false), _) => "`channels` is empty".to_owned(),
            (Some(true), _) => "the named channels are for other events or avatars".to_owned(),
            (None, true) => {
                format!("no channel is for account `{}` without tags", self.account)
            }
            (None, false) => {
                let tags: Vec<&str> = self.tags.iter().map(Tag::as_str).collect();
                format!("no channel is for account `{}`, tags {}", self.account, tags.join(", "))
            }
        };
        format!("{avatars} {reach} no channel ({why})")
    }
}

/// The first names, and the number of the others.
fn names(labels: &[String]) -> String {
    let shown = labels.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match labels.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The maximum number of groups that are described.
const GROUPS_MAX: usize = 5;
/// The maximum number of names in a line.
const NAMES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::channel_name::ChannelName;
    use crate::domain::event::EventKind;
    use crate::domain::routing::filter::ChannelFilter;
    use crate::domain::routing::pattern::Pattern;

    fn avatar(number: usize, tag: Option<String>, channels: Option<&[&str]>) -> Routed {
        let name = |name: &&str| ChannelName::parse(name).unwrap();
        let routing = AvatarRouting {
            account: AccountName::default(),
            tags: tag.map(|tag| Tag::parse(&tag).unwrap()).into_iter().collect(),
            channels: channels.map(|names| names.iter().map(name).collect()),
        };
        Routed { label: format!("`a{number}`"), name: None, routing }
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
        let none = "no channel is for account `argil`";
        let others = "the named channels are for other events or avatars";
        let seven = "`a0`, `a1`, `a2`, `a3`, `a4` and 2 more";
        let expected = [
            group("7 avatars", &format!("{none} without tags"), seven),
            group("1 avatar", &format!("{none}, tags french"), "`a7`"),
            group("1 avatar", "`channels` is empty", "`a9`"),
            group("1 avatar", others, "`a10`"),
        ];
        assert_eq!(lines(avatars, &spanish()), expected);
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
        check(false, both(), None);
    }

    #[test]
    fn what_a_poll_may_show_counts_as_reached() {
        let models = vec![Pattern::parse("*IMAGE*").unwrap()];
        let only = ChannelFilter { models, ..ChannelFilter::default() };
        assert_eq!(lines(vec![avatar(1, None, None)], &only), Vec::<String>::new());
    }

    #[test]
    fn many_groups_are_summed_up() {
        let avatars = (0..1_000).map(|number| avatar(number, Some(format!("t{number}")), None));
        let lines = lines(avatars.collect(), &spanish());
        assert_eq!(lines.len(), 6);
        let rest = "995 more avatars with other accounts or tags reach no channel either";
        assert_eq!(lines[5], rest);
    }
}
