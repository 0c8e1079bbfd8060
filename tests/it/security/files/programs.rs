//! Programs that the daemon starts: they get none of its secrets, files and sockets, and are
//! refused if another user can have written them.

use super::*;
use crate::harness::webhook::Receiver;

/// Records the environment variables and the open files of a program.
const RECORD: &str =
    "env > \"$0-env\"; ls -l /proc/self/fd > \"$0-files\"; cat >/dev/null; echo pass";

/// A config with one of each kind of program; each writes beside the config.
fn config(bench: &Bench, argil: &FakeArgil, url: &str) -> String {
    let command = |name: &str| {
        let path = bench.path(name);
        format!("[\"/bin/sh\", \"-c\", {RECORD:?}, \"{}\"]", path.display())
    };
    let mail = "type = \"email\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n";
    let smtp = "host = \"127.0.0.1\"\nport = 9\ntls = \"none\"\nusername = \"u\"\n";
    format!(
        "[argil]\napi_key = {{ env = \"ARGIL_API_KEY\" }}\nbase_url = \"{}\"\n\
         [web]\nlisten = \"127.0.0.1:0\"\n[poll]\nsettled = \"20ms\"\n\
         training = {{ min = \"20ms\", max = \"20ms\" }}\n[[avatars]]\nid = \"a1\"\n\
         [channels.hook]\ntype = \"webhook\"\nurl = \"{url}\"\n\
         secret = {{ env = \"HOOK_SECRET\" }}\n\
         [channels.sendmail]\n{mail}[channels.sendmail.sendmail]\ncommand = {}\n\
         [channels.password]\n{mail}[channels.password.smtp]\n{smtp}password_command = {}\n\
         [channels.token]\n{mail}[channels.token.smtp]\n{smtp}auth = \"xoauth2\"\n\
         token_command = {}\n",
        argil.base_url(),
        command("sendmail"),
        command("password"),
        command("token"),
    )
}

/// The variables of the daemon that are passed on, and those that are not.
const PASSED_ON: [(&str, &str); 6] = [
    ("PATH", "/usr/bin:/bin"),
    ("HOME", "/nonexistent"),
    ("LANG", "C.UTF-8"),
    ("LC_TIME", "C"),
    ("TZ", "UTC"),
    ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent"),
];
const KEPT: [(&str, &str); 9] = [
    ("ARGIL_API_KEY", "C4N4RY-key"),
    ("HOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    ("UNUSED_SECRET", "C4N4RY"),
    ("CREDENTIALS_DIRECTORY", "/nonexistent"),
    ("LISTEN_FDS", "1"),
    ("LISTEN_PID", "1"),
    ("LD_PRELOAD", ""),
    ("INVOCATION_ID", "0"),
    ("STATE_DIRECTORY", "."),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_no_secret_file_or_socket_of_the_daemon() {
    let (argil, receiver) = (FakeArgil::start(), Receiver::start().await);
    argil.set_status("a1", "TRAINING");
    let bench = Bench::new("");
    bench.configure(&config(&bench, &argil, &receiver.url()));
    let command = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        command.envs(PASSED_ON).envs(KEPT);
        command
    };
    // While the database, the status page and connections are open.
    let daemon = bench.start_by(command(&RUN));
    daemon.wait_for_log("baseline TRAINING");
    argil.set_status("a1", "IDLE");
    for name in ["sendmail", "password", "token"] {
        let written = |what: &str| bench.path(&format!("{name}-{what}"));
        let read = |what: &str| fs::read_to_string(written(what)).unwrap_or_default();
        // The last one is the listed folder itself.
        wait_until(name, || read("files").lines().any(|line| line.ends_with("/fd")));
        let mut variables: Vec<String> = read("env").lines().map(str::to_owned).collect();
        variables.retain(|it| {
            !["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|own| it.starts_with(own))
        });
        variables.sort();
        let mut expected: Vec<String> =
            PASSED_ON.iter().map(|(name, value)| format!("{name}={value}")).collect();
        expected.sort();
        assert_eq!(variables, expected, "{name}");
        let files = read("files");
        for line in files.lines().filter(|line| line.contains(" -> ")) {
            let (before, target) = line.split_once(" -> ").unwrap();
            let number: u32 = before.rsplit(' ').next().unwrap().parse().unwrap();
            let own = target.starts_with("/proc/") || target.ends_with("-files");
            // Files that this test inherited itself.
            let of_test = fs::read_link(format!("/proc/self/fd/{number}"));
            let own = own || of_test.is_ok_and(|it| it.as_os_str() == target);
            assert!(number <= 2 || own, "{name}: {files}");
            assert!(number != 0 && number != 2 || target.starts_with("pipe:"), "{name}: {files}");
        }
    }
    assert!(daemon.stop().success());
}

#[test]
fn a_program_that_others_can_write_is_reported_and_never_run() {
    let argil = FakeArgil::start();
    argil.set_status("a1", "TRAINING");
    let bench = Bench::new("");
    let program = bench.path("program");
    let ran = bench.path("ran");
    fs::write(&program, format!("#!/bin/sh\ntouch {}\necho pass\n", ran.display())).unwrap();
    let mail = "type = \"email\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n";
    let config = Config::new(argil.base_url()).avatar("a1").with(&format!(
        "\n[channels.drafts]\n{mail}sendmail = {{ command = [\"{}\"] }}\n",
        program.display()
    ));
    bench.configure(config.text());
    let set = |mode| fs::set_permissions(&program, Permissions::from_mode(mode)).unwrap();
    set(0o755);
    assert!(bench.run(&["test", "drafts"]).status.success());
    fs::remove_file(&ran).unwrap();
    set(0o757);
    let refused = bench.run(&["check"]);
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("can be written by everybody (its mode is 0757)"), "{said}");
    assert!(said.contains(&format!("help: `chmod go-w {}`", program.display())), "{said}");
    // Its mode changes after the daemon has started.
    set(0o755);
    let daemon = bench.start();
    daemon.wait_for_log("baseline TRAINING");
    set(0o757);
    argil.set_status("a1", "IDLE");
    daemon.wait_for_log("cannot be run: can be written by everybody (its mode is 0757); `chmod");
    assert!(!ran.exists());
    set(0o755);
    assert!(bench.run(&["channels", "enable", "drafts"]).status.code().is_some());
    assert!(daemon.stop().success());
}
