use std::path::Path;

use super::*;
use crate::config::environment::Environment;
use crate::config::file;
use crate::config::reader::Visibility;

const OLD: &str = r#"
[argil]
api_key = "key"
[[avatars]]
id = "a1"
[[avatars]]
id = "a2"
[channels.mail]
type = "email"
from = "a@example.com"
to = ["b@example.com"]
smtp = { host = "localhost", tls = "none", username = "u", password = "p" }
[channels.ops]
type = "webhook"
url = "https://example.com/x"
secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
"#;

fn settings(text: &str) -> Settings {
    let environment = Environment::default();
    file::read(Path::new("config.toml"), text, Visibility::Owner, &environment).unwrap()
}

/// Takes replacements of the old text, and the changes that they make.
fn check(replacements: &[(&str, &str)], expected: &[&str]) {
    let new = replacements.iter().fold(OLD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` is not there");
        text.replacen(from, to, 1)
    });
    let changes = diff(&settings(OLD), &settings(&new));
    let lines: Vec<String> = changes.iter().map(Change::to_string).collect();
    assert_eq!(lines, expected, "for {replacements:?}");
}

#[test]
fn a_reload_is_told_in_words() {
    check(&[], &[]);
    check(&[("[argil]", "# a comment\n\n[argil]")], &[]);
    check(&[("id = \"a1\"", "id = \"a2\""), ("id = \"a2\"\n[chan", "id = \"a1\"\n[chan")], &[]);
    check(&[("\"key\"", "\"new-key\"")], &["the account changed"]);
    check(&[("[argil]", "poll.missing = \"1m\"\n[argil]")], &["the pace of looking changed"]);
    check(
        &[("[argil]", "events.infer_unseen_training = false\n[argil]")],
        &["`events.infer_unseen_training` changed"],
    );
    check(
        &[("id = \"a2\"", "id = \"a3\""), ("id = \"a1\"", "id = \"a1\"\nname = \"Jane\"")],
        &["avatar `a1` changed", "avatar `a3` added", "avatar `a2` removed"],
    );
    check(
        &[("channels.mail", "channels.post"), ("MV+b", "MV+c")],
        &["channel `ops` changed", "channel `post` added", "channel `mail` removed"],
    );
    check(&[("\"p\"", "\"q\"")], &["channel `mail` changed"]);
}

#[test]
fn the_store_moves_only_with_a_restart() {
    let old = settings(OLD);
    let new = Settings { store_path: PathBuf::from("/srv/new.db"), ..old.clone() };
    let [change] = diff(&old, &new).try_into().unwrap();
    assert!(change.needs_restart());
    assert_eq!(
        change.to_string(),
        "the store moves from `avatar-watch.db` to `/srv/new.db` only with a restart",
    );
}
