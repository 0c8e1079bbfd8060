//! A program of this machine that is run once, for us.
//!
//! What always holds: no shell is asked; nobody else can have written it; it gets neither our
//! variables nor our files; it has a limit of time and one of output, and when either is over its
//! whole process group is killed. What its end means is decided by whoever ran it.
//!
//! There is no limit of memory: runtimes such as those of Go and Java reserve many gigabytes of
//! addresses and use few of them, so a limit that lets them run (`RLIMIT_AS`) stops nothing. It
//! counts towards `MemoryMax=` of the unit.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::domain::program_environment::is_passed_on;
use crate::files::program::Program;

/// What became of a program.
#[derive(Debug)]
pub(crate) struct ProcessOutput {
    pub(crate) exit: ExitReason,
    /// The beginning of what it printed.
    pub(crate) stdout: Vec<u8>,
    /// The beginning of what it complained of.
    pub(crate) stderr: Vec<u8>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) enum ExitReason {
    /// By itself, with this status.
    Exit(i32),
    /// By a signal that was not ours.
    Signal {
        /// Which one.
        signal: i32,
        /// Whether everything had been handed to it.
        fed: bool,
    },
    /// By us, when its time was over.
    TimedOut {
        /// Whether everything had been handed to it.
        fed: bool,
    },
    /// By us, when it had printed more than a mebibyte.
    TooMuchOutput {
        /// Whether everything had been handed to it.
        fed: bool,
    },
    /// It was never begun.
    NotStarted(io::Error),
}

/// Runs it with `input` on its standard input. An empty command is not started.
pub(crate) async fn run(
    program: &Program,
    more: &[&str],
    input: &[u8],
    limit: Duration,
) -> ProcessOutput {
    let (mut printed, mut complaint, mut fed) = (Vec::new(), Vec::new(), false);
    let mut child = match start(program, more) {
        Ok(child) => child,
        Err(error) => {
            return ProcessOutput {
                exit: ExitReason::NotStarted(error),
                stdout: printed,
                stderr: complaint,
            };
        }
    };
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ended = {
        let mut talk = pin!(async {
            let feeding = async {
                write_stdin(stdin, input, &mut fed).await;
                Ok(())
            };
            tokio::try_join!(
                feeding,
                read_capped(stdout, &mut printed),
                read_capped(stderr, &mut complaint)
            )
            .map(drop)
        });
        let ended = timeout(limit, async {
            tokio::select! {
                status = child.wait() => Ok((status, false)),
                talked = &mut talk => match talked {
                    Ok(()) => Ok((child.wait().await, true)),
                    Err(flood) => Err(flood),
                },
            }
        })
        .await;
        if let Ok(Ok((_, false))) = ended {
            // What it started and left behind may hold its pipes open.
            let _ = timeout(LAST_WORDS, &mut talk).await;
        }
        ended
    };
    let end = match ended {
        Ok(Ok((Ok(status), _))) => end(status, fed),
        Ok(Ok((Err(error), _))) => ExitReason::NotStarted(error),
        Ok(Err(Flood)) => {
            kill(&mut child, group).await;
            ExitReason::TooMuchOutput { fed }
        }
        Err(_) => {
            kill(&mut child, group).await;
            ExitReason::TimedOut { fed }
        }
    };
    ProcessOutput { exit: end, stdout: printed, stderr: complaint }
}

/// Kills it with all that it began.
async fn kill(child: &mut Child, group: Option<Pid>) {
    // It has not been waited for, so its id is still its own.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    // One that hangs in the kernel is killed only when that lets go of it.
    let _ = timeout(LAST_WORDS, child.wait()).await;
}

fn start(program: &Program, more: &[&str]) -> io::Result<Child> {
    let (path, arguments) = program.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    program
        .check()
        .map_err(|distrust| io::Error::new(io::ErrorKind::PermissionDenied, distrust))?;
    let passed_on = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_passed_on));
    Command::new(path)
        .args(arguments)
        .args(more)
        .env_clear()
        .envs(passed_on)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Hands everything over. A program that does not listen to the end says by its exit status
/// whether that was right.
async fn write_stdin(stdin: Option<ChildStdin>, input: &[u8], fed: &mut bool) {
    if let Some(mut stdin) = stdin
        && stdin.write_all(input).await.is_ok()
    {
        *fed = stdin.shutdown().await.is_ok();
    }
}

/// More output than any program has that means well.
struct Flood;

/// Hears it to its end, and keeps the beginning.
async fn read_capped(
    stream: Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
) -> Result<(), Flood> {
    let Some(mut stream) = stream else { return Ok(()) };
    let (mut part, mut heard) = (vec![0; PART_BYTES], 0);
    while let Ok(count @ 1..) = stream.read(&mut part).await {
        let room = KEPT_BYTES_MAX - kept.len();
        kept.extend_from_slice(&part[..count.min(room)]);
        heard += count;
        if heard > HEARD_BYTES_MAX {
            return Err(Flood);
        }
    }
    Ok(())
}

fn end(status: ExitStatus, fed: bool) -> ExitReason {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitReason::Exit(code),
        (None, signal) => ExitReason::Signal { signal: signal.unwrap_or_default(), fed },
    }
}

/// More than any token is long.
const KEPT_BYTES_MAX: usize = 64 * 1024;
const HEARD_BYTES_MAX: usize = 1024 * 1024;
const PART_BYTES: usize = 4096;
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Why a program could not be started; goes on after its name.
pub(crate) fn not_started(name: &str, error: &io::Error) -> String {
    // Of a script, the system means its interpreter.
    if error.kind() == io::ErrorKind::NotFound && Path::new(name).is_file() {
        return "cannot be run: the interpreter that its first line names is not there".to_owned();
    }
    format!("cannot be run: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::trust::Trust;

    const LONG: Duration = Duration::from_secs(20);

    fn program(command: &[&str]) -> Program {
        let command = command.iter().map(ToString::to_string).collect();
        Program::new(command, Trust::for_named())
    }

    async fn shell(script: &str, input: &[u8], limit: Duration) -> ProcessOutput {
        run(&program(&["/bin/sh", "-c", script]), &["zero", "one"], input, limit).await
    }

    #[tokio::test]
    async fn a_program_is_fed_heard_and_judged_by_its_status() {
        let ran = shell("cat; echo \"$1\" >&2; exit 67", b"mail", LONG).await;
        assert!(matches!(ran.exit, ExitReason::Exit(67)), "{ran:?}");
        assert_eq!((ran.stdout.as_slice(), ran.stderr.as_slice()), (&b"mail"[..], &b"one\n"[..]));
        let ran = shell("cat; kill -9 $$", b"mail", LONG).await;
        assert!(matches!(ran.exit, ExitReason::Signal { signal: 9, fed: true }), "{ran:?}");
        let much = vec![b'x'; 4 * 1024 * 1024];
        let ran = shell("head -c 9; kill -9 $$", &much, LONG).await;
        assert!(matches!(ran.exit, ExitReason::Signal { signal: 9, fed: false }), "{ran:?}");
        for command in [&[][..], &["/no/such/program"]] {
            let ran = run(&program(command), &[], b"", LONG).await;
            assert!(matches!(ran.exit, ExitReason::NotStarted(_)), "{ran:?}");
        }
    }

    #[tokio::test]
    async fn one_that_does_not_listen_is_no_fault_and_one_that_floods_is_kept_in_part() {
        let much = vec![b'x'; 4 * 1024 * 1024];
        let ran = shell("exec <&-; exit 0", &much, LONG).await;
        assert!(matches!(ran.exit, ExitReason::Exit(0)), "{ran:?}");
        let ran = shell("head -c 1000000 /dev/zero; exit 3", b"", LONG).await;
        assert!(matches!(ran.exit, ExitReason::Exit(3)));
        assert_eq!(ran.stdout.len(), KEPT_BYTES_MAX);
    }

    #[tokio::test]
    async fn one_that_floods_for_ever_is_killed_long_before_its_limit() {
        for script in ["exec cat /dev/zero", "cat >/dev/null; exec cat /dev/zero >&2"] {
            let begun = std::time::Instant::now();
            let ran = shell(script, b"mail", Duration::from_secs(600)).await;
            assert!(matches!(ran.exit, ExitReason::TooMuchOutput { .. }), "{ran:?}");
            assert!(begun.elapsed() < Duration::from_secs(60));
            assert!(ran.stdout.len() <= KEPT_BYTES_MAX && ran.stderr.len() <= KEPT_BYTES_MAX);
        }
    }

    #[tokio::test]
    async fn who_is_late_is_killed_with_all_that_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let script = format!("cat; sleep 600 & echo $! >{}; wait", file.display());
        let ran = shell(&script, b"mail", Duration::from_millis(500)).await;
        assert!(matches!(ran.exit, ExitReason::TimedOut { fed: true }), "{ran:?}");
        assert_eq!(ran.stdout, b"mail");
        let child: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let gone = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
            // Killed, and perhaps not yet waited for by whoever inherited it.
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        for _ in 0..1_000 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the child of a killed program lives on");
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_does_not_hold_us_up() {
        let ran = shell("sleep 5 & echo done", b"", LONG).await;
        assert!(matches!(ran.exit, ExitReason::Exit(0)));
        assert_eq!(ran.stdout, b"done\n");
    }
}
