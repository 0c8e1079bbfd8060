//! The log: on standard error, for people, or as JSON for programs.
//!
//! Other people's crates are heard from `warn` on only: at `debug` some of them print URLs.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Starts the log of this process. `level` is one of `error`, `warn`, `info`, `debug`, `trace`,
/// and goes for this program only.
///
/// A log that was started before stays.
pub fn start(level: &str, format: LogFormat) {
    let filter = EnvFilter::new(format!("warn,avatar_watch={level}"));
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colours);
    let started = match (format, journal) {
        (LogFormat::Json, _) => log.json().flatten_event(true).try_init(),
        // The journal writes the time itself.
        (LogFormat::Human, true) => log.without_time().try_init(),
        (LogFormat::Human, false) => log.try_init(),
    };
    // A second start in one process, as in tests, changes nothing.
    drop(started);
}
