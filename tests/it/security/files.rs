//! Files on a machine with other users: written files are private, and planted links are not
//! followed.

mod owners;
mod programs;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::harness::argil::FakeArgil;
use crate::harness::config::Config;
use crate::harness::daemon::{Bench, RUN, stderr, stdout, wait_until};

const MAILS: &str = "\n[channels.drafts]\ntype = \"email\"\nfrom = \"watch@example.com\"\n\
                     to = [\"studio@example.com\"]\nfile = { folder = \"mails\" }\n";

/// A bench with one avatar that does not change, and a folder for mails.
fn idle(argil: &FakeArgil) -> Bench {
    argil.set_status("a1", "TRAINING");
    let bench = Bench::new(Config::new(argil.base_url()).avatar("a1").with(MAILS).text());
    fs::create_dir(bench.path("mails")).unwrap();
    fs::set_permissions(bench.path("mails"), Permissions::from_mode(0o777)).unwrap();
    bench
}

/// The program with these arguments and a umask.
fn masked(bench: &Bench, umask: &str, arguments: &[&str]) -> Command {
    let program = bench.command(arguments);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]);
    command.arg(program.get_program()).args(arguments).env_clear();
    command.env("AVATAR_WATCH_CONFIG", bench.config()).current_dir(bench.path(""));
    command
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Everything below a folder, with its mode.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(modes(&path));
        }
        found.push((path.clone(), mode(&path)));
    }
    found
}

#[test]
fn written_files_are_private_under_any_umask() {
    for umask in ["000", "022", "077"] {
        let argil = FakeArgil::start();
        let bench = idle(&argil);
        let run = |arguments: &[&str]| {
            let done = masked(&bench, umask, arguments).output().unwrap();
            assert!(done.status.success(), "{umask}: {arguments:?}: {}", stderr(&done));
        };
        let daemon = bench.start_by(masked(&bench, umask, &RUN));
        daemon.wait_for_log("baseline TRAINING");
        wait_until("a log", || bench.path("avatar-watch.db-wal").exists());
        run(&["db", "backup", "one.db"]);
        run(&["db", "backup", "--keep", "2", "backups"]);
        run(&["test", "drafts"]);
        fs::create_dir(bench.path("started")).unwrap();
        let webhook = ["--webhook", "https://ops.example.com/hook"];
        let started = [&["init", "--output", "started/config.toml"], &webhook[..]].concat();
        run(&started);
        run(&[&started[..], &["--force"]].concat());
        let during = modes(&bench.path(""));
        daemon.kill();
        run(&["db", "restore", "one.db"]);
        let written = [
            "avatar-watch.db",
            "avatar-watch.db-wal",
            "avatar-watch.db-shm",
            "avatar-watch.db.lock",
            "one.db",
            ".eml",
            ".json",
            "webhook-secret",
            "started/config.toml",
            "config.toml.old",
            ".before-restore-",
        ];
        let all = [during, modes(&bench.path(""))].concat();
        for name in written {
            let is_it = |path: &Path| path.to_str().unwrap().contains(name);
            assert!(all.iter().any(|(path, _)| is_it(path)), "{umask}: no {name} in {all:?}");
        }
        for (path, mode) in all {
            let name = path.file_name().unwrap().to_str().unwrap();
            let expected = match name {
                "backups" => 0o700,
                // Created by the test.
                "daemon.log" | "mails" | "started" => continue,
                _ => 0o600,
            };
            assert_eq!(mode, expected, "{umask}: {}", path.display());
        }
    }
}

#[test]
fn the_folder_of_the_demo_is_private() {
    let bench = Bench::new("");
    let folder = bench.path("tmp");
    fs::create_dir(&folder).unwrap();
    let mut command = masked(&bench, "000", &["demo", "--avatars", "1"]);
    command.env("TMPDIR", &folder);
    let demo = bench.start_by(command);
    let config = || {
        let mut entries = fs::read_dir(&folder).unwrap();
        let found = entries.next()?.unwrap().path().join("avatar-watch.db");
        found.exists().then_some(found)
    };
    wait_until("its database", || config().is_some());
    let all = modes(&folder);
    drop(demo);
    for (path, mode) in all {
        let expected = match path.extension().and_then(|it| it.to_str()) {
            None => 0o700,
            Some(_) => 0o600,
        };
        assert_eq!(mode, expected, "{}", path.display());
    }
}

#[test]
fn a_daemon_creates_the_folder_of_its_database_with_mode_0700() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let config = Config::new(argil.base_url()).avatar("a1");
    let bench = Bench::new(config.with("\n[store]\npath = \"own/a.db\"\n").text());
    // Like a volume and `/tmp`.
    for (open, code) in [(0o777, 74), (0o1777, 0)] {
        fs::set_permissions(bench.path(""), Permissions::from_mode(open)).unwrap();
        let checked = bench.run(&["check"]);
        assert_eq!(checked.status.success(), code == 0, "{open:o}: {}", stderr(&checked));
        assert!(!bench.path("own").exists());
        if code != 0 {
            let refused = bench.run(&["run"]);
            assert_eq!(refused.status.code(), Some(code), "{}", stderr(&refused));
            assert!(stderr(&refused).contains("`chmod +t "), "{}", stderr(&refused));
            assert!(!bench.path("own").exists());
        }
    }
    let daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
    assert_eq!(mode(&bench.path("own")), 0o700);
    assert!(daemon.stop().success());
}

#[test]
fn a_user_who_replaces_a_copy_in_progress_reads_nothing_of_it() {
    let argil = FakeArgil::start();
    let bench = idle(&argil);
    let daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
    let shared = bench.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
    let (done, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
    let taken = thread::scope(|scope| {
        let thief = scope.spawn(|| {
            let mut taken = Vec::new();
            while !done.load(Ordering::Relaxed) {
                for entry in fs::read_dir(&shared).unwrap().filter_map(Result::ok) {
                    let is_copy = entry.file_name().to_str().unwrap().contains("unfinished-");
                    let is_new = !is_among(&taken, &entry.path());
                    if is_copy && is_new {
                        let trap = shared.join("trap");
                        let file = fs::File::create(&trap).unwrap();
                        if fs::rename(&trap, entry.path()).is_ok() {
                            swaps.fetch_add(1, Ordering::Relaxed);
                            taken.push((entry.path(), file));
                        }
                    }
                }
            }
            taken
        });
        for number in 0..300 {
            let file = format!("shared/{number}.db");
            bench.run(&["db", "backup", &file]);
            if swaps.load(Ordering::Relaxed) >= 40 {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
        thief.join().unwrap()
    });
    let sizes: Vec<u64> = taken.iter().map(|(_, file)| file.metadata().unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size == 0), "{sizes:?}");
    let made_with = |folder: &str| {
        let mut command = bench.command(&["db", "backup", "shared/last.db"]);
        command.env("TMPDIR", folder).output().unwrap()
    };
    // Without a private folder for temporary files, no copy is made.
    for folder in ["/no/such/folder", shared.to_str().unwrap()] {
        let refused = made_with(folder);
        assert_eq!(refused.status.code(), Some(74), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("shared` can be written by everybody"), "{refused:?}");
        assert!(!shared.join("last.db").exists());
    }
    // With one, the copy is made, and it can be read in a private folder.
    let made = made_with(bench.path("").to_str().unwrap());
    assert!(made.status.success(), "{}", stderr(&made));
    assert_eq!(mode(&shared.join("last.db")), 0o600);
    let refused = bench.run(&["db", "verify", "shared/last.db"]);
    assert_eq!(refused.status.code(), Some(74), "{}", stderr(&refused));
    fs::rename(shared.join("last.db"), bench.path("last.db")).unwrap();
    assert!(bench.run(&["db", "verify", "last.db"]).status.success());
    assert!(daemon.stop().success());
}

fn is_among(taken: &[(PathBuf, fs::File)], path: &Path) -> bool {
    taken.iter().any(|(known, _)| known == path)
}

/// A file that no command may change.
struct Precious(PathBuf);

impl Precious {
    fn in_the_way(bench: &Bench) -> Self {
        let path = bench.path("precious");
        fs::write(&path, "precious").unwrap();
        Self(path)
    }

    #[track_caller]
    fn is_as_it_was(&self, after: &Output) {
        let said = format!("{} {}", stdout(after), stderr(after));
        assert_eq!(fs::read_to_string(&self.0).unwrap(), "precious", "{said}");
    }
}

#[test]
fn mails_and_manual_pages_replace_links_and_follow_none() {
    let argil = FakeArgil::start();
    let bench = idle(&argil);
    let precious = Precious::in_the_way(&bench);
    for name in [".avatar-watch-probe.tmp", "avatar-watch-probe", ".avatar-watch-"] {
        symlink(&precious.0, bench.path("mails").join(name)).unwrap();
    }
    let checked = bench.run(&["check", "--online"]);
    precious.is_as_it_was(&checked);
    assert!(stdout(&checked).contains("ok   channel `drafts`"), "{}", stdout(&checked));
    let pages = bench.path("pages");
    fs::create_dir(&pages).unwrap();
    for name in ["avatar-watch.8", "avatar-watch.toml.5"] {
        symlink(&precious.0, pages.join(name)).unwrap();
    }
    let made = masked(&bench, "027", &["man", "--out", "pages"]).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    precious.is_as_it_was(&made);
    assert_eq!(mode(&pages.join("avatar-watch.8")), 0o640, "by the umask");
    assert!(modes(&pages).iter().all(|(path, _)| path.extension().is_some_and(|it| it != "tmp")));
}

#[test]
fn links_in_place_of_files_of_a_database_are_never_followed() {
    let argil = FakeArgil::start();
    let bench = idle(&argil);
    let daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
    assert!(daemon.stop().success());
    assert!(bench.run(&["db", "backup", "one.db"]).status.success());
    let precious = Precious::in_the_way(&bench);
    let nowhere = bench.path("nowhere");
    for end in ["-wal", "-shm", "-journal", ".lock"] {
        for target in [&precious.0, &nowhere] {
            let path = bench.path(&format!("avatar-watch.db{end}"));
            drop(fs::remove_file(&path));
            symlink(target, &path).unwrap();
            for command in [
                &["run"][..],
                &["check"],
                &["status"],
                &["db", "verify"],
                &["db", "backup", "two.db"],
                &["db", "restore", "one.db"],
                &["channels", "pause", "drafts"],
                &["deliveries", "retry", "--dead"],
            ] {
                let done = bench.run(command);
                precious.is_as_it_was(&done);
                assert!(!nowhere.exists(), "{command:?}: {}", stderr(&done));
                if command.get(1) == Some(&"restore") {
                    // It may take the link itself away.
                    drop(fs::remove_file(&path));
                    symlink(target, &path).unwrap();
                }
                let kept = fs::read_link(&path).ok();
                assert_eq!(kept.as_ref(), Some(target), "{command:?} with {end}");
                if ["run", "check"].contains(&command[0]) {
                    assert!(stderr(&done).contains(&format!("{end}` is a link")), "{done:?}");
                }
                drop(fs::remove_file(bench.path("two.db")));
            }
            fs::remove_file(&path).unwrap();
        }
    }
}
