//! The progress that a terminal shows: a line for each avatar that is waited for. The one home
//! of indicatif. It is drawn through the output queue, so a stopped terminal stops nobody.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use rustix::termios::tcgetwinsize;

use crate::domain::avatar::AvatarId;
use crate::telemetry::init::Outputs;
use crate::telemetry::output_queue::OutputQueue;

/// The lines, on standard error.
#[derive(Debug)]
pub struct ProgressBars {
    outputs: Outputs,
    lines: MultiProgress,
    spinners: HashMap<AvatarId, ProgressBar>,
}

/// The terminal, as it is drawn to; what is drawn is written when it is whole.
#[derive(Debug)]
struct Terminal {
    queue: &'static OutputQueue,
    drawn: Mutex<String>,
}

impl ProgressBars {
    /// No line yet.
    pub fn new(outputs: Outputs) -> Self {
        let terminal = Terminal { queue: outputs.error, drawn: Mutex::default() };
        let target = ProgressDrawTarget::term_like(Box::new(terminal));
        let lines = MultiProgress::with_draw_target(target);
        Self { outputs, lines, spinners: HashMap::new() }
    }

    /// Whether what was drawn before is on the terminal. While that is stopped, more would only
    /// pile up.
    pub fn is_shown(&self) -> bool {
        self.outputs.error.is_idle()
    }

    /// Shows a line, or changes it, and turns its spinner. There is no thread behind it.
    pub fn show(&mut self, id: &AvatarId, text: String) {
        let spinner = self.spinners.entry(id.clone()).or_insert_with(|| {
            let style = ProgressStyle::with_template(TEMPLATE);
            let spinner = ProgressBar::no_length();
            let spinner = self.lines.add(spinner);
            spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner
        });
        spinner.set_message(text);
        spinner.tick();
    }

    /// Takes a line away.
    pub fn end(&mut self, id: &AvatarId) {
        if let Some(spinner) = self.spinners.remove(id) {
            spinner.finish_and_clear();
        }
    }

    /// Takes all lines away.
    pub fn end_all(&mut self) {
        self.spinners.drain().for_each(|(_, spinner)| spinner.finish_and_clear());
    }

    /// Lets something be printed between the lines and what was printed before.
    pub fn pause(&self, print: impl FnOnce()) {
        self.lines.suspend(|| {
            // The terminal may be both streams.
            self.outputs.error.flush(TAKES_TURNS);
            print();
            self.outputs.output.flush(TAKES_TURNS);
        });
    }
}

impl Terminal {
    fn drawn(&self) -> MutexGuard<'_, String> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A control sequence (ECMA-48) with a count; none for a count of zero.
    fn control(&self, count: usize, function: char) -> io::Result<()> {
        if count > 0 {
            self.drawn().push_str(&format!("\u{1b}[{count}{function}"));
        }
        Ok(())
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        said_or(tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col), WIDTH)
    }

    fn height(&self) -> u16 {
        said_or(tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_row), HEIGHT)
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        self.control(count, 'A')
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.control(count, 'B')
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.control(count, 'C')
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.control(count, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.drawn().push_str(&format!("{text}\n"));
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.drawn().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.drawn().push_str("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.drawn());
        if !drawn.is_empty() {
            self.queue.push(drawn);
        }
        Ok(())
    }
}

/// What the terminal says, unless that is nothing.
const fn said_or(said: u16, usual: u16) -> u16 {
    if said == 0 { usual } else { said }
}

/// How long one stream waits for what was written to the other; a terminal that is not stopped
/// takes next to nothing.
const TAKES_TURNS: Duration = Duration::from_millis(100);
/// How large a terminal is that does not say so.
const WIDTH: u16 = 80;
const HEIGHT: u16 = 24;
const TEMPLATE: &str = "{spinner} {wide_msg}";
