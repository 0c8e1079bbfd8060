//! The codes that the program exits with; those above 63 are from `sysexits.h`.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As asked.
    Good = 0,
    /// Not as asked: not delivered, not found.
    Bad = 1,
    /// Problems in the config, or a misused command line.
    Problems = 2,
    /// `EX_DATAERR`: the database is damaged or newer than the program.
    Data = 65,
    /// `EX_IOERR`: the disk failed.
    Disk = 74,
    /// `EX_TEMPFAIL`: another daemon holds the database.
    Held = 75,
    /// `EX_CONFIG`: the config cannot be used.
    Config = 78,
}

impl Exit {
    /// The code as a number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}
