//! The command line. The one home of clap.

pub mod admin;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::cli::args::admin::{ChannelsArgs, DatabaseArgs, DbArgs, DeliveriesArgs, duration};

/// Tells you the minute an Argil avatar is ready, failed, or refused.
///
/// avatar-watch polls the avatars that you register in a TOML file, records every change of
/// status in SQLite, and tells webhooks and mailboxes when one leaves training.
#[derive(Clone, Debug, Parser)]
#[command(name = "avatar-watch", version, after_help = FIRST_STEPS, max_term_width = 100)]
pub struct Cli {
    /// The config file [default: ./avatar-watch.toml, then /etc/avatar-watch/config.toml]
    #[arg(long, global = true, value_name = "PATH", env = "AVATAR_WATCH_CONFIG")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show the whole product on one screen, with no key and no config
    Demo(DemoArgs),
    /// Watch and tell: the daemon, in the foreground
    #[command(after_help = RUN_CODES)]
    Run(RunArgs),
    /// Read the config and print every problem in it, with its mend
    #[command(after_help = "Exit status: 0 good, 2 problems.")]
    Check(CheckArgs),
    /// Show what each avatar was last seen as, and what is in the way
    #[command(after_help = CHECK_CODES)]
    Status(StatusArgs),
    /// Show every change of status that was observed
    History(HistoryArgs),
    /// List what was told, and what was not; send again, cancel
    Deliveries(DeliveriesArgs),
    /// List the channels and how they are doing; pause, resume, enable
    Channels(ChannelsArgs),
    /// Copy the database, check it, put a copy back
    Db(DbArgs),
    /// Send a trial message through a channel and name the step that failed
    #[command(
        after_help = "Exit status: 0 delivered, 1 not, 2 no such channel or misuse, 78 config."
    )]
    Test(TestArgs),
    /// Wait until avatars are ready, failed, or refused
    #[command(after_help = WAIT_CODES)]
    Wait(WaitArgs),
    /// Write a commented starter config; asks on a terminal, unless flags say what to write
    #[command(after_help = INIT_NOTES)]
    Init(InitArgs),
    /// Print a fresh `whsec_` secret for signing webhooks
    Secret,
    /// Print what webhooks send, or what the config takes, as JSON Schema
    Schema(SchemaArgs),
    /// Print what a shell needs to complete our command line
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them into a folder
    Man(ManArgs),
}

/// What `demo` takes.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// How many avatars are trained
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = avatars())]
    pub avatars: u16,
    /// How many times faster than life
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// Repeat a run: the same seed trains the same avatars in the same way
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// End when every avatar has settled and been told of; exit 0 only if all of it was
    /// delivered, once
    #[arg(long)]
    pub until_settled: bool,
}

/// What `run` takes.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// How much the log says
    #[arg(long, value_enum, default_value_t = LogLevel::Info, env = "AVATAR_WATCH_LOG")]
    pub log_level: LogLevel,
    /// How the log looks
    #[arg(long, value_enum, default_value_t = LogFormatArg::Human, env = "AVATAR_WATCH_LOG_FORMAT")]
    pub log_format: LogFormatArg,
}

/// What `check` takes.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Also try the key, each avatar, and the connection of each channel
    #[arg(long)]
    pub online: bool,
    /// Also say what a reload would change, compared with what the daemon last took; secrets
    /// are not compared
    #[arg(long)]
    pub diff: bool,
}

/// What `status` takes.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Only this avatar
    pub id: Option<String>,
    /// Print one line and exit as monitoring plugins do, for Nagios and cron
    #[arg(long, conflicts_with_all = ["id", "json"])]
    pub check: bool,
    /// With --check, how old a message may be before it is late [default: 10m]
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = duration)]
    pub late_after: Option<Duration>,
    /// Where to look, and how to show it.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// What `history` takes.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// Only this avatar
    pub id: Option<String>,
    /// At most so many changes, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Where to look, and how to show it.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// What `test` takes.
#[derive(Clone, Debug, Args)]
pub struct TestArgs {
    /// The channel's name
    pub channel: String,
}

/// What `wait` takes.
#[derive(Clone, Debug, Args)]
pub struct WaitArgs {
    /// The avatars to wait for
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// End with the first that settles
    #[arg(long, conflicts_with = "all")]
    pub any: bool,
    /// End when all have settled: as without it
    #[arg(long)]
    pub all: bool,
    /// Give up after this time, like `90s` or `26h`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Print a JSON object for each avatar, one a line
    #[arg(long)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
    /// Ask with this account of the config [default: the one that each is registered with]
    #[arg(long, value_name = "NAME", conflicts_with = "base_url")]
    pub account: Option<String>,
    /// Ask the API at this address with the key in `ARGIL_API_KEY`, and read no config
    #[arg(long, value_name = "URL", env = "ARGIL_BASE_URL")]
    pub base_url: Option<String>,
}

/// What `init` takes.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// The avatars to watch
    #[arg(long, value_name = "ID", num_args = 1..)]
    pub avatar: Vec<String>,
    /// The webhook to tell; its secret is made, and kept in a file beside the config
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// The mailbox to tell
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// The mail server that takes mail for it
    #[arg(long, value_name = "HOST", requires = "email")]
    pub smtp_host: Option<String>,
    /// The file that the API key is in [default: the variable `ARGIL_API_KEY`]
    #[arg(long, value_name = "PATH")]
    pub api_key_file: Option<PathBuf>,
    /// Where to write the config [default: the path of `--config`, then avatar-watch.toml]
    #[arg(long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Write even if there is a config: the old one is kept beside it, as `….old`
    #[arg(long)]
    pub force: bool,
}

/// What `schema` takes.
#[derive(Clone, Debug, Args)]
pub struct SchemaArgs {
    /// What it is a schema of.
    #[command(subcommand)]
    pub of: SchemaOf,
}

/// What there is a schema of.
#[derive(Clone, Debug, Subcommand)]
pub enum SchemaOf {
    /// Print the JSON Schema (2020-12) of the body of a webhook in the `standard` format
    #[command(after_help = SCHEMA_NOTES)]
    Event(EventSchemaArgs),
    /// Print the JSON Schema (2020-12) of the config, for editors
    Config,
}

/// What `schema event` takes.
#[derive(Clone, Debug, Args)]
pub struct EventSchemaArgs {
    /// The type of event, such as `avatar.ready` [default: all types, in one schema]
    #[arg(value_name = "TYPE")]
    pub kind: Option<String>,
    /// Print the names of the types instead
    #[arg(long, conflicts_with = "kind")]
    pub list: bool,
}

/// What `completions` takes.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// What `man` takes.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// The page, such as `avatar-watch-run` [default: avatar-watch]
    #[arg(value_name = "PAGE", conflicts_with_all = ["out", "list"])]
    pub page: Option<String>,
    /// Write all pages into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "list")]
    pub out: Option<PathBuf>,
    /// Print the names of the pages instead
    #[arg(long)]
    pub list: bool,
}

/// How much the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What someone must act on
    Error,
    /// And what went wrong and is being mended
    Warn,
    /// And the news
    Info,
    /// And every look and every try
    Debug,
    /// Everything
    Trace,
}

impl LogLevel {
    /// The word that the log knows it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    /// Lines for people; in systemd's journal, entries with fields
    Human,
    /// One JSON object a line
    Json,
}

/// The command line, for those who describe it.
pub fn command() -> clap::Command {
    Cli::command()
}

fn avatars() -> RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=500)
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.1..=1000.0).contains(&speed) => Ok(speed),
        Ok(_) | Err(_) => Err("a number from 0.1 to 1000".to_owned()),
    }
}

const FIRST_STEPS: &str = "\
First steps:
  avatar-watch demo                    see it work, with no key
  avatar-watch init                    write avatar-watch.toml
  avatar-watch check --online          is everything right?
  avatar-watch run                     watch
Each says what comes next.";

const RUN_CODES: &str = "\
Signals: SIGHUP reads the config again (a bad one changes nothing); SIGTERM and SIGINT stop \
softly, a second one at once.
Exit status: 0 after a stop; 65 damaged, altered, foreign or newer database; 70 a bug; 74 disk; \
75 the database is held by another daemon, the place to listen at by another program or not up \
yet, a secret or certificate is not there yet, or the machine lacks file handles, threads or \
memory; 78 config.";

const INIT_NOTES: &str = "\
Secrets never stand in the config: what is typed is not shown, and kept in a file of its own that \
only you can read; one that is there is used as it is.
Exit status: 0 written; 1 not; 2 an answer is no good, or misuse; 130 interrupted.";

const CHECK_CODES: &str = "\
With --check, exit status: 0 OK; 1 WARNING: an avatar that cannot be seen or is overdue, a channel \
that fails, late messages, a config that is not taken; 2 CRITICAL: no daemon, a key that sees \
nothing, a disabled channel, dead letters; 3 UNKNOWN: no database that can be read.";

const SCHEMA_NOTES: &str = "\
A schema is strict about what this version sends and open to fields that a later one adds; so must \
a consumer be.
Exit status: 0 printed; 2 no such type.";

const WAIT_CODES: &str = "\
It takes nothing but the variable ARGIL_API_KEY; where there is a config, its account and pace \
are used.
Each avatar that is decided gives a line on standard output: its id, and IDLE, TRAINING_FAILED, \
REFUSED, missing, key-rejected or timed-out.
Exit status: 0 IDLE; 3 TRAINING_FAILED; 4 REFUSED; 5 timed out; 6 missing; 7 key rejected; of \
several avatars the highest; 2 misuse; 78 config; 130, 143 interrupted.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
