//! Files that another user can have written are refused: a config, the files that it names, a
//! database. Most of these tests require root.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Child;

use rustix::process::geteuid;

use super::*;
use crate::harness::daemon::PROGRAM;

/// User ids that do not exist on this machine.
const ALICE: u32 = 61_861;
const MALLORY: u32 = 61_862;

/// What every planted config would do: run a program, and send the key.
const TRAP: &str = "[channels.trap]\ntype = \"email\"\nfrom = \"a@example.com\"\n\
    to = [\"b@example.com\"]\nsendmail = { command = [\"/bin/sh\", \"-c\", \"id > ran\"] }\n\
    [channels.trap2]\ntype = \"email\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n\
    smtp = { host = \"127.0.0.1\", port = 9, tls = \"none\", username = \"u\", \
    password_command = [\"/bin/sh\", \"-c\", \"id > ran; echo p\"] }\n";

fn is_root() -> bool {
    if !geteuid().is_root() {
        println!("only root can be two users: nothing is tried");
    }
    geteuid().is_root()
}

/// What a command says that ends with that code.
#[track_caller]
fn refusal(output: &Output, code: i32) -> String {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn set(path: &Path, owner: u32, mode: u32) {
    chown(path, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A folder and a config with various owners, and a copy of the program that all users can run.
struct Scene {
    argil: FakeArgil,
    bench: Bench,
    tools: tempfile::TempDir,
}

impl Scene {
    /// `None` unless this process is root.
    fn new() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let argil = FakeArgil::start();
        argil.set_status("a1", "IDLE");
        let config = format!(
            "[argil]\napi_key = {{ env = \"ARGIL_API_KEY\" }}\nbase_url = \"{}\"\n\
             [web]\nlisten = \"off\"\n[[avatars]]\nid = \"a1\"\n{TRAP}",
            argil.base_url()
        );
        let bench = Bench::new(&config);
        let tools = tempfile::tempdir().unwrap();
        fs::copy(PROGRAM, tools.path().join("program")).unwrap();
        set(tools.path(), 0, 0o755);
        // Another test may have started a program while the copy was open for writing, and keeps it
        // open until its `exec`.
        wait_until("the copy to be closed", || {
            let tried = Command::new(tools.path().join("program")).arg("--version").output();
            tried.is_ok_and(|tried| tried.status.success())
        });
        Some(Self { argil, bench, tools })
    }

    /// The program as that user in the folder, with a config that is found or named.
    fn command(&self, user: u32, is_named: bool, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.tools.path().join("program"));
        command.env_clear().env("ARGIL_API_KEY", "C4N4RY-key").env("PATH", "/usr/bin:/bin");
        command.current_dir(self.bench.path("")).uid(user).gid(user);
        if is_named {
            command.args(["--config", "avatar-watch.toml"]);
        }
        command.args(arguments);
        command
    }

    fn run(&self, user: u32, is_named: bool, arguments: &[&str]) -> Output {
        self.command(user, is_named, arguments).output().unwrap()
    }

    /// The daemon as that user, after its first poll.
    fn polling(&self, user: u32, is_named: bool) -> Child {
        let daemon = self.command(user, is_named, &["run"]).spawn().unwrap();
        wait_until("a poll", || self.argil.count("a1") > 0);
        daemon
    }

    /// Whether the config was used: a program has run, or the API was called.
    fn was_obeyed(&self) -> bool {
        self.bench.path("ran").exists() || self.argil.count("a1") > 0
    }
}

#[test]
fn no_command_uses_a_config_that_another_user_can_have_written() {
    let Some(scene) = Scene::new() else { return };
    let (folder, config) = (scene.bench.path(""), scene.bench.config());
    for (user, folder_of, folder_mode, config_of, config_mode, what) in [
        (0, 0, 0o777, MALLORY, 0o644, "belongs to user 61862, not to root"),
        (0, 0, 0o777, MALLORY, 0o666, "belongs to user 61862, not to root"),
        (0, 0, 0o1777, MALLORY, 0o644, "belongs to user 61862, not to root"),
        (0, 0, 0o755, MALLORY, 0o644, "belongs to user 61862, not to root"),
        (0, MALLORY, 0o755, MALLORY, 0o644, "belongs to user 61862, not to root"),
        (0, MALLORY, 0o755, 0, 0o644, "which belongs to user 61862"),
        (0, 0, 0o777, 0, 0o644, "which can be written by everybody (its mode is 0777)"),
        (0, 0, 0o1777, 0, 0o644, "which can be written by everybody (its mode is 1777)"),
        (0, 0, 0o755, 0, 0o666, "can be written by everybody (its mode is 0666)"),
        (ALICE, 0, 0o1777, MALLORY, 0o644, "neither to root nor to user 61861"),
        (ALICE, MALLORY, 0o755, MALLORY, 0o644, "neither to root nor to user 61861"),
        (ALICE, ALICE, 0o755, ALICE, 0o646, "can be written by everybody (its mode is 0646)"),
        (ALICE, ALICE, 0o777, ALICE, 0o644, "which can be written by everybody"),
    ] {
        set(&folder, folder_of, folder_mode);
        set(&config, config_of, config_mode);
        for (arguments, code) in [
            (&["check"][..], 2),
            (&["check", "--online"], 2),
            (&["test", "trap"], 78),
            (&["test", "trap2"], 78),
            (&["wait", "a1", "--timeout", "1s"], 78),
            (&["run"], 78),
        ] {
            let done = scene.run(user, false, arguments);
            let said = stderr(&done);
            assert_eq!(done.status.code(), Some(code), "{arguments:?}: {said}");
            assert!(said.contains("avatar-watch.toml: ") && said.contains(what), "{said}");
            assert!(said.contains("  help: "), "{said}");
            assert!(!scene.was_obeyed(), "{arguments:?} {what}");
        }
        // `status` works without the config.
        let status = scene.run(user, false, &["status"]);
        assert!(stderr(&status).contains("the config is not used"), "{}", stderr(&status));
    }
}

#[test]
fn a_named_config_of_another_user_is_used_if_only_that_user_can_write_to_its_folder() {
    let Some(scene) = Scene::new() else { return };
    let (folder, config) = (scene.bench.path(""), scene.bench.config());
    let obeyed = |user, is_named, folder_of: (u32, u32), config_of: (u32, u32)| {
        set(&folder, folder_of.0, folder_of.1);
        set(&config, config_of.0, config_of.1);
        let before = scene.argil.count("a1");
        scene.run(user, is_named, &["wait", "a1", "--timeout", "5s"]);
        (scene.argil.count("a1") > before, stderr(&scene.run(user, is_named, &["check"])))
    };
    // That of this user, and that of root.
    assert!(obeyed(0, false, (0, 0o755), (0, 0o644)).0);
    assert!(obeyed(ALICE, false, (ALICE, 0o775), (ALICE, 0o664)).0, "a group of her own");
    assert!(obeyed(ALICE, false, (0, 0o755), (0, 0o644)).0);
    // Root maintains the service of another user.
    let (is_obeyed, said) = obeyed(0, true, (0, 0o755), (ALICE, 0o640));
    assert!(is_obeyed && said.contains("right if user 61861 runs the daemon"), "{said}");
    let (is_obeyed, said) = obeyed(0, true, (ALICE, 0o700), (ALICE, 0o600));
    assert!(is_obeyed && said.contains("right if user 61861 runs the daemon"), "{said}");
    assert!(obeyed(ALICE, true, (MALLORY, 0o755), (MALLORY, 0o644)).0);
    for mode in [0o777, 0o1777] {
        assert!(!obeyed(0, true, (0, mode), (MALLORY, 0o644)).0, "any user can have created it");
        assert!(!obeyed(ALICE, true, (0, mode), (MALLORY, 0o644)).0);
        assert!(obeyed(ALICE, true, (0, mode), (ALICE, 0o644)).0);
    }
    assert!(!obeyed(0, true, (0, 0o755), (0, 0o666)).0);
    // With the variables of `sudo`.
    let sudo = |uid: &str| {
        set(&folder, ALICE, 0o755);
        set(&config, ALICE, 0o644);
        let mut command = scene.command(0, false, &["check"]);
        command.env("SUDO_UID", uid).output().unwrap()
    };
    let checked = sudo("61861");
    assert!(checked.status.success(), "{}", stderr(&checked));
    assert!(!stderr(&checked).contains("belongs to"), "{}", stderr(&checked));
    assert_eq!(sudo("61862").status.code(), Some(2));
}

#[test]
fn a_reload_refuses_a_config_that_others_can_write() {
    let argil = FakeArgil::start();
    let bench = idle(&argil);
    let daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
    fs::set_permissions(bench.config(), Permissions::from_mode(0o602)).unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for_log("config rejected; the previous config stays active");
    daemon.wait_for_log("can be written by everybody (its mode is 0602); `chmod go-w ");
    assert!(daemon.stop().success());
    refusal(&bench.run(&["run"]), 78);
}

#[test]
fn a_database_and_a_lock_that_another_user_can_have_planted_are_refused() {
    let Some(scene) = Scene::new() else { return };
    set(&scene.bench.path(""), ALICE, 0o700);
    set(&scene.bench.config(), 0, 0o644);
    let mut daemon = scene.polling(ALICE, true);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let files = ["", ".lock"].map(|end| {
        let path = scene.bench.path(&format!("avatar-watch.db{end}"));
        (path.clone(), mode(&path))
    });
    let reset = || files.iter().for_each(|(path, mode)| set(path, ALICE, *mode));
    let polls = scene.argil.count("a1");
    for (planted, _) in &files {
        for (owner, mode, what) in [
            (MALLORY, 0o666, "belongs to user 61862, neither to root nor to user 61861"),
            (ALICE, 0o666, "can be written by everybody (its mode is 0666)"),
            (ALICE, 0o602, "can be written by everybody (its mode is 0602)"),
        ] {
            reset();
            set(planted, owner, mode);
            let said = refusal(&scene.run(ALICE, true, &["run"]), 74);
            assert!(said.contains(what), "{said}");
            assert!(
                said.contains(&format!("{}` ", planted.file_name().unwrap().display())),
                "{said}"
            );
        }
    }
    // Other users could replace the files in such a folder.
    reset();
    for (folder_of, open, what) in [
        (0, 0o1777, "can be written by everybody (its mode is 1777)"),
        (ALICE, 0o777, "can be written by everybody (its mode is 0777)"),
        (MALLORY, 0o755, "belongs to user 61862, n"),
    ] {
        set(&scene.bench.path(""), folder_of, open);
        for user in [0, ALICE] {
            let said = refusal(&scene.run(user, true, &["run"]), 74);
            assert!(said.contains(what), "{said}");
        }
    }
    assert_eq!(scene.argil.count("a1"), polls, "nothing was polled");
}

#[test]
fn root_accesses_no_file_that_the_owner_of_the_database_could_not() {
    let Some(scene) = Scene::new() else { return };
    let folder = scene.bench.path("");
    set(&folder, ALICE, 0o700);
    set(&scene.bench.config(), 0, 0o644);
    let mut daemon = scene.polling(ALICE, true);
    let at = |end: &str| scene.bench.path(&format!("avatar-watch.db{end}"));
    wait_until("its log", || at("-wal").exists());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let secret = scene.tools.path().join("secret");
    fs::write(&secret, "of root\n").unwrap();
    set(&secret, 0, 0o600);
    let commands: [&[&str]; 6] = [
        &["status"],
        &["history"],
        &["db", "verify"],
        &["channels", "pause", "trap"],
        &["db", "backup", "copy.db"],
        &["run"],
    ];
    for end in ["-wal", "-shm", "-journal", ".lock"] {
        let kept = scene.bench.path("kept");
        drop(fs::rename(at(end), &kept));
        for command in commands {
            drop(fs::remove_file(at(end)));
            fs::hard_link(&secret, at(end)).unwrap();
            // A command that ignores the file may run forever.
            let mut command = scene.command(0, true, command);
            let mut ran = command.stdout(std::process::Stdio::null()).spawn().unwrap();
            let polls = scene.argil.count("a1");
            wait_until("an end, or a poll", || {
                ran.try_wait().unwrap().is_some() || scene.argil.count("a1") > polls
            });
            drop(ran.kill());
            ran.wait().unwrap();
            let found = fs::metadata(&secret).unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (0, 0, 0o600), "{end}");
            assert_eq!(fs::read(&secret).unwrap(), b"of root\n", "{end} {command:?}");
        }
        drop(fs::remove_file(at(end)));
        drop(fs::rename(&kept, at(end)));
        drop(fs::remove_file(scene.bench.path("copy.db")));
    }
    // Files that root creates there belong to that user.
    for command in &commands[..5] {
        let done = scene.run(0, true, command);
        assert!(done.status.success(), "{command:?}: {}", stderr(&done));
    }
    let restored = scene.run(0, true, &["db", "restore", "copy.db"]);
    assert!(restored.status.success(), "{}", stderr(&restored));
    for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
        let is_its = entry.metadata().unwrap().uid() == ALICE;
        assert!(is_its || entry.path() == scene.bench.config(), "{entry:?}");
    }
}

#[test]
fn init_uses_no_secret_of_another_user_and_writes_into_no_shared_folder() {
    if !is_root() {
        return;
    }
    let bench = Bench::new("");
    fs::remove_file(bench.config()).unwrap();
    let init = ["init", "--webhook", "https://ops.example.com/hook", "--email", "a@example.com"];
    for name in ["argil-api-key", "webhook-secret", "smtp-password"] {
        let path = bench.path(name);
        fs::write(&path, "planted\n").unwrap();
        for (owner, mode, what) in [
            (MALLORY, 0o644, "belongs to user 61862, not to root, who runs this"),
            (0, 0o666, "can be written by everybody"),
        ] {
            set(&path, owner, mode);
            let said = refusal(&bench.run(&init), 1);
            assert!(said.contains(&format!("{name}` {what}")), "{said}");
            assert!(said.contains("  help: "), "{said}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(fs::read_dir(bench.path("")).unwrap().count(), 0, "nothing was written");
        // The same with a planted link.
        let own = bench.path("own");
        fs::write(&own, "precious\n").unwrap();
        symlink(&own, &path).unwrap();
        std::os::unix::fs::lchown(&path, Some(MALLORY), None).unwrap();
        refusal(&bench.run(&init), 1);
        fs::remove_file(&path).unwrap();
        fs::remove_file(&own).unwrap();
    }
    for (owner, mode) in [(0, 0o777), (0, 0o1777), (MALLORY, 0o755)] {
        set(&bench.path(""), owner, mode);
        let said = refusal(&bench.run(&init), 1);
        let help = "help: create a folder of your own: `mkdir avatar-watch && cd avatar-watch`";
        assert!(said.contains(help), "{said}");
        assert_eq!(fs::read_dir(bench.path("")).unwrap().count(), 0, "nothing was written");
    }
    set(&bench.path(""), 0, 0o755);
    assert!(bench.run(&init).status.success());
}

#[test]
fn no_core_is_dumped_and_no_process_of_the_same_user_reads_the_memory() {
    let Some(scene) = Scene::new() else { return };
    set(&scene.bench.path(""), ALICE, 0o700);
    set(&scene.bench.config(), ALICE, 0o600);
    let mut daemon = scene.polling(ALICE, false);
    let of_daemon = |name: &str| format!("/proc/{}/{name}", daemon.id());
    let limits = fs::read_to_string(of_daemon("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    for name in ["mem", "environ", "fd"] {
        let mut read = Command::new("/bin/ls");
        read.arg("-l").arg(of_daemon(name)).uid(ALICE).gid(ALICE);
        let listed = read.output().unwrap();
        // The files of such a process in `/proc` belong to root.
        let refused = stderr(&listed).contains("denied") || stdout(&listed).contains(" root ");
        assert!(refused, "{name}: {listed:?}");
    }
    let mut read = Command::new("/usr/bin/head");
    read.args(["-c", "1", &of_daemon("environ")]).uid(ALICE).gid(ALICE);
    assert!(stderr(&read.output().unwrap()).contains("denied"), "its variables are secrets");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
