use super::*;
use crate::config::file::tests::{HOOK, channel, check_added, check_hook, settings};

fn filter(only: &str) -> ChannelFilter {
    channel(&format!("{HOOK}only = {only}\n[[avatars]]\nid = 'a1'\ntags = ['spanish', 'vip']\n"))
        .only
}

#[test]
fn only_is_lists_or_single_values() {
    let text = |only: &str| filter(only).to_string();
    assert_eq!(text("{ tags = ['Spanish', 'vip'] }"), "tags spanish, vip");
    assert_eq!(text("{ tags = 'spanish', accounts = ['argil'] }"), "tags spanish; accounts argil");
    let both = text("{ names = ['Jane*', 'Joe, *'], models = '*IMAGE*' }");
    assert_eq!(both, "models *IMAGE*; names Jane*, Joe, *");
    assert!(channel(HOOK).only.is_empty());
}

#[test]
fn a_wrong_only_is_reported_with_its_line() {
    check_hook(
        "only = {}",
        "only",
        "is empty\n  help: remove it for every avatar, or write `tags = [\"…\"]`",
    );
    check_hook(
        "only = { tags = [] }",
        "only.tags",
        "is an empty list\n  help: remove the key, or write what it is for",
    );
    check_hook(
        "only = { tag = 'a' }",
        "only.tag",
        "is an unknown key\n  help: did you mean `tags`?",
    );
    check_hook("only = 'a'", "only", "is a string, but must be a table");
    check_hook(
        "only.accounts = ['argyl']",
        "only.accounts[0]",
        "names the account `argyl`, which does not exist\n  help: did you mean `argil`?",
    );
    let tag =
        "a tag is 1 to 64 letters, digits, `_`, `-`, `.`, `:` or `/`, with spaces only inside";
    check_hook("only.tags = ['a,b']", "only.tags[0]", &format!("is not a tag\n  help: {tag}"));
    check_hook(
        "only.names = \"a\\n\"",
        "only.names",
        "is not a pattern\n  help: a pattern has 1 to 128 characters, without control characters",
    );
}

#[test]
fn a_tag_that_no_avatar_has_is_a_warning() {
    let check = |only: &str, place: &str, tag: &str, help: &str| {
        let hook = format!("{HOOK}{only}\n[[avatars]]\nid = 'a1'\ntags = ['Spanish']\n");
        let message = "a tag that no avatar has";
        let found = format!("config.toml:6: `{place}` is `{tag}`, {message}\n  help: {help}");
        check_added(&hook, if tag.is_empty() { "" } else { &found });
        check_added(&format!("argil.tags = ['spannish']\n{hook}"), "");
        check_added(&format!("discover = {{ enabled = true, tags = ['spannish'] }}\n{hook}"), "");
    };
    let near = "did you mean `spanish`?";
    check("only.tags = ['spanish']", "", "", "");
    check("only.tags = ['spannish']", "channels.ops.only.tags[0]", "spannish", near);
    check("only.tags = 'Spannish'", "channels.ops.only.tags", "spannish", near);
    check_added(
        &format!("{HOOK}only.tags = 'x'"),
        "config.toml:6: `channels.ops.only.tags` is `x`, a tag that no avatar has\n  help: write \
         `tags = [\"…\"]` in avatars, accounts or `[discover]`",
    );
}

#[test]
fn an_avatar_cannot_name_a_channel_that_excludes_it() {
    let check = |only: &str, keys: &str, exclusion: &str| {
        let avatar = format!("[[avatars]]\nid = 'a1'\nchannels = ['ops']\n{keys}\n");
        let other = "[[avatars]]\nid = 'a2'\ntags = ['spanish', 'vip']\n";
        let expected = format!(
            "config.toml:9: `avatars.channels[0]` names the channel `ops`, which is not for this \
             avatar\n  help: it is {exclusion}; remove it here, or change its `only`"
        );
        let expected = if exclusion.is_empty() { "" } else { &expected };
        check_added(&format!("{HOOK}only = {only}\n{avatar}{other}"), expected);
    };
    check("{ tags = 'spanish' }", "", "only for tags spanish");
    check("{ tags = 'spanish' }", "tags = ['SPANISH']", "");
    check("{ names = 'Jane*' }", "name = 'Joe'", "only for names Jane*");
    check("{ names = 'Jane*' }", "name = 'Jane 2'", "");
    check("{ names = 'Jane*' }", "", "");
    check("{ models = '*IMAGE*' }", "", "");
}

#[test]
fn an_avatar_has_its_tags_and_those_of_its_account() {
    let settings = settings(
        "argil.tags = ['main']\n[[avatars]]\nid = 'a1'\ntags = ['vip']\n[discover]\n\
         enabled = true\ntags = ['found']\nchannels = []\n",
    );
    let tags = |tags: &BTreeSet<Tag>| tags.iter().map(Tag::to_string).collect::<Vec<_>>();
    let configured = settings.routing(&settings.avatars[0]);
    assert_eq!(
        (tags(&configured.tags), configured.channels),
        (vec!["main".into(), "vip".into()], None)
    );
    let discovered = settings.discovered_routing().into_values().next().unwrap();
    assert_eq!(tags(&discovered.tags), ["found", "main"]);
    assert_eq!(discovered.channels, Some(Vec::new()));
}
