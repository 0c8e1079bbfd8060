use std::os::unix::fs::symlink;

use tempfile::TempDir;

use crate::config::config_file_trust::ConfigFile;
use crate::config::environment::Environment;
use crate::config::file::{PartialConfig, load, partial};
use crate::config::settings::Settings;
use crate::domain::avatar::AvatarId;

use super::*;

const CONFIG: &str = "argil.api_key = { env = 'KEY' }\n[channels.ops]\ntype = 'webhook'\n\
                      url = 'https://example.com'\nsecret = { env = 'SECRET' }\n";
const A1: &str = "[[avatars]]\nid = 'a1'\n";

fn environment() -> Environment {
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    Environment::from_iter([("KEY", "key"), ("SECRET", secret)])
}

/// A folder with a config and drop-ins beside it.
struct Folder(TempDir);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.config(), config).unwrap();
        folder
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("config.toml")
    }

    /// With a drop-in of that name.
    fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        fs::create_dir_all(self.0.path().join(FOLDER)).unwrap();
        fs::write(self.0.path().join(FOLDER).join(name), bytes).unwrap();
        self
    }

    fn load(&self) -> Result<Settings, String> {
        load(&ConfigFile::named(self.config()), &environment())
            .map_err(|error| self.said(&error.to_string()))
    }

    fn partial(&self) -> PartialConfig {
        partial(&ConfigFile::named(self.config()), &environment())
    }

    fn said(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    /// The avatars with their places, and the warnings.
    fn good(&self) -> (Vec<String>, Vec<String>) {
        let settings = self.load().unwrap();
        let place = |avatar: &AvatarSettings| {
            self.said(&format!("{} {} {}", avatar.location, avatar.id, avatar.account))
        };
        let warnings = settings.warnings.iter().map(|warning| self.said(&warning.to_string()));
        (settings.avatars.iter().map(place).collect(), warnings.collect())
    }

    /// Takes everything that is said of a bad config.
    #[track_caller]
    fn check(&self, expected: &str) {
        assert_eq!(self.load().unwrap_err(), expected.trim());
    }
}

#[test]
fn drop_ins_register_avatars_in_the_order_of_their_names() {
    let folder = Folder::new(&format!("{CONFIG}{A1}"))
        .with("20.toml", "[[avatars]]\nid = 'a3'\n\n[[avatars]]\nid = 'a4'\nchannels = ['ops']\n")
        .with("10.toml", "# Jane\n[[avatars]]\nid = 'a2'\n")
        .with(".hidden.toml", "nonsense")
        .with("10.toml~", "nonsense")
        .with("10.toml.dpkg-new", "nonsense")
        .with("README", "nonsense");
    let expected = [
        "config.toml:6 a1 argil",
        "avatars.d/10.toml:2 a2 argil",
        "avatars.d/20.toml:1 a3 argil",
        "avatars.d/20.toml:4 a4 argil",
    ];
    assert_eq!(folder.good(), (expected.map(str::to_owned).to_vec(), Vec::new()));
    let partial = folder.partial().avatars.unwrap();
    assert_eq!(partial.keys().map(AvatarId::as_str).collect::<Vec<_>>(), ["a1", "a2", "a3", "a4"]);
}

#[test]
fn drop_ins_alone_are_enough_to_watch() {
    assert_eq!(Folder::new(CONFIG).with("a.toml", A1).good().1, [""; 0]);
    let [nothing] = Folder::new(CONFIG).good().1.try_into().unwrap();
    assert!(nothing.starts_with("config.toml: `avatars` is empty, so no avatar is watched"));
    assert_eq!(
        Folder::new(CONFIG).with("a.toml", "").good().1,
        ["avatars.d/a.toml: `avatars` is empty, so this file configures no avatars\n  \
          help: add `[[avatars]]` with an `id`, or delete the file"]
    );
}

#[test]
fn an_avatar_of_a_drop_in_has_the_only_account() {
    let config = CONFIG.replace("argil.api_key", "accounts.studio.api_key");
    let (avatars, _) = Folder::new(&config).with("a.toml", A1).good();
    assert_eq!(avatars, ["avatars.d/a.toml:1 a1 studio"]);
}

#[test]
fn every_problem_of_every_file_is_reported_with_its_location() {
    let broken = "[argil]\napi_key = 'CANARY'\n[[avatar]]\nid = 'a9'\n[[avatars]]\nnmae = 'x'\n\
                  id = 'A1'\n[[avatars]]\nid = 'a2'\nchannels = ['opps']\n";
    Folder::new(&format!("{CONFIG}colour = 1\n{A1}"))
        .with("a.toml", broken)
        .with("b.toml", "\n[[avatars]]\nid = 'a2'\n[[avatars]]\nid = 7s\n")
        .with("c.toml", b"a = 1\nb = '\xe9'")
        .check(
            r"
config.toml:6: `channels.ops.colour` is an unknown key
  help: the keys of this table are `type`, `url`, `secret`, `format`, `accepts`, `template`, `content_type`, `source`, `headers`, `proxy`, `deny_private`, `ca_file`, `timeout`, `events`, `only`, `operator`, `retry_schedule`, `expires_after` and `on_unknown`
avatars.d/a.toml:1: `argil` is an unknown table
  help: only `[[avatars]]` goes into avatars.d
avatars.d/a.toml:3: `avatar` is an unknown key
  help: only `[[avatars]]` goes into avatars.d
avatars.d/a.toml:6: `avatars.nmae` is an unknown key
  help: did you mean `name`?
avatars.d/a.toml:7: `avatars.id` is `A1`, which is already configured in `config.toml:8`
  help: remove one of them
avatars.d/a.toml:10: `avatars.channels[0]` names the channel `opps`, which does not exist
  help: did you mean `ops`?
avatars.d/b.toml:3: `avatars.id` is `a2`, which is already configured in `avatars.d/a.toml:9`
  help: remove one of them
avatars.d/b.toml:5: invalid TOML: string values must be quoted, expected literal string
  help: write the duration in quotes: `7s`
avatars.d/c.toml:2: the text is not UTF-8
  help: save it as UTF-8, as plain text
"
            .replace("quotes: `7s`", "quotes: `\"7s\"`")
            .as_str(),
        );
}

#[test]
fn damage_of_the_config_causes_no_problem_in_a_drop_in() {
    Folder::new(&CONFIG.replace("[channels.ops]", "[channels.ops"))
        .with("a.toml", "[[avatars]]\nid = 'a1'\nchannels = ['ops']\n")
        .check("config.toml:2: invalid TOML: unclosed table, expected `]`");
}

#[test]
fn a_drop_in_that_cannot_be_read_is_a_problem_and_no_silent_skip() {
    let help = "help: check its permissions; rename files that are no drop-ins";
    let folder = Folder::new(CONFIG).with("a.toml", A1);
    fs::create_dir(folder.0.path().join("avatars.d/b.toml")).unwrap();
    symlink("nowhere", folder.0.path().join("avatars.d/c.toml")).unwrap();
    folder.check(&format!(
        "avatars.d/b.toml: cannot be read: not a regular file\n  {help}\n\
         avatars.d/c.toml: cannot be read: No such file or directory (os error 2)\n  {help}",
    ));
    assert_eq!(folder.partial().avatars, None);
}

#[test]
fn a_folder_that_cannot_be_listed_is_a_problem() {
    let help = "  help: check that it is a folder and its permissions";
    let folder = Folder::new(CONFIG);
    fs::write(folder.0.path().join(FOLDER), "").unwrap();
    folder.check(&format!("avatars.d: cannot be listed: Not a directory (os error 20)\n{help}"));
    fs::remove_file(folder.0.path().join(FOLDER)).unwrap();
    symlink("nowhere", folder.0.path().join(FOLDER)).unwrap();
    folder.check(&format!(
        "avatars.d: cannot be listed: No such file or directory (os error 2)\n{help}"
    ));
}

#[test]
fn more_files_than_anyone_means_are_a_problem() {
    let mut folder = Folder::new(CONFIG);
    for number in 0..FILES_MAX {
        folder = folder.with(&format!("{number}.toml"), format!("[[avatars]]\nid = 'a{number}'\n"));
    }
    assert_eq!(folder.good().0.len(), FILES_MAX);
    folder
        .with("more.toml", A1)
        .check("avatars.d: has more than 10000 files\n  help: put several avatars into a file");
}
