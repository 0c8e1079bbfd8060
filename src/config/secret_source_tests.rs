use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::config::environment::Environment;
use crate::config::error::ConfigError;
use crate::config::file;
use crate::config::settings::Settings;
use crate::domain::account::AccountName;

use super::*;

const GOOD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A folder with a config and what its secrets come from.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("key", b"CANARY\r\n\n");
        folder.write("empty", b"\n");
        folder.write("binary", b"CANARY\xff");
        folder.write("blank", b"CANARY CANARY\n");
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn load(&self, text: &str, mode: u32) -> Result<Settings, ConfigError> {
        let path = self.write("config.toml", text.as_bytes());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let folder = self.0.path().display().to_string();
        let variables =
            [("SET", "CANARY"), ("EMPTY", ""), ("CREDENTIALS_DIRECTORY", folder.as_str())];
        let pairs = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        file::load(&path, &Environment::from_iter(pairs))
    }

    /// Takes a key as it stands in a file of that mode, and the problems that it makes.
    #[track_caller]
    fn check(&self, key: &str, mode: u32, expected: &[&str]) {
        let said = match self.load(&format!("argil.api_key = {key}"), mode) {
            Ok(settings) => {
                assert_eq!(
                    settings.accounts[&AccountName::default()].api_key.expose(),
                    "CANARY",
                    "for {key}"
                );
                format!("{settings:?}")
            }
            Err(error) => {
                let folder = format!("{}/", self.0.path().display());
                let said = error.to_string().replace(&folder, "");
                assert_eq!(said.lines().collect::<Vec<_>>(), expected, "for {key}");
                format!("{said} {error:?}")
            }
        };
        assert!(!said.contains("CANARY"), "a secret shows itself: {said}");
    }
}

#[test]
fn a_secret_comes_from_where_the_config_says() {
    let folder = Folder::new();
    for key in ["'CANARY'", "{ env = 'SET' }", "{ file = 'key' }", "{ credential = 'key' }"] {
        assert!(folder.load(&format!("argil.api_key = {key}"), 0o600).is_ok(), "for {key}");
        folder.check(key, 0o600, &[]);
    }
    folder.check("{ env = 'SET' }", 0o644, &[]);
}

#[test]
fn a_secret_stands_in_the_file_only_when_others_cannot_read_it() {
    let folder = Folder::new();
    for mode in [0o644, 0o640, 0o604] {
        let first = format!(
            "config.toml:1: `argil.api_key` stands in the file itself, which others can read \
             (its mode is 0{mode:o})"
        );
        folder.check(
            "'CANARY'",
            mode,
            &[
                &first,
                "  help: run `chmod 600 config.toml`, or write `{ env = \"…\" }`, \
                 `{ file = \"…\" }` or `{ credential = \"…\" }`",
            ],
        );
    }
    folder.check("'CANARY'", 0o400, &[]);
}

#[test]
fn a_url_may_stand_in_any_file_and_shows_itself_nowhere() {
    let folder = Folder::new();
    let text = "argil.api_key = { env = 'SET' }\n[channels.ops]\ntype = 'webhook'\n\
                url = 'https://example.com/CANARY'\nsecret = { file = 'signing' }";
    folder.write("signing", GOOD.as_bytes());
    let settings = folder.load(text, 0o644).unwrap();
    let said = format!("{settings:?}");
    assert!(!said.contains("CANARY") && !said.contains("whsec_"), "a secret shows itself: {said}");
}

#[test]
fn a_source_that_gives_nothing_is_told_without_what_may_be_the_secret() {
    let folder = Folder::new();
    let check = |key: &str, expected: &[&str]| folder.check(key, 0o600, expected);
    let sources =
        "  help: write one of `{ env = \"…\" }`, `{ file = \"…\" }` and `{ credential = \"…\" }`";
    check(
        "''",
        &[
            "config.toml:1: `argil.api_key` is empty",
            "  help: write something, or take the key out",
        ],
    );
    check(
        "{ env = 'EMPTY' }",
        &[
            "config.toml:1: `argil.api_key` comes from a place that is empty",
            "  help: put the secret there",
        ],
    );
    check(
        "{ file = 'empty' }",
        &[
            "config.toml:1: `argil.api_key` comes from a place that is empty",
            "  help: put the secret there",
        ],
    );
    check(
        "{ env = 'NOT_SET' }",
        &[
            "config.toml:1: `argil.api_key.env` names the variable `NOT_SET`, which is not set",
            "  help: set it where the program starts: `export NOT_SET=…`, or `EnvironmentFile=` of \
             the unit",
        ],
    );
    check(
        "{ env = 'sk-CANARY' }",
        &[
            "config.toml:1: `argil.api_key.env` names a variable that is not set",
            "  help: the name of a variable belongs here (it is not repeated, in case it is the \
             secret)",
        ],
    );
    check(
        "{ file = 'nowhere' }",
        &[
            "config.toml:1: `argil.api_key.file` cannot be read from `nowhere`: No such file or \
           directory (os error 2)",
            "  help: is the path right, and may this user read the file?",
        ],
    );
    check(
        "{ file = 'binary' }",
        &[
            "config.toml:1: `argil.api_key.file` cannot be read from `binary`: it is not UTF-8",
            "  help: put the secret there as plain text",
        ],
    );
    check(
        "{ file = '/dev/zero' }",
        &[
            "config.toml:1: `argil.api_key.file` cannot be read from `/dev/zero`: it is no regular \
           file",
            "  help: is the path right, and may this user read the file?",
        ],
    );
    check(
        "{ credential = '../key' }",
        &[
            "config.toml:1: `argil.api_key.credential` is no name of a credential",
            "  help: write the name alone, without a path",
        ],
    );
    check("{}", &["config.toml:1: `argil.api_key` names no source", sources]);
    check(
        "{ env = 'SET', file = 'key' }",
        &["config.toml:1: `argil.api_key` names more than one source", sources],
    );
    check(
        "{ fiel = 'key' }",
        &["config.toml:1: `argil.api_key.fiel` is an unknown key", "  help: did you mean `file`?"],
    );
    check(
        "7",
        &["config.toml:1: `argil.api_key` is a whole number, and must be a text or a table like \
           `{ env = \"NAME\" }`"],
    );
    check(
        "{ file = 'blank' }",
        &[
            "config.toml:1: `argil.api_key` has a blank, a control character or a character beyond \
             ASCII in it",
            "  help: copy the key again; it is sent as a header, which cannot carry those",
        ],
    );
}

#[test]
fn a_config_that_cannot_be_read_is_told_as_such() {
    let folder = Folder::new();
    let check = |path: PathBuf, expected: &str| {
        let error = file::load(&path, &Environment::default()).unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
    };
    check(folder.0.path().join("nowhere.toml"), "/nowhere.toml`");
    check(folder.write("latin.toml", b"a = 1\nb = '\xe9'"), "latin.toml:2: the text is not UTF-8");
    assert!(matches!(
        file::load(folder.0.path(), &Environment::default()),
        Err(ConfigError::Unreadable { .. })
    ));
}
