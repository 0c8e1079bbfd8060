//! The real program as a child process: started, signalled, killed, and gone when dropped.

use std::fs::{self, File, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::argil::FakeArgil;

/// A folder with a config and a database, and the program to run on them.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

/// A running daemon.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    /// The bytes that the log had when it started.
    log_before: usize,
}

impl Bench {
    /// A folder with this config.
    pub(crate) fn new(config: &str) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        bench.configure(config);
        bench
    }

    /// Rewrites the config, readable by its owner only.
    pub(crate) fn configure(&self, config: &str) {
        let fresh = self.folder.path().join("fresh.toml");
        let mut file = File::create(&fresh).unwrap();
        file.write_all(config.as_bytes()).unwrap();
        file.set_permissions(Permissions::from_mode(0o600)).unwrap();
        fs::rename(fresh, self.config()).unwrap();
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The config.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("avatar-watch.toml")
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path("avatar-watch.db")
    }

    /// The program with these arguments and an empty environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("AVATAR_WATCH_CONFIG", self.config())
            .current_dir(self.folder.path())
            .args(arguments);
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program to its end with this code; it prints all of these words.
    pub(crate) fn prints(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let output = self.run(arguments);
        shown(arguments, &output, code, stdout(&output), words)
    }

    /// Runs the program to its end with this code; its errors have all of these words.
    pub(crate) fn complains(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let output = self.run(arguments);
        shown(arguments, &output, code, stderr(&output), words)
    }

    /// Runs the program to its end; its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error} in `{text}` of {arguments:?}"))
    }

    /// Starts the daemon; does not wait until it is ready.
    pub(crate) fn start(&self) -> Running {
        self.start_with(&[])
    }

    /// Starts the daemon with `a1` in training, and waits for the first poll.
    pub(crate) fn start_training(&self, argil: &FakeArgil) -> Running {
        argil.set_status("a1", "TRAINING");
        let daemon = self.start();
        daemon.wait_for_log(": baseline TRAINING");
        daemon
    }

    /// Starts the daemon with more arguments.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(&RUN);
        command.args(arguments);
        self.start_by(command)
    }

    /// Starts the daemon by that command.
    pub(crate) fn start_by(&self, mut command: Command) -> Running {
        let log = self.path("daemon.log");
        let out = File::options().create(true).append(true).open(&log).unwrap();
        let log_before = usize::try_from(out.metadata().unwrap().len()).unwrap();
        let child = command.stdout(Stdio::null()).stderr(out).spawn().unwrap();
        Running { child, log, log_before }
    }

    /// Starts the daemon by that command, with its log going there.
    pub(crate) fn start_into(&self, mut command: Command, log: Stdio) -> Running {
        let child = command.stderr(log).spawn().unwrap();
        Running { child, log: self.path("no.log"), log_before: 0 }
    }

    /// Every delivery, as the command lists them.
    pub(crate) fn deliveries(&self) -> Vec<Value> {
        let listed = self.json(&["deliveries", "--json", "--limit", "100000"]);
        listed.as_array().unwrap().clone()
    }

    /// Waits until the deliveries are as wanted.
    pub(crate) fn wait_for_deliveries(
        &self,
        what: &str,
        wanted: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let mut deliveries = Vec::new();
        wait_until(what, || {
            // There may be no database yet.
            if self.database().exists() && self.run(&["deliveries"]).status.success() {
                deliveries = self.deliveries();
            }
            wanted(&deliveries)
        });
        deliveries
    }
}

fn shown(arguments: &[&str], output: &Output, code: i32, text: String, words: &[&str]) -> String {
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    for word in words {
        assert!(text.contains(word), "{arguments:?}: `{word}` is not in {text}");
    }
    text
}

impl Running {
    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The CPU time that it has used, in hundredths of a second
    /// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// Everything that it and earlier daemons with this log have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Where its page is, once it is there.
    pub(crate) fn page(&self) -> SocketAddr {
        self.address_after("status page at `http://")
    }

    /// Sends a hint about `a1` with this token; the response.
    pub(crate) fn hint(&self, token: &str) -> String {
        let mut stream =
            TcpStream::connect(self.address_after("accepting hints at `http://")).unwrap();
        let body = r#"{"event":"AVATAR_TRAINING_SUCCESS","data":{"avatarId":"a1"}}"#;
        let request = format!(
            "POST /hints/argil/{token} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The last address that follows these words in the log, once they are there.
    fn address_after(&self, words: &str) -> SocketAddr {
        self.wait_for_log(words);
        let log = self.log();
        let address = log.rsplit(words).next().and_then(|rest| rest.split('/').next());
        address.unwrap().parse().unwrap()
    }

    /// Waits until it has logged this; an earlier daemon may have logged it, too.
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(&format!("`{text}` in the log"), || {
            self.log().get(self.log_before..).is_some_and(|log| log.contains(text))
        });
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it as a power cut would, without a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits for it.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the end of the daemon", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits for a fact, for as long as the limit; says what it waited for when it did not come.
pub(crate) fn wait_until(what: &str, mut fact: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !fact() {
        assert!(begun.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The standard error of a run as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The standard output of a run as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The files of a folder that contain `needle`.
pub(crate) fn files_with(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).filter(holds).collect()
}

/// The arguments that make the program the daemon.
pub(crate) const RUN: [&str; 3] = ["run", "--log-level", "debug"];
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_avatar-watch");
const LIMIT: Duration = Duration::from_secs(20);
