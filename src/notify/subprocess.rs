//! Runs a program once. The caller interprets its exit.
//!
//! Invariants: no shell; no other user can have written the program; it inherits neither our
//! environment nor our files; time and output are limited, and beyond a limit the whole process
//! group is killed. Memory is not limited here (`RLIMIT_AS` would stop runtimes that reserve
//! gigabytes of address space, such as Go and Java); it counts towards `MemoryMax=` of the unit.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::domain::program_environment::is_passed_on;
use crate::files::program::Program;

#[derive(Debug)]
pub(crate) struct ProcessOutput {
    pub(crate) exit: ExitReason,
    /// Whether it had read the whole input.
    pub(crate) fed: bool,
    /// The beginning of the output.
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) enum ExitReason {
    Exit(i32),
    /// Ended by a signal that the daemon did not send.
    Signal(i32),
    /// Killed after the time limit.
    TimedOut,
    /// Killed after it printed more than a mebibyte.
    TooMuchOutput,
    NotStarted(io::Error),
}

/// Runs the program with `input` on its standard input. An empty command is not started.
pub(crate) async fn run(
    program: &Program,
    more: &[&str],
    input: &[u8],
    limit: Duration,
) -> ProcessOutput {
    let (mut stdout, mut stderr, mut fed) = (Vec::new(), Vec::new(), false);
    let mut child = match start(program, more) {
        Ok(child) => child,
        Err(error) => {
            return ProcessOutput { exit: ExitReason::NotStarted(error), fed, stdout, stderr };
        }
    };
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let (input_pipe, output_pipe, error_pipe) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ended = {
        let mut pipes = pin!(async {
            let feeding = async {
                write_stdin(input_pipe, input, &mut fed).await;
                Ok(())
            };
            tokio::try_join!(
                feeding,
                read_capped(output_pipe, &mut stdout),
                read_capped(error_pipe, &mut stderr)
            )
            .map(drop)
        });
        let ended = timeout(limit, async {
            tokio::select! {
                status = child.wait() => Ok((status, false)),
                closed = &mut pipes => match closed {
                    Ok(()) => Ok((child.wait().await, true)),
                    Err(flood) => Err(flood),
                },
            }
        })
        .await;
        if let Ok(Ok((_, false))) = ended {
            // A background process that it started may hold its pipes open.
            let _ = timeout(DRAIN_TIMEOUT, &mut pipes).await;
        }
        ended
    };
    let exit = match ended {
        Ok(Ok((Ok(status), _))) => match (status.code(), status.signal()) {
            (Some(code), _) => ExitReason::Exit(code),
            (None, signal) => ExitReason::Signal(signal.unwrap_or_default()),
        },
        Ok(Ok((Err(error), _))) => ExitReason::NotStarted(error),
        Ok(Err(Flood)) => ExitReason::TooMuchOutput,
        Err(_) => ExitReason::TimedOut,
    };
    if matches!(exit, ExitReason::TooMuchOutput | ExitReason::TimedOut) {
        kill(&mut child, group).await;
    }
    ProcessOutput { exit, fed, stdout, stderr }
}

/// Kills the process group.
async fn kill(child: &mut Child, group: Option<Pid>) {
    // The process has not been reaped, so its id cannot have been reused.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    // A process that hangs in the kernel dies only when the kernel call returns.
    let _ = timeout(DRAIN_TIMEOUT, child.wait()).await;
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

/// Writes the whole input. A program may close its input early; its exit status says whether that
/// is a failure.
async fn write_stdin(stdin: Option<ChildStdin>, input: &[u8], fed: &mut bool) {
    if let Some(mut stdin) = stdin
        && stdin.write_all(input).await.is_ok()
    {
        *fed = stdin.shutdown().await.is_ok();
    }
}

/// More output than the limit.
struct Flood;

/// Reads to the end, and keeps the beginning.
async fn read_capped(
    stream: Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
) -> Result<(), Flood> {
    let Some(mut stream) = stream else { return Ok(()) };
    let (mut part, mut read) = (vec![0; PART_BYTES], 0);
    while let Ok(count @ 1..) = stream.read(&mut part).await {
        let free = KEPT_BYTES_MAX - kept.len();
        kept.extend_from_slice(&part[..count.min(free)]);
        read += count;
        if read > READ_BYTES_MAX {
            return Err(Flood);
        }
    }
    Ok(())
}

/// Longer than any token.
const KEPT_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES_MAX: usize = 1024 * 1024;
const PART_BYTES: usize = 4096;
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// Why a program could not be started, as a phrase after its name.
pub(crate) fn not_started(name: &str, error: &io::Error) -> String {
    // For a script, the error is about its interpreter.
    if error.kind() == io::ErrorKind::NotFound && Path::new(name).is_file() {
        return "cannot be run: the interpreter in its first line does not exist".to_owned();
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
    async fn a_program_reads_its_input_and_returns_output_and_status() {
        let ran = shell("cat; echo \"$1\" >&2; exit 67", b"mail", LONG).await;
        assert!(matches!(ran.exit, ExitReason::Exit(67)), "{ran:?}");
        assert_eq!((ran.stdout.as_slice(), ran.stderr.as_slice()), (&b"mail"[..], &b"one\n"[..]));
        let ran = shell("cat; kill -9 $$", b"mail", LONG).await;
        assert!(matches!(ran.exit, ExitReason::Signal(9)) && ran.fed, "{ran:?}");
        let much = vec![b'x'; 4 * 1024 * 1024];
        let ran = shell("head -c 9; kill -9 $$", &much, LONG).await;
        assert!(matches!(ran.exit, ExitReason::Signal(9)) && !ran.fed, "{ran:?}");
        for command in [&[][..], &["/no/such/program"]] {
            let ran = run(&program(command), &[], b"", LONG).await;
            assert!(matches!(ran.exit, ExitReason::NotStarted(_)), "{ran:?}");
        }
    }

    #[tokio::test]
    async fn long_output_is_truncated() {
        let ran = shell("head -c 1000000 /dev/zero; exit 3", b"", LONG).await;
        assert!(matches!(ran.exit, ExitReason::Exit(3)));
        assert_eq!(ran.stdout.len(), KEPT_BYTES_MAX);
    }

    #[tokio::test]
    async fn endless_output_is_killed_long_before_the_time_limit() {
        for script in ["exec cat /dev/zero", "cat >/dev/null; exec cat /dev/zero >&2"] {
            let begun = std::time::Instant::now();
            let ran = shell(script, b"mail", Duration::from_secs(600)).await;
            assert!(matches!(ran.exit, ExitReason::TooMuchOutput), "{ran:?}");
            assert!(begun.elapsed() < Duration::from_secs(60));
            assert!(ran.stdout.len() <= KEPT_BYTES_MAX && ran.stderr.len() <= KEPT_BYTES_MAX);
        }
    }

    #[tokio::test]
    async fn a_late_program_is_killed_with_its_process_group() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let script = format!("cat; sleep 600 & echo $! >{}; wait", file.display());
        let ran = shell(&script, b"mail", Duration::from_millis(500)).await;
        assert!(matches!(ran.exit, ExitReason::TimedOut) && ran.fed, "{ran:?}");
        assert_eq!(ran.stdout, b"mail");
        let child: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let gone = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
            // Killed, and perhaps not yet reaped by its new parent.
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
    async fn a_background_process_does_not_delay_the_result() {
        let ran = shell("sleep 5 & echo done", b"", LONG).await;
        assert!(matches!(ran.exit, ExitReason::Exit(0)));
        assert_eq!(ran.stdout, b"done\n");
    }
}
