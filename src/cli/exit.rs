//! The codes that the program exits with; those above 63 are from `sysexits.h`. One
//! number means different things to different commands, as their `--help` says.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// As asked.
    Good = 0,
    /// Not as asked: not delivered, not found.
    Bad = 1,
    /// Problems in the config, or a misused command line.
    Problems = 2,
    /// Waited for, and its training failed.
    TrainingFailed = 3,
    /// Waited for, and refused.
    Refused = 4,
    /// Waited for, and not settled in time.
    TimedOut = 5,
    /// Waited for, and there is no such avatar.
    Missing = 6,
    /// Waited for, and the key is not accepted.
    KeyRejected = 7,
    /// `EX_DATAERR`: the database is damaged, altered by others, none of ours, or newer than the
    /// program.
    Data = 65,
    /// `EX_SOFTWARE`: a bug of ours.
    Bug = 70,
    /// `EX_IOERR`: the disk failed.
    Disk = 74,
    /// `EX_TEMPFAIL`: another program holds the database, or the place to listen at.
    Held = 75,
    /// `EX_CONFIG`: the config cannot be used.
    Config = 78,
    /// Ended by `SIGINT`, as shells say it.
    Interrupted = 130,
    /// Ended by `SIGTERM`, as shells say it.
    Terminated = 143,
}

impl Exit {
    /// Of a monitoring check: someone should look.
    pub const WARNING: Self = Self::Bad;
    /// Of a monitoring check: someone has to look.
    pub const CRITICAL: Self = Self::Problems;
    /// Of a monitoring check: it cannot be known.
    pub const UNKNOWN: Self = Self::TrainingFailed;

    /// The code as a number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}
