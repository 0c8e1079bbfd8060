use super::*;
use crate::config::file::tests::{self, check_added};
use crate::config::settings::WebhookSettings;

const HOOK: &str = "[channels.ops]\ntype = 'webhook'\nurl = 'https://example.com/topic'\n";
const SECRET: &str = "secret = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'\n";

fn webhook(keys: &str) -> WebhookSettings {
    tests::webhook(&format!("{HOOK}{keys}"))
}

#[track_caller]
fn check(keys: &str, expected: &str) {
    check_added(&format!("{HOOK}{keys}"), expected);
}

#[test]
fn what_a_chat_accepts_is_for_chats_alone() {
    for format in ["slack", "discord", "teams"] {
        check(&format!("format = '{format}'\naccepts = 'any-2xx'"), "");
    }
    check(
        "format = 'template'\ntemplate = { a = 'b' }\naccepts = 'any-2xx'",
        "config.toml:7: `channels.ops.accepts` is only for chat formats\n  \
         help: remove it: in this format every 2xx counts as delivered",
    );
    check(
        "format = 'slack'\naccepts = 'any'",
        "config.toml:6: `channels.ops.accepts` has the unknown value `any`\n  \
         help: it can be `known-answers` or `any-2xx`",
    );
}

#[test]
fn every_format_is_known_and_standard_is_the_default() {
    assert_eq!(webhook(SECRET).format, FormatSettings::Standard);
    assert_eq!(webhook(&format!("{SECRET}format = 'standard'")).format, FormatSettings::Standard);
    for (word, format) in [
        ("slack", FormatSettings::Slack),
        ("discord", FormatSettings::Discord),
        ("teams", FormatSettings::Teams),
        ("ntfy", FormatSettings::Ntfy),
    ] {
        let read = webhook(&format!("format = '{word}'"));
        assert!(read.format.is_chat() && read.format == format, "{word}");
        assert!(read.secrets.is_empty(), "a chat needs no secret");
        let signing = webhook(&format!("{SECRET}format = '{word}'"));
        assert_eq!(signing.secrets.len(), 1, "it may have one");
    }
    let source = |keys: &str| match webhook(&format!("{SECRET}format = 'cloudevents'\n{keys}")) {
        WebhookSettings { format: FormatSettings::CloudEvents { source }, .. } => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(source(""), "urn:avatar-watch:daemon");
    assert_eq!(source("source = 'https://example.com/a?b#c'"), "https://example.com/a?b#c");
}

#[test]
fn a_template_is_any_json_and_keeps_its_places() {
    let read = webhook(
        "format = 'template'\ncontent_type = 'application/x-own+json'\n\
         [channels.ops.template]\nb = [1, 2.5, true,\n 'x']\na = { c = 'y' }\n",
    );
    let FormatSettings::Template(template) = read.format else { panic!("no template") };
    let text = |text: &str| TemplateTree::Text(text.to_owned());
    let list = vec![
        TemplateTree::Integer(1),
        TemplateTree::Number(2.5),
        TemplateTree::Flag(true),
        text("x"),
    ];
    let object = TemplateTree::Object(vec![("c".to_owned(), text("y"))]);
    let tree = vec![("b".to_owned(), TemplateTree::List(list)), ("a".to_owned(), object)];
    assert_eq!(template.tree, TemplateTree::Object(tree));
    assert_eq!(template.content_type, "application/x-own+json");
    assert_eq!((template.lines[".b[3]"], template.lines[".a.c"]), (9, 10));
}

#[test]
fn a_problem_of_a_format_is_reported_with_its_line() {
    check(
        "format = 'slack'\ntemplate = {}",
        "config.toml:6: `channels.ops.template` belongs to the format `template` alone\n  \
         help: remove it, or write `format = \"template\"`",
    );
    check(
        "format = 'slack'\nsource = 'urn:x:y'",
        "config.toml:6: `channels.ops.source` belongs to the format `cloudevents` alone\n  \
         help: remove it, or write `format = \"cloudevents\"`",
    );
    check(
        &format!("{SECRET}format = 'cloudevents'\nsource = 'a b'"),
        "config.toml:7: `channels.ops.source` is not a URI-reference\n  \
         help: write one like `urn:avatar-watch:daemon` or `https://example.com/avatar-watch`",
    );
    check(
        "format = 'template'\ncontent_type = 'json'\ntemplate = { a = 1 }",
        "config.toml:6: `channels.ops.content_type` is not a content type\n  \
         help: write one like `application/json`, or remove the key",
    );
    check(
        "format = 'template'\ntemplate = { a = [nan, 2026-01-01] }",
        "config.toml:6: `channels.ops.template.a[0]` is not a number that JSON supports\n  \
         help: write another number, or a string\n\
         config.toml:6: `channels.ops.template.a[1]` is a date or time, which JSON does not \
         support\n  \
         help: write it as a string in quotes",
    );
}

#[test]
fn the_path_of_an_ntfy_url_ends_in_a_topic() {
    let hook = |url: &str| {
        format!(
            "[channels.ops]\ntype = 'webhook'\nurl = 'https://example.com{url}'\nformat = 'ntfy'"
        )
    };
    check_added(&hook("/ntfy/alerts"), "");
    let check = |url: &str, text: &str| {
        check_added(
            &hook(url),
            &format!(
                "config.toml:4: `channels.ops.url` has no topic: {text}\n  help: write it like \
                 `https://ntfy.sh/your-topic`; a server below a path like \
                 `https://example.com/ntfy/your-topic`"
            ),
        );
    };
    check("/", "the path of the URL is empty");
    let rule = "the last part of its path is not 1 to 64 letters, digits, `_` or `-`";
    check("/my%20topic", rule);
    check(&format!("/ntfy/{}", "x".repeat(65)), rule);
    check("/alerts/json", "the last part of its path is a name that ntfy keeps for itself");
}
