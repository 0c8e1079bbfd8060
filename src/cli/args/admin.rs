//! Arguments of the admin commands: `deliveries`, `channels`, `db`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// Which database to use, and the output format.
#[derive(Clone, Debug, Args)]
pub struct DatabaseArgs {
    /// The database [default: `store.path` of the config]
    #[arg(long, value_name = "PATH")]
    pub database: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `deliveries`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DeliveriesArgs {
    /// The action; the default is `list`.
    #[command(subcommand)]
    pub action: Option<DeliveriesAction>,
    /// The filter of `list`.
    #[command(flatten)]
    pub list: ListArgs,
}

/// Actions of `deliveries`.
#[derive(Clone, Debug, Subcommand)]
pub enum DeliveriesAction {
    /// List deliveries (the default)
    List(ListArgs),
    /// Show one delivery with its attempts and its message
    Show {
        /// The id of a delivery (`dlv_…`) or of an event (`evt_…`)
        id: String,
        /// Database and output format.
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Send again with the same event id and the same bytes
    Retry {
        /// The id of a delivery (`dlv_…`)
        #[arg(required_unless_present = "failed", conflicts_with = "failed")]
        id: Option<String>,
        /// Retry all failed deliveries that were not sent again since
        #[arg(long)]
        failed: bool,
        /// Only deliveries that failed within this time, like `2h`
        #[arg(long, value_name = "DURATION", requires = "failed", value_parser = duration)]
        since: Option<Duration>,
        /// Only deliveries to this channel
        #[arg(long, value_name = "CHANNEL", requires = "failed")]
        channel: Option<String>,
        /// Use a new event id, so that receivers that accepted the event before process it again;
        /// the text for people is unchanged and names the original event
        #[arg(long)]
        as_new: bool,
        /// Database and output format.
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Cancel a pending delivery, or discard a dead letter
    Cancel {
        /// The id of a delivery (`dlv_…`)
        id: String,
        /// Database and output format.
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

/// Arguments of `channels`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ChannelsArgs {
    /// The action; the default is `list`.
    #[command(subcommand)]
    pub action: Option<ChannelsAction>,
    /// Database and output format.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Actions of `channels`.
#[derive(Clone, Debug, Subcommand)]
pub enum ChannelsAction {
    /// List channels (the default)
    List {
        /// Database and output format.
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Pause a channel: its deliveries stay pending until `resume`
    Pause(SwitchArgs),
    /// Resume a paused channel
    Resume(SwitchArgs),
    /// Enable a disabled or failing channel: sends one message at once, then the others
    Enable(SwitchArgs),
}

/// Arguments of `channels pause`, `resume` and `enable`.
#[derive(Clone, Debug, Args)]
pub struct SwitchArgs {
    /// The name of the channel
    pub channel: String,
    /// Database and output format.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Filter of `deliveries list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Only deliveries in this state
    #[arg(long, value_enum)]
    pub state: Option<StateFilter>,
    /// Only deliveries to this channel
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Only deliveries about this avatar
    #[arg(long, value_name = "ID")]
    pub avatar: Option<String>,
    /// Show at most the newest N deliveries
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Database and output format.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Delivery states to filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateFilter {
    /// Waiting for the next attempt
    Pending,
    /// An attempt is in progress
    Sending,
    /// Accepted by the receiver
    Delivered,
    /// Failed for good: a dead letter
    Failed,
    /// Cancelled by an operator
    Cancelled,
}

impl StateFilter {
    /// The value of the `state` column.
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

/// Arguments of `db`.
#[derive(Clone, Debug, Args)]
pub struct DbArgs {
    /// The action.
    #[command(subcommand)]
    pub action: DbAction,
}

/// Actions of `db`.
#[derive(Clone, Debug, Subcommand)]
pub enum DbAction {
    /// Write a consistent copy, whether the daemon runs or not
    #[command(after_help = "Exit status: 0 a sound copy; 1 the file exists already; \
        65 damaged, or not a database of avatar-watch; 74 disk.")]
    Backup {
        /// The file to create; with `--keep`, the folder of dated copies, created if missing
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Name the copy after the current time, and keep only the newest N dated copies
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        keep: Option<u16>,
        /// Database and output format.
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Verify structure, rows, history and messages, and print every problem
    #[command(after_help = "Exit status: 0 sound; 65 damaged, or not a database of avatar-watch; \
        74 disk.")]
    Verify {
        /// The database or backup [default: `store.path` of the config]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Replace the database with a backup, and keep the old database
    #[command(after_help = RESTORE_NOTES)]
    Restore {
        /// The backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Database and output format.
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

/// Parses a duration such as `2h` or `1h 30m`.
///
/// # Errors
/// The message for the user when the text is not a duration.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write `2h` or `1h 30m`"))
}

const RESTORE_NOTES: &str = "\
The backup is verified first. The old database is kept beside the new one, under a dated name. \
Deliveries that were pending at the time of the backup are sent again with the same ids. The next \
polls observe what changed since then, as far as it still shows, and create events with new ids.
Exit status: 0 restored; 65 the backup is damaged or not of avatar-watch; 74 disk; 75 database \
locked by a daemon.";
