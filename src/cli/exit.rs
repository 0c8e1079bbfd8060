//! Exit codes. Codes from 64 to 78 are those of `sysexits.h`. One number has different meanings
//! in different commands; `--help` of each command lists them.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Success.
    Ok = 0,
    /// Failure: not delivered, not found.
    Failed = 1,
    /// Problems in the config, or a usage error.
    Problems = 2,
    /// `wait`: the training failed.
    TrainingFailed = 3,
    /// `wait`: the avatar was refused.
    Refused = 4,
    /// `wait`: the avatar did not settle in time.
    TimedOut = 5,
    /// `wait`: there is no such avatar.
    Missing = 6,
    /// `wait`: the API rejects the key.
    KeyRejected = 7,
    /// `EX_DATAERR`: the database is damaged, altered by another program, newer than this
    /// program, or not of avatar-watch.
    DataErr = 65,
    /// `EX_SOFTWARE`: an internal error.
    Software = 70,
    /// `EX_IOERR`: the disk failed.
    Disk = 74,
    /// `EX_TEMPFAIL`: the database is locked, or the listen address is in use.
    TempFail = 75,
    /// `EX_CONFIG`: the config cannot be used.
    Config = 78,
    /// Ended by `SIGINT`: 128 + 2, as in shells.
    Interrupted = 130,
    /// Ended by `SIGTERM`: 128 + 15, as in shells.
    Terminated = 143,
}

impl Exit {
    /// WARNING of a monitoring plugin.
    pub(crate) const WARNING: Self = Self::Failed;
    /// CRITICAL of a monitoring plugin.
    pub(crate) const CRITICAL: Self = Self::Problems;
    /// UNKNOWN of a monitoring plugin.
    pub(crate) const UNKNOWN: Self = Self::TrainingFailed;

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}
