//! The command line. `clap` is used only in this folder.

pub(super) mod admin;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;

use crate::cli::args::admin::{
    ChannelsArgs, DatabaseArgs, DbArgs, DeliveriesArgs, at_least_one, duration,
};
use crate::cli::local_time::Since;

/// Notifies you when an Argil avatar is ready, failed, or refused.
///
/// avatar-watch polls the avatars that a TOML file lists, records every change of status in
/// SQLite, and notifies webhooks and mailboxes when an avatar leaves training.
#[derive(Clone, Debug, Parser)]
#[command(name = "avatar-watch", version, after_help = FIRST_STEPS, max_term_width = 100)]
pub(crate) struct Cli {
    /// The config file [default: ./avatar-watch.toml, then /etc/avatar-watch/config.toml]
    #[arg(long, global = true, value_name = "PATH", env = "AVATAR_WATCH_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon against a simulated Argil and receiver; needs no key and no config
    Demo(DemoArgs),
    /// Run the daemon in the foreground
    #[command(after_help = RUN_CODES)]
    Run(RunArgs),
    /// Check the config, and print every problem and how to fix it
    #[command(after_help = "Exit status: 0 valid, 2 problems.")]
    Check(CheckArgs),
    /// List the avatars of each account (asks the API); forget one
    #[command(after_help = "Exit status: 0 listed, 1 an account cannot be listed, 2 problems in \
        the config.")]
    Avatars(AvatarsArgs),
    /// Show avatars, channels and problems: the last observed status of each avatar
    #[command(after_help = CHECK_CODES)]
    Status(StatusArgs),
    /// Show the observed changes of status
    History(HistoryArgs),
    /// List deliveries; show, send again or cancel them
    Deliveries(DeliveriesArgs),
    /// List channels and their state; pause, resume or enable one
    Channels(ChannelsArgs),
    /// Back up, verify or restore the database
    Db(DbArgs),
    /// Send a test message through a channel and name the step that failed
    #[command(after_help = "Exit status: 0 delivered, 1 not delivered, 2 no such channel or \
        usage error, 78 config.")]
    Test(TestArgs),
    /// Wait until avatars are ready, failed, or refused
    #[command(after_help = WAIT_CODES)]
    Wait(WaitArgs),
    /// Write a commented starter config; asks on a terminal unless flags give the answers
    #[command(after_help = INIT_NOTES)]
    Init(InitArgs),
    /// Print a new `whsec_` secret for signing webhooks
    Secret,
    /// Print the JSON Schema of webhook bodies or of the config
    Schema(SchemaArgs),
    /// Print the completion script for a shell
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them into a folder
    Man(ManArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// The number of avatars to train
    #[arg(long, value_name = "N", default_value_t = 8)]
    #[arg(value_parser = value_parser!(u16).range(1..=500))]
    pub(crate) avatars: u16,
    /// Speed factor: 2 runs twice as fast
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = speed)]
    pub(crate) speed: f64,
    /// Seed of the random numbers: the same seed repeats a run
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// End when every avatar has settled and every event is delivered; exit 0 only if each was
    /// delivered exactly once
    #[arg(long)]
    pub(crate) until_settled: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// The least severe level to log
    #[arg(long, value_enum, default_value_t = LogLevel::Info, env = "AVATAR_WATCH_LOG")]
    pub(crate) log_level: LogLevel,
    /// The log format
    #[arg(long, value_enum, default_value_t = LogFormatArg::Human, env = "AVATAR_WATCH_LOG_FORMAT")]
    pub(crate) log_format: LogFormatArg,
}

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AvatarsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<AvatarsAction>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AvatarsAction {
    /// Forget an avatar that is no longer watched, whether the daemon runs or not
    #[command(
        after_help = "Exit status: 0 forgotten; 1 still watched, or not confirmed; 2 no such \
        avatar; 75 one of its messages is being sent."
    )]
    Forget(ForgetArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ForgetArgs {
    /// The avatar, by name or id
    pub(crate) avatar: String,
    /// Remove its changes of status and its deliveries as well
    #[arg(long)]
    pub(crate) history: bool,
    /// Do not ask before the history is removed
    #[arg(long, requires = "history")]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    /// Also test the API key, poll each avatar, and connect to each channel
    #[arg(long)]
    pub(crate) online: bool,
    /// Also print what a reload would change in the active config of the daemon; secrets are not
    /// compared
    #[arg(long)]
    pub(crate) diff: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only this avatar, by name or id
    pub(crate) avatar: Option<String>,
    /// Only avatars with this status, such as `TRAINING`
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// Only avatars with a name like this: `jane`, or `jane*` with `*` and `?` as wildcards
    #[arg(long, value_name = "PATTERN")]
    pub(crate) name: Option<String>,
    /// Show at most N avatars: those with a failure first, then those in training
    /// [default: 50; with --json, all]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(crate) limit: Option<u32>,
    /// Print one line and exit like a Nagios plugin; also for cron
    #[arg(long, conflicts_with_all = ["avatar", "status", "name", "limit", "json"])]
    pub(crate) check: bool,
    /// With --check, warn of undelivered messages older than this [default: 10m]
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = duration)]
    pub(crate) late_after: Option<Duration>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only this avatar, by name or id
    pub(crate) avatar: Option<String>,
    /// Only changes since then: `7d`, `today`, `2026-11-23`, or `2026-11-23 11:15`
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub(crate) since: Option<Since>,
    /// Only changes to this status, such as `TRAINING_FAILED`
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// Only avatars with a name like this: `jane`, or `jane*` with `*` and `?` as wildcards
    #[arg(long, value_name = "PATTERN", conflicts_with = "avatar")]
    pub(crate) name: Option<String>,
    /// Show at most the newest N changes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one())]
    pub(crate) limit: u32,
    /// Print CSV with a header, the durations of trainings in seconds, and times in UTC
    #[arg(long, conflicts_with_all = ["json", "utc"])]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TestArgs {
    /// The name of the channel
    pub(crate) channel: String,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct WaitArgs {
    /// The avatars to wait for, by id or by name
    #[arg(value_name = "AVATAR", required = true)]
    pub(crate) ids: Vec<String>,
    /// Exit when the first avatar has settled
    #[arg(long, conflicts_with = "all")]
    pub(crate) any: bool,
    /// Exit when all avatars have settled (the default)
    #[arg(long)]
    pub(crate) all: bool,
    /// Stop waiting after this time, like `90s` or `26h`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Print one JSON object per line for each avatar
    #[arg(long)]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Use this account of the config [default: the account of each avatar]
    #[arg(long, value_name = "NAME", conflicts_with = "base_url")]
    pub(crate) account: Option<String>,
    /// Use the API at this URL with the key in `ARGIL_API_KEY`; reads no config
    #[arg(long, value_name = "URL", env = "ARGIL_BASE_URL")]
    pub(crate) base_url: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct InitArgs {
    /// The avatars to watch, by id; with the API key also by name, or `all`
    #[arg(long, value_name = "AVATAR", num_args = 1..)]
    pub(crate) avatar: Vec<String>,
    /// The URL of the API, if it is not Argil's
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// The webhook or chat to notify; the secret of a webhook is generated into a file beside the
    /// config
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// The mailbox to notify
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// The SMTP server to submit mail to, with a port if it is not the usual one
    #[arg(long, value_name = "HOST[:PORT]", requires = "email")]
    pub(crate) smtp_host: Option<String>,
    /// The file with the API key [default: the variable `ARGIL_API_KEY`]
    #[arg(long, value_name = "PATH")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Where to write the config [default: the path of `--config`, then avatar-watch.toml]
    #[arg(long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Replace an existing config; the old one is kept beside it, as `….old`
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SchemaArgs {
    #[command(subcommand)]
    pub(crate) of: SchemaOf,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SchemaOf {
    /// Print the JSON Schema (2020-12) of the body of a webhook in the `standard` format
    #[command(after_help = SCHEMA_NOTES)]
    Event(EventSchemaArgs),
    /// Print the JSON Schema (2020-12) of the config, for editors
    Config,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct EventSchemaArgs {
    /// The type of event, such as `avatar.ready` [default: all types, in one schema]
    #[arg(value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Print the names of the types instead
    #[arg(long, conflicts_with = "kind")]
    pub(crate) list: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ManArgs {
    /// The page, such as `avatar-watch-run` [default: avatar-watch]
    #[arg(value_name = "PAGE", conflicts_with_all = ["out", "list"])]
    pub(crate) page: Option<String>,
    /// Write all pages into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "list")]
    pub(crate) out: Option<PathBuf>,
    /// Print the names of the pages instead
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Problems that need a person
    Error,
    /// Also failures that are retried
    Warn,
    /// Also changes
    Info,
    /// Also every poll and every delivery attempt
    Debug,
    /// Everything
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormatArg {
    /// Lines for people; entries with fields in systemd's journal
    Human,
    /// One JSON object per line
    Json,
}

pub(crate) fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

pub(crate) fn command() -> clap::Command {
    Cli::command()
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.1..=1000.0).contains(&speed) => Ok(speed),
        Ok(_) | Err(_) => Err("a number from 0.1 to 1000".to_owned()),
    }
}

const FIRST_STEPS: &str = "\
First steps:
  avatar-watch demo                    see it work, without a key
  avatar-watch init                    write avatar-watch.toml
  avatar-watch check --online          validate the config, test key and channels
  avatar-watch run                     run the daemon
Each command prints the next step.";

const RUN_CODES: &str = "\
Signals: SIGHUP reloads the config (an invalid config changes nothing). SIGTERM and SIGINT stop \
gracefully; a second one stops at once.
Exit status: 0 stopped; 65 database damaged, altered, newer, or not of avatar-watch; 70 internal \
error; 74 disk; 75 database locked by another instance, listen address in use or not available \
yet, secret or certificate not available yet, or out of file handles, threads or memory; 78 \
config.";

const INIT_NOTES: &str = "\
Keys, passwords and the URL of a chat are not written into the config; the URL of a webhook is. A \
secret that you type is not echoed; each is stored in a file that only you can read. Existing \
secret files are used, unless you type another secret: the old one is then kept beside it, as \
`….old`.
Exit status: 0 written; 1 not written; 2 invalid answer or usage error; 130 interrupted.";

const CHECK_CODES: &str = "\
With --check, exit status: 0 OK; 1 WARNING: avatar unreachable or training overdue, channel \
failing, messages late, config not applied; 2 CRITICAL: daemon not running, account unavailable, \
channel disabled, dead letters; 3 UNKNOWN: no readable database.";

const SCHEMA_NOTES: &str = "\
A schema is strict about the fields that this version sends, and allows further fields, which \
later versions may add. Consumers must allow them too.
Exit status: 0 printed; 2 no such type.";

const WAIT_CODES: &str = "\
Only the variable ARGIL_API_KEY is required. If there is a config, its accounts and polling \
intervals are used.
Prints one line per avatar on standard output: its id, and IDLE, TRAINING_FAILED, REFUSED, \
missing, key-rejected or timed-out.
Exit status: 0 IDLE; 3 TRAINING_FAILED; 4 REFUSED; 5 timed out; 6 missing; 7 key rejected; with \
several avatars the highest; 2 usage error; 78 config; 130, 143 interrupted.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        command().debug_assert();
    }
}
