use crate::config::file::tests::{self, check, check_added, read_with};
use crate::config::settings::Settings;

use super::*;

fn names(settings: &Settings) -> Vec<&str> {
    settings.accounts.keys().map(AccountName::as_str).collect()
}

#[test]
fn an_account_has_the_defaults_of_the_default_one() {
    let settings = tests::settings(
        "accounts.studio.api_key = 'other'\n[[avatars]]\nid = 'a1'\n\
         [[avatars]]\nid = 'a2'\naccount = 'studio'\n",
    );
    assert_eq!(names(&settings), ["argil", "studio"]);
    let [argil, studio] = [0, 1].map(|n| settings.accounts.values().nth(n).unwrap());
    let api_key = argil.api_key.clone();
    assert_eq!(AccountSettings { api_key, ..studio.clone() }, *argil);
    assert_eq!(argil.unavailable_after, Duration::from_secs(900));
    let accounts: Vec<_> = settings.avatars.iter().map(|avatar| avatar.account.as_str()).collect();
    assert_eq!(accounts, ["argil", "studio"]);
}

#[test]
fn the_default_account_is_optional_when_there_is_another() {
    let alone = "accounts.studio.api_key = 'key'\n[[avatars]]\nid = 'a1'\n";
    let settings = read_with(alone, &[]).unwrap();
    assert_eq!(
        (names(&settings), settings.avatars[0].account.as_str()),
        (vec!["studio"], "studio")
    );
    check(
        &format!("accounts.lab.api_key = 'other'\n{alone}"),
        "config.toml:3: `avatars.account` is missing\n  \
         help: write `account = \"…\"`, since there is no `[argil]`; there are: `lab` and `studio`",
    );
    check(
        "[accounts]\n",
        "config.toml: `argil.api_key` is missing\n  \
         help: write `api_key = { env = \"ARGIL_API_KEY\" }`",
    );
}

#[test]
fn two_accounts_with_one_key_are_a_warning() {
    let warned = |twin: &str, name: &str| {
        format!(
            "config.toml:2: `accounts.{name}` has the same key as the account `{twin}`\n  \
             help: Argil applies one rate limit to both: keep one of them, or lower \
             `max_requests_per_second` in both"
        )
    };
    check_added("[accounts.a]\napi_key = 'key'", &warned("argil", "a"));
    check_added(
        "[accounts.a]\napi_key = 'key'\nbase_url = 'https://api.argil.ai/v1/'",
        &warned("argil", "a"),
    );
    check_added("[accounts.a]\napi_key = 'key'\nbase_url = 'https://example.com/v1'", "");
    check_added("[accounts.a]\napi_key = 'key2'", "");
}

#[test]
fn accounts_of_the_wrong_type_get_a_help() {
    check_added(
        "[[accounts]]\napi_key = 'other'",
        "config.toml:2: `accounts` is a list\n  \
         help: write `[accounts.NAME]`, with one bracket and a name",
    );
    check_added(
        "[accounts.'my studio']\napi_key = 'other'\n[accounts.b]",
        "config.toml:2: `accounts.my studio` is not a valid name\n  \
         help: an account's name is 1 to 64 letters, digits, `_` or `-`\n\
         config.toml:4: `accounts.b.api_key` is missing\n  \
         help: write `api_key = { env = \"ARGIL_API_KEY\" }`",
    );
    check_added(
        "[[avatars]]\nid = 'a1'\naccount = 'argyl'",
        "config.toml:4: `avatars.account` names the account `argyl`, which does not exist\n  \
         help: did you mean `argil`?",
    );
}
