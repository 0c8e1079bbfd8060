//! The command line of what is done by hand: to deliveries, to channels, to the database.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// Where a reading command finds the database.
#[derive(Clone, Debug, Args)]
pub struct DatabaseArgs {
    /// The database [default: the one that the config names]
    #[arg(long, value_name = "PATH")]
    pub database: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
}

/// What `deliveries` takes.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DeliveriesArgs {
    /// What to do with them; without it, list.
    #[command(subcommand)]
    pub action: Option<DeliveriesAction>,
    /// Which to list.
    #[command(flatten)]
    pub list: ListArgs,
}

/// What can be done with deliveries.
#[derive(Clone, Debug, Subcommand)]
pub enum DeliveriesAction {
    /// List deliveries (as without any word)
    List(ListArgs),
    /// Show one delivery with its tries and its message
    Show {
        /// A delivery's id (`dlv_…`) or its event's (`evt_…`)
        id: String,
        /// Where to look, and how to show it.
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Send again: the same event id, the same bytes
    Retry {
        /// A delivery's id (`dlv_…`)
        #[arg(required_unless_present = "failed", conflicts_with = "failed")]
        id: Option<String>,
        /// All that failed and were not sent again since
        #[arg(long)]
        failed: bool,
        /// Only those that failed within this time, like `2h`
        #[arg(long, value_name = "DURATION", requires = "failed", value_parser = duration)]
        since: Option<Duration>,
        /// Only those to this channel
        #[arg(long, value_name = "CHANNEL", requires = "failed")]
        channel: Option<String>,
        /// Under a new event id, so that receivers that took it before take it for news; the words
        /// that people read stay, and name the first event
        #[arg(long)]
        as_new: bool,
        /// Where to look, and how to show it.
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// End a pending delivery, or lay a dead letter to rest
    Cancel {
        /// A delivery's id (`dlv_…`)
        id: String,
        /// Where to look, and how to show it.
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

/// What `channels` takes.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ChannelsArgs {
    /// What to do with them; without it, list.
    #[command(subcommand)]
    pub action: Option<ChannelsAction>,
    /// Where to look, and how to show it.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// What can be done with channels.
#[derive(Clone, Debug, Subcommand)]
pub enum ChannelsAction {
    /// List them (as without any word)
    List {
        /// Where to look, and how to show it.
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Send nothing more to a channel for now; what is to be told waits
    Pause(SwitchArgs),
    /// End a pause
    Resume(SwitchArgs),
    /// Tell a channel again that was disabled or fails: at once, one message first
    Enable(SwitchArgs),
}

/// Which channel to switch.
#[derive(Clone, Debug, Args)]
pub struct SwitchArgs {
    /// The channel's name
    pub channel: String,
    /// Where to look, and how to show it.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Which deliveries to list.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Only in this state
    #[arg(long, value_enum)]
    pub state: Option<StateFilter>,
    /// Only to this channel
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Only about this avatar
    #[arg(long, value_name = "ID")]
    pub avatar: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Where to look, and how to show it.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// The states to filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateFilter {
    /// Waiting for the next try
    Pending,
    /// A try is under way
    Sending,
    /// Taken by the other side
    Delivered,
    /// Given up: a dead letter
    Failed,
    /// Ended by hand
    Cancelled,
}

impl StateFilter {
    /// The word in rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What `db` takes.
#[derive(Clone, Debug, Args)]
pub struct DbArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub action: DbAction,
}

/// What can be done with the database.
#[derive(Clone, Debug, Subcommand)]
pub enum DbAction {
    /// Write a copy that is whole and of one moment, while the daemon runs or not
    #[command(after_help = "Exit status: 0 a sound copy; 1 there is something of that \
        name; 65 damage, or no database of avatar-watch; 74 disk.")]
    Backup {
        /// The file to make; with `--keep`, the folder for dated copies, made if need be
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Name the copy after the time, and remove all dated copies in the folder but the newest
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        keep: Option<u16>,
        /// Where to look, and how to show it.
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Check structure, rows, history and messages, and say everything that is wrong
    #[command(after_help = "Exit status: 0 sound; 65 not, or no database of avatar-watch; \
        74 disk.")]
    Verify {
        /// The database or backup [default: the database that the config names]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Put a backup in the place of the database, and keep what was there
    #[command(after_help = RESTORE_NOTES)]
    Restore {
        /// The backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where to look, and how to show it.
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

/// A span of time as people write it.
///
/// # Errors
/// When it is none.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write `2h` or `1h 30m`"))
}

const RESTORE_NOTES: &str = "\
The backup is checked first, and the old database stays beside the new one under a dated name. \
What was to be sent when the backup was made is sent again, under the same ids; what changed since \
is seen again by the next looks, as far as it still shows, and told under new ids.
Exit status: 0 done; 65 the backup is damaged or none of avatar-watch; 74 disk; 75 a daemon holds \
the database.";
