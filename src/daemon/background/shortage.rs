//! What this machine lacks just now and may have again: file handles, threads, memory.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;

/// Sees whether there are as many file handles left as a daemon takes.
///
/// # Errors
/// When there are not.
pub fn probe() -> io::Result<()> {
    let stderr = io::stderr();
    let handles = (0..HANDLES_MIN).map(|_| stderr.as_fd().try_clone_to_owned());
    handles.collect::<io::Result<Vec<OwnedFd>>>().map(drop)
}

/// How to mend it, where it is a shortage of this machine.
pub fn help(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some(
            "raise the limit of open files, of which a daemon takes 64 or more: `ulimit -n`, or \
             `LimitNOFILE=` of the unit",
        ),
        Errno::NFILE => Some("all of the system has too many open files: `sysctl fs.file-max`"),
        Errno::AGAIN => Some(
            "it may have too many processes and threads: `ulimit -u`, or `TasksMax=` of the unit",
        ),
        Errno::NOMEM | Errno::NOBUFS => {
            Some("there is no memory left: of the machine, or `MemoryMax=` of the unit")
        }
        _ => None,
    }
}

/// File handles that a daemon with a page and a few channels has open at its busiest, about.
const HANDLES_MIN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_there_again_is_a_shortage() {
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
