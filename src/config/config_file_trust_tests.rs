use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::config::file;
use crate::config::settings::Settings;

use super::*;

/// The id of a user that does not exist on this machine.
const MALLORY: u32 = 61_871;
/// All that a config can name, with the key that names it.
const NAMED: [(&str, &str); 8] = [
    ("key", "argil.api_key.file"),
    ("signing", "channels.ops.secret.credential"),
    ("ca.pem", "channels.ops.ca_file"),
    ("sendmail", "channels.one.sendmail.command"),
    ("password", "channels.two.smtp.password_command"),
    ("token", "channels.three.smtp.token_command"),
    ("avatars.d/a.toml", ""),
    ("avatars.d", ""),
];

/// A folder with a config that names all kinds of files.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let path = |name: &str| place.path(name).display().to_string();
        let mail = "type = 'email'\nfrom = 'a@example.com'\nto = ['b@example.com']\n";
        let smtp = "smtp = { host = 'mail.example.com', username = 'u',";
        let config = format!(
            "argil.api_key = {{ file = 'key' }}\n[channels.ops]\ntype = 'webhook'\n\
             url = 'https://example.com'\nsecret = {{ credential = 'signing' }}\n\
             ca_file = 'ca.pem'\n[channels.one]\n{mail}sendmail.command = ['{}']\n\
             [channels.two]\n{mail}{smtp} password_command = ['{}'] }}\n\
             [channels.three]\n{mail}{smtp} auth = 'xoauth2', token_command = ['{}'] }}\n",
            path("sendmail"),
            path("password"),
            path("token")
        );
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["h.example".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap().pem();
        fs::create_dir(place.path("avatars.d")).unwrap();
        for (name, content, mode) in [
            ("config.toml", config.as_str(), 0o644),
            ("key", "key\n", 0o600),
            ("signing", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", 0o400),
            ("ca.pem", &certificate, 0o644),
            ("sendmail", "", 0o755),
            ("password", "", 0o755),
            ("token", "", 0o755),
            ("avatars.d/a.toml", "[[avatars]]\nid = 'a1'\n", 0o644),
        ] {
            fs::write(place.path(name), content).unwrap();
            place.set(name, mode);
        }
        place.set("avatars.d", 0o755);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn set(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    fn load(&self) -> Result<Settings, String> {
        let credentials = self.0.path().display().to_string();
        let environment = [("CREDENTIALS_DIRECTORY", credentials)];
        let config = ConfigFile::named(self.path("config.toml"));
        let read = file::load(&config, &Environment::from_iter(environment));
        read.map_err(|error| self.said(&error.to_string()))
    }

    fn said(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    fn warnings(&self) -> Vec<String> {
        let warnings = self.load().unwrap().warnings;
        warnings.iter().map(|warning| self.said(&warning.to_string())).collect()
    }
}

#[test]
fn files_that_a_config_names_must_not_be_writable_for_others() {
    let place = Place::new();
    assert_eq!(place.warnings(), [""; 0]);
    for (name, key) in NAMED {
        let mode = place.mode(name);
        for writable in [0o002, 0o022] {
            place.set(name, mode | writable);
            let said = place.load().unwrap_err();
            let what = format!("can be written by everybody (its mode is {:04o})", mode | writable);
            assert!(said.contains(&what), "{name}: {said}");
            assert!(said.contains(&format!("\n  help: `chmod go-w {name}`")), "{name}: {said}");
            let place = if key.is_empty() { format!("{name}: ") } else { format!("`{key}` ") };
            assert!(said.contains(&place), "{name}: {said}");
            assert_eq!(said.lines().count(), 2, "it is the one problem: {said}");
        }
        place.set(name, mode);
    }
    place.set("config.toml", 0o666);
    let said = place.load().unwrap_err();
    assert!(said.starts_with("config.toml: can be written by everybody"), "{said}");
}

#[test]
fn whatever_a_config_names_belongs_to_this_user_or_to_root() {
    if !geteuid().is_root() {
        println!("only root can make files of other users: nothing is tried");
        return;
    }
    let place = Place::new();
    let above = |mode| fs::set_permissions(place.0.path(), Permissions::from_mode(mode)).unwrap();
    let named = NAMED.into_iter().filter(|(name, _)| *name != "avatars.d");
    for (name, key) in named {
        chown(place.path(name), Some(MALLORY), Some(MALLORY)).unwrap();
        // Where root alone can have put it, it is for another user that runs the daemon.
        above(0o700);
        let [warning] = place.warnings().try_into().unwrap();
        let what = "belongs to user 61871, not to root, who runs this";
        assert!(warning.contains(what) && warning.contains(key), "{warning}");
        let help = format!("right if user 61871 runs the daemon; else `chown root {name}`");
        assert!(warning.ends_with(&help), "{warning}");
        if !name.starts_with("avatars.d") {
            above(0o1777);
            let said = place.load().unwrap_err();
            assert!(said.contains(what) && said.contains(key), "{said}");
            assert!(said.contains(&format!("if you trust it: `chown root {name}`")), "{said}");
        }
        above(0o700);
        chown(place.path(name), Some(0), Some(0)).unwrap();
    }
    chown(place.path("avatars.d"), Some(MALLORY), None).unwrap();
    let said = place.load().unwrap_err();
    assert!(said.starts_with("avatars.d: belongs to user 61871"), "{said}");
    // What is its config's owner's may be his, too.
    for name in ["config.toml"].into_iter().chain(NAMED.map(|(name, _)| name)) {
        chown(place.path(name), Some(MALLORY), Some(MALLORY)).unwrap();
    }
    let [warning] = place.warnings().try_into().unwrap();
    assert!(warning.starts_with("config.toml: belongs to user 61871"), "{warning}");
}

#[test]
fn a_secret_that_everybody_can_read_is_warned_of() {
    let place = Place::new();
    for (name, key) in &NAMED[..2] {
        for (mode, expected) in [(0o644, 1), (0o604, 1), (0o640, 0), (0o600, 0), (0o400, 0)] {
            place.set(name, mode);
            let warnings = place.warnings();
            assert_eq!(warnings.len(), expected, "{mode:o}: {warnings:?}");
            for warning in warnings {
                let what = format!("which everybody can read (its mode is {mode:04o})");
                assert!(warning.contains(&what) && warning.contains(key), "{warning}");
                assert!(warning.ends_with(&format!("help: `chmod o-r {name}`")), "{warning}");
            }
        }
    }
}

#[test]
fn a_config_that_may_not_be_obeyed_has_the_outline_of_none() {
    let place = Place::new();
    let partial = || {
        let config = ConfigFile::named(place.path("config.toml"));
        file::partial(&config, &Environment::default())
    };
    assert_eq!(partial().avatars.unwrap().len(), 1);
    place.set("config.toml", 0o666);
    let refused = partial();
    assert!(refused.refused.is_some() && refused.avatars.is_none() && !refused.is_readable);
    assert_eq!(refused.store_path, place.path("avatar-watch.db"));
    place.set("config.toml", 0o644);
    place.set("avatars.d", 0o777);
    assert_eq!(partial().avatars, None, "some are unknown");
    fs::remove_file(place.path("config.toml")).unwrap();
    assert_eq!(partial().refused, None);
}
