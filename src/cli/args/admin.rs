//! Arguments of the admin commands: `deliveries`, `channels`, `db`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{Args, Subcommand, ValueEnum, value_parser};

use crate::cli::local_time::{Since, TimeOption};

#[derive(Clone, Debug, Args)]
pub(crate) struct DatabaseArgs {
    /// The database [default: `store.path` of the config]
    #[arg(long, value_name = "PATH")]
    pub(crate) database: Option<PathBuf>,
    /// Print JSON for programs; its times are in UTC
    #[arg(long)]
    pub(crate) json: bool,
    /// Show times in UTC instead of the local time zone
    #[arg(long)]
    pub(crate) utc: bool,
}

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DeliveriesArgs {
    #[command(subcommand)]
    pub(crate) action: Option<DeliveriesAction>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum DeliveriesAction {
    /// List deliveries (the default)
    List(ListArgs),
    /// Show a delivery, or all deliveries of an event, with attempts and message
    Show {
        /// The id of a delivery (`dlv_…`) or of an event (`evt_…`, the `webhook-id` of a request)
        id: String,
        /// Show the messages as they are sent, such as the source of a mail
        #[arg(long)]
        raw: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Send again with the same event id and the same bytes
    Retry {
        /// The id of a delivery (`dlv_…`), or `--dead` for all dead letters
        #[arg(conflicts_with = "dead")]
        id: Option<String>,
        /// Send all dead letters again
        #[arg(long)]
        dead: bool,
        /// Only dead letters since then: `2h`, `today`, `2026-11-23`, or `2026-11-23 11:15`
        #[arg(long, value_name = "TIME", requires = "dead", value_parser = Since::parse)]
        since: Option<Since>,
        /// Only deliveries to this channel
        #[arg(long, value_name = "CHANNEL", requires = "dead")]
        channel: Option<String>,
        /// Use a new event id, so that receivers that accepted the event before process it again;
        /// the text for people is unchanged and names the original event
        #[arg(long)]
        as_new: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Cancel a pending delivery, or discard a dead letter
    Cancel {
        /// The id of a delivery (`dlv_…`)
        id: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ChannelsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ChannelsAction>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ChannelsAction {
    /// List channels (the default)
    List {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Pause a channel: its deliveries stay pending until the pause ends
    #[command(after_help = PAUSE_NOTES)]
    Pause(PauseArgs),
    /// Resume a paused channel
    Resume(SwitchArgs),
    /// Use a disabled or failing channel again: sends one message at once, then the others
    Enable(SwitchArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PauseArgs {
    /// How long, such as `8h` or `1d 12h` [default: until `resume`]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) lasting: Option<Duration>,
    /// Until when: `2026-12-01T08:00` in local time, or with a zone, as `2026-12-01T08:00Z`
    #[arg(long, value_name = "TIME", value_parser = TimeOption::parse, conflicts_with = "lasting")]
    pub(crate) until: Option<TimeOption>,
    /// Why, for the people who see that it is paused
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) switch: SwitchArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SwitchArgs {
    /// The name of the channel
    pub(crate) channel: String,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ListArgs {
    /// Only deliveries in this state
    #[arg(long, value_enum)]
    pub(crate) state: Option<StateFilter>,
    /// Only deliveries to this channel
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Option<String>,
    /// Only deliveries about this avatar, by name or id
    #[arg(long, value_name = "AVATAR")]
    pub(crate) avatar: Option<String>,
    /// Only deliveries of events of this type, such as `avatar.ready`
    #[arg(long, value_name = "TYPE")]
    pub(crate) event: Option<String>,
    /// Show at most the newest N deliveries
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one())]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateFilter {
    /// Waiting for the next attempt
    Pending,
    /// An attempt is in progress
    Sending,
    /// Accepted by the receiver
    Delivered,
    /// Failed for good: a dead letter
    Dead,
    /// Sent again as another delivery
    Resent,
    /// Cancelled by an operator
    Cancelled,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DbArgs {
    #[command(subcommand)]
    pub(crate) action: DbAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum DbAction {
    /// Back up the database, whether the daemon runs or not
    #[command(after_help = "Exit status: 0 a sound copy; 1 the file exists already; \
        65 damaged, or not a database of avatar-watch; 74 disk.")]
    Backup {
        /// The file to create; with `--keep`, the folder of dated copies, created if missing
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Name the copy after the current time, and keep only the newest N dated copies
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        keep: Option<u16>,
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
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

/// The number of rows to show.
pub(in crate::cli) fn at_least_one() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..)
}

/// Parses a duration such as `2h` or `1h 30m`.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write `2h` or `1h 30m`"))
}

const PAUSE_NOTES: &str = "\
A pause ends by the wall clock of this machine; if no daemon runs then, it ends when one starts. \
Pausing again replaces the end and the reason. The time of a pause does not count towards the \
expiry of a delivery.";

const RESTORE_NOTES: &str = "\
The backup is verified first. The old database is kept beside the new one, under a dated name. \
Deliveries that were pending at the time of the backup are sent again with the same ids. The next \
polls observe what changed since then, as far as it still shows, and create events with new ids.
Exit status: 0 restored; 65 the backup is damaged or not of avatar-watch; 74 disk; 75 database \
locked by a daemon.";
