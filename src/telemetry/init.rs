//! Starts the log: on standard error, or in systemd's journal if standard error leads there.
//!
//! Only warnings of other crates are logged: at `debug` some of them print URLs.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use serde_json::json;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;

use crate::telemetry::formatter::{LineStyle, Record, now};
use crate::telemetry::journald;
use crate::telemetry::output_queue::{self, OutputQueue};
use crate::telemetry::output_stream::OutputStream;

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people; in the journal, entries with fields.
    Human,
    /// One JSON object per line.
    Json,
}

/// The queues before both streams.
#[derive(Clone, Copy, Debug)]
pub struct Outputs {
    /// Standard output.
    pub output: &'static OutputQueue,
    /// Standard error.
    pub error: &'static OutputQueue,
}

/// Starts the log of this process and the queue before its output. `level` is one of `error`,
/// `warn`, `info`, `debug`, `trace`, and applies to this program only.
///
/// Has no effect if a log was started before.
///
/// # Errors
/// If the system lacks a thread or file handles for it.
pub fn init(level: &str, format: LogFormat) -> io::Result<()> {
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let is_journal = journald::is_journal_stream(stream.as_deref(), io::stderr());
    let style = match (is_journal, colours) {
        (true, _) => LineStyle::SyslogPrefix,
        (false, true) => LineStyle::Ansi,
        (false, false) => LineStyle::Plain,
    };
    let queue = output_queue::install(&output_queue::ERROR, || {
        let mut output = OutputStream::open(io::stderr())?;
        let write = move |text: &str| {
            let mut records = Record::all(text);
            let sends = is_journal && format == LogFormat::Human;
            if sends {
                let failed = |it: &Record| journald::send(journald::SOCKET, &it.entry()).is_err();
                let sent = records.iter().position(failed).unwrap_or(records.len());
                records.drain(..sent);
            }
            let lines: Vec<String> = records.iter().map(|it| line(it, format, style)).collect();
            if lines.is_empty() { Ok(()) } else { output.write(&lines.concat()) }
        };
        OutputQueue::start(write, dropped_event)
    })?;
    // A second start in one process changes nothing.
    let log = subscriber(level, |event| queue.push(event.to_owned()));
    drop(tracing::subscriber::set_global_default(log));
    Ok(())
}

/// Starts the queues before both streams of a command that has no log.
///
/// # Errors
/// If the system lacks a thread or file handles for it.
pub fn queue_output() -> io::Result<Outputs> {
    let dropped =
        |count| format!("avatar-watch: {count} log lines dropped because the output was blocked\n");
    let error = output_queue::install(&output_queue::ERROR, || {
        let mut output = OutputStream::open(io::stderr())?;
        OutputQueue::start(move |text| output.write(text), dropped)
    })?;
    let output = output_queue::install(&output_queue::OUTPUT, || {
        let mut output = OutputStream::open(io::stdout())?;
        let write = move |text: &str| match output.write(text) {
            // A reader that has closed the pipe misses nothing.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        };
        OutputQueue::start(write, dropped)
    })?;
    Ok(Outputs { output, error })
}

/// The same log, without colours, written elsewhere.
pub fn init_with_writer<W>(
    level: &str,
    format: LogFormat,
    write: W,
) -> impl Subscriber + Send + Sync
where
    W: Fn(&str) + Send + Sync + 'static,
{
    subscriber(level, move |event| {
        Record::all(event).iter().for_each(|it| write(&line(it, format, LineStyle::Plain)));
    })
}

/// Passes each event to `write` as one JSON object.
fn subscriber<W>(level: &str, write: W) -> impl Subscriber + Send + Sync
where
    W: Fn(&str) + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_target(false)
        .log_internal_errors(false)
        .with_env_filter(EnvFilter::new(format!("warn,avatar_watch={level}")))
        .with_writer(Arc::new(EventWriter(write)))
        .finish()
}

/// Passes what is written on; an event is written at once.
struct EventWriter<W>(W);

impl<W: Fn(&str)> io::Write for &EventWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        (self.0)(&String::from_utf8_lossy(event));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn line(record: &Record, format: LogFormat, style: LineStyle) -> String {
    match format {
        LogFormat::Human => record.human(style),
        LogFormat::Json => record.json(style),
    }
}

/// The event that says how many were dropped.
fn dropped_event(count: u64) -> String {
    let timestamp = now();
    let message = format!("{count} lines of the log were dropped here: they could not be written");
    json!({ "timestamp": timestamp, "level": "WARN", "message": message, "dropped": count })
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::Value;
    use tracing::{error_span, info};

    use super::*;
    use crate::text::characters::is_unsafe;

    /// Captures the log output of `emit`.
    fn written(format: LogFormat, emit: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&written);
        let log = init_with_writer("info", format, move |line| into.lock().unwrap().push_str(line));
        tracing::subscriber::with_default(log, emit);
        written.lock().unwrap().clone()
    }

    #[test]
    fn an_event_has_the_fields_of_all_that_it_is_part_of_and_none_twice() {
        let emit = || {
            let outer = error_span!("outer", avatar.id = "a1", request.id = "r1", attempt = 3_u64);
            outer.in_scope(|| {
                let inner = error_span!("inner", request.id = "r2");
                inner.in_scope(|| info!(avatar.id = "a2", fine = true, "said {}", 1));
            });
            info!(wait = 1.5, depth = -1, "outside");
            tracing::debug!("not said");
        };
        let human = written(LogFormat::Human, emit);
        let lines: Vec<&str> = human.lines().map(|line| line.split_once("  ").unwrap().1).collect();
        assert_eq!(
            lines,
            [
                "INFO said 1 attempt=3 avatar.id=a2 fine=true request.id=r2",
                "INFO outside depth=-1 wait=1.5"
            ]
        );
        let json = written(LogFormat::Json, emit);
        let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        let fields = ["message", "avatar.id", "request.id", "level"].map(|name| &first[name]);
        assert_eq!(fields, ["said 1", "a2", "r2", "INFO"]);
        assert_eq!((&first["attempt"], &first["fine"]), (&3.into(), &true.into()));
    }

    #[test]
    fn no_line_is_without_bounds() {
        let long = "é".repeat(1_000_000);
        for format in [LogFormat::Human, LogFormat::Json] {
            let text = written(format, || info!(long, "{long}"));
            assert!(text.len() < 10_000 && text.contains('…'), "{}", text.len());
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        let harmful = prop::char::ranges(std::borrow::Cow::Borrowed(&[
            '\0'..='\u{1f}',
            '\u{7f}'..='\u{9f}',
            '\u{200b}'..='\u{206f}',
            '\u{61c}'..='\u{61c}',
            '\u{e0000}'..='\u{e007f}',
        ]));
        prop::collection::vec(prop_oneof![harmful, any::<char>()], 0..24)
            .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn one_event_is_one_line_that_no_terminal_obeys(
            message in hostile(),
            value in hostile(),
            of_span in hostile(),
        ) {
            let emit = || {
                let span = error_span!("poll", of_span = %of_span);
                span.in_scope(|| info!(value, shown = ?value, "{message}"));
            };
            for format in [LogFormat::Human, LogFormat::Json] {
                let text = written(format, emit);
                let line = text.strip_suffix('\n').unwrap();
                prop_assert!(!line.contains(is_unsafe), "{line:?}");
                if format == LogFormat::Json {
                    let object: Value = serde_json::from_str(line).unwrap();
                    let texts = ["message", "value", "of_span"].map(|name| object[name].as_str());
                    let expected = [&message, &value, &of_span].map(|it| Some(it.as_str()));
                    prop_assert_eq!(texts, expected);
                }
            }
        }
    }
}
