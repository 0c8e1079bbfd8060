//! Shortages of this machine that may pass: file descriptors, threads, memory.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;

/// Checks that enough file descriptors are available.
pub(crate) fn probe() -> io::Result<()> {
    let stderr = io::stderr();
    let handles = (0..HANDLES_MIN).map(|_| stderr.as_fd().try_clone_to_owned());
    handles.collect::<io::Result<Vec<OwnedFd>>>().map(drop)
}

/// Suggests a fix if the error is a shortage of this machine.
pub(crate) fn help(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some(
            "raise the limit of open files to 64 or more: `ulimit -n`, or `LimitNOFILE=` of the \
             unit",
        ),
        Errno::NFILE => Some("the system has too many open files: raise `sysctl fs.file-max`"),
        Errno::AGAIN => Some(
            "raise the limit of processes and threads: `ulimit -u`, or `TasksMax=` of the unit",
        ),
        Errno::NOMEM | Errno::NOBUFS => {
            Some("no memory left: check the machine, and `MemoryMax=` of the unit")
        }
        _ => None,
    }
}

/// File descriptors that a daemon with a status page and a few channels uses.
const HANDLES_MIN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_errors_are_a_shortage() {
        let check = |error: Errno, expected: bool| {
            assert_eq!(help(&error.into()).is_some(), expected, "{error:?}");
        };
        for passing in [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM, Errno::NOBUFS] {
            check(passing, true);
        }
        for other in [Errno::NOENT, Errno::ACCESS, Errno::NOSPC, Errno::IO] {
            check(other, false);
        }
        assert!(help(&io::Error::other("Too many open files")).is_none());
        probe().unwrap();
    }
}
