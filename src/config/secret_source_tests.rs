use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::config::config_file_trust::ConfigFile;
use crate::config::environment::Environment;
use crate::config::error::ConfigError;
use crate::config::file;
use crate::config::settings::Settings;
use crate::domain::account::AccountName;
use crate::text::encoding::EncodingError;

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
        file::load(&ConfigFile::named(&path), &Environment::from_iter(variables))
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
            "config.toml:1: `argil.api_key` is in the config file, which other users can read \
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
fn a_source_without_a_secret_is_reported_without_its_value() {
    let folder = Folder::new();
    let check = |key: &str, said: &str, help: &str| {
        let (said, help) =
            (format!("config.toml:1: `argil.api_key{said}"), format!("  help: {help}"));
        folder.check(key, 0o600, &[&said, &help]);
    };
    check("''", "` is empty", "set a value, or remove the key");
    let empty = "put the secret there";
    check("{ env = 'EMPTY' }", ".env` names the variable `EMPTY`, which is empty", empty);
    check("{ file = 'empty' }", ".file` names the file `empty`, which is empty", empty);
    for name in ["PATH", "HOME", "LC_KEY"] {
        let inherits = "which every started program inherits";
        check(
            &format!("{{ env = '{name}' }}"),
            &format!(".env` names the variable `{name}`, {inherits}"),
            "use another variable, which programs do not inherit",
        );
    }
    check(
        "{ env = 'NOT_SET' }",
        ".env` names the variable `NOT_SET`, which is not set",
        "set it where the program starts: `export NOT_SET=…`, or `EnvironmentFile=` of the unit",
    );
    check(
        "{ env = 'sk-CANARY' }",
        ".env` names a variable that is not set",
        "write the name of a variable (it is not repeated here, in case it is the secret)",
    );
    let permissions = "check the path and the permissions of the file";
    let absent = "No such file or directory (os error 2)";
    check(
        "{ file = 'nowhere' }",
        &format!(".file` cannot be read from `nowhere`: {absent}"),
        permissions,
    );
    check(
        "{ file = 'binary' }",
        ".file` names the file `binary`, which is not UTF-8",
        "save it as UTF-8, as plain text",
    );
    check(
        "{ file = '/dev/zero' }",
        ".file` cannot be read from `/dev/zero`: not a regular file",
        permissions,
    );
    check(
        "{ credential = '../key' }",
        ".credential` is not the name of a credential",
        "write the name alone, without a path",
    );
    let sources = "write one of `{ env = \"…\" }`, `{ file = \"…\" }` and `{ credential = \"…\" }`";
    check("{}", "` names no source", sources);
    check("{ env = 'SET', file = 'key' }", "` names more than one source", sources);
    check("{ fiel = 'key' }", ".fiel` is an unknown key", "did you mean `file`?");
    check(
        "{ file = 'blank' }",
        ".file` names the file `blank`, which has a blank in it, as character 7",
        "copy the secret again, or retype that character",
    );
    let wrong_type = "config.toml:1: `argil.api_key` is an integer, but must be a string or a table \
                      like `{ env = \"NAME\" }`";
    folder.check("7", 0o600, &[wrong_type]);
}

/// Each key that is a secret, with a config around it where `SECRET` is its place, and a value that
/// is good there.
const KEYS: [(&str, &str, &str); 9] = [
    ("argil.api_key", "argil.api_key = SECRET\n", "CANARY"),
    ("web.token", "web.token = SECRET\n", "CANARY-of-16-letters"),
    ("web.hint_token", "web.hint_token = SECRET\n", "CANARY-of-16-letters"),
    ("heartbeat_url", "heartbeat_url = SECRET\n", "https://h.example/CANARY"),
    (
        "channels.ops.url",
        "channels.ops.url = SECRET\nchannels.ops.format = 'ntfy'\n\
      channels.ops.type = 'webhook'\n",
        "https://ntfy.example/CANARY",
    ),
    (
        "channels.ops.secret",
        "channels.ops.secret = SECRET\nchannels.ops.type = 'webhook'\n\
      channels.ops.url = 'https://h.example'\n",
        GOOD,
    ),
    (
        "channels.ops.headers.x-team",
        "channels.ops.headers.x-team = SECRET\n\
      channels.ops.type = 'webhook'\nchannels.ops.url = 'https://h.example'\n\
      channels.ops.format = 'slack'\n",
        "Bearer CANARY",
    ),
    (
        "channels.ops.proxy",
        "channels.ops.proxy = SECRET\nchannels.ops.type = 'webhook'\n\
      channels.ops.url = 'https://h.example'\nchannels.ops.format = 'slack'\n",
        "http://CANARY@h.example:1",
    ),
    (
        "channels.ops.smtp.password",
        "channels.ops.smtp.password = SECRET\n\
      channels.ops.type = 'email'\nchannels.ops.from = 'a@h.example'\n\
      channels.ops.to = ['a@h.example']\nchannels.ops.smtp.host = 'h.example'\n\
      channels.ops.smtp.username = 'a'\n",
        "pass CANARY",
    ),
];

#[test]
fn every_source_of_every_secret_is_cleaned_and_refused_alike() {
    let folder = Folder::new();
    let place = folder.0.path().display().to_string();
    for (key, text, good) in KEYS {
        let account = if key == "argil.api_key" { "" } else { "argil.api_key = { env = 'KEY' }\n" };
        let text = format!("{account}{text}");
        // What is said of the value from each source; nothing when it is taken.
        let said = |value: &[u8]| {
            folder.write("source", value);
            let plain = String::from_utf8_lossy(value).into_owned();
            let pairs =
                [("KEY", "key"), ("SOURCE", plain.as_str()), ("CREDENTIALS_DIRECTORY", &place)];
            let variables = Environment::from_iter(pairs);
            let itself = toml::Value::String(plain).to_string();
            let from =
                ["{ file = 'source' }", "{ credential = 'source' }", "{ env = 'SOURCE' }", &itself];
            from.map(|from| {
                let path = folder.write("config.toml", text.replace("SECRET", from).as_bytes());
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                let error = file::load(&ConfigFile::named(&path), &variables).err();
                let error = error.map(|error| error.to_string()).unwrap_or_default();
                assert!(!error.contains("CANARY") && !error.contains("C2FVs"), "{error}");
                let message = error.split_once("`, which ");
                let message = message.or_else(|| error.split_once(&format!("`{key}` ")));
                message.map_or(error.clone(), |(_, message)| message.to_owned())
            })
        };
        let same = |value: &str, expected: &str| {
            for found in said(value.as_bytes()) {
                assert!(found.starts_with(expected), "{key} with {value:?}: {found}");
                assert_eq!(found.is_empty(), expected.is_empty(), "{key} with {value:?}: {found}");
            }
        };
        same(good, "");
        same(&format!("\u{feff}{good}\r\n\n"), "");
        same(&format!("{good}\nother\n"), "has more than one line");
        same(&format!("\n{good}"), "has more than one line");
        same(&format!("{good} \n"), "ends with a blank");
        same(&format!("\t{good}"), "begins with a tab");
        same(&format!("{good}\u{a0}"), "ends with a no-break space (U+00A0)");
        same(&format!("{good}\u{200b}{good}"), "has a zero-width space (U+200B) in it");
        same(&format!("{good}\0"), "ends with NUL (U+0000)");
        same("\n", "is empty");
        let files = |value: Vec<u8>| {
            let [file, credential, ..] = said(&value);
            assert!(file.starts_with("is in UTF-16, not in UTF-8"), "{key}: {file}");
            assert_eq!(credential, file);
        };
        let wide = |it: &str| it.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        files(wide(good));
        files(wide(&format!("\u{feff}{good}\r\n")));
    }
}

#[test]
fn an_unreadable_config_is_reported() {
    let folder = Folder::new();
    let check = |path: PathBuf, expected: &str| {
        let error = file::load(&ConfigFile::named(&path), &Environment::default()).unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
    };
    check(folder.0.path().join("nowhere.toml"), "/nowhere.toml`");
    check(
        folder.write("latin.toml", b"a = 1\nb = '\xe9'"),
        "  help: save it as UTF-8, as plain text",
    );
    let wide: Vec<u8> =
        "[argil]\r\napi_key = 'CANARY'\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    check(folder.write("wide.toml", &wide), EncodingError::Utf16.help());

    assert!(matches!(
        file::load(&ConfigFile::named(folder.0.path()), &Environment::default()),
        Err(ConfigError::Unreadable { .. })
    ));
}
