//! Progress of `wait` on a terminal: one line per avatar. `indicatif` is used only here. Drawn
//! through the output queue, so that a stopped terminal does not block the polling.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use rustix::termios::tcgetwinsize;

use crate::domain::avatar::AvatarId;
use crate::telemetry::init::Outputs;
use crate::telemetry::output_queue::OutputQueue;

#[derive(Debug)]
pub(crate) struct ProgressBars {
    outputs: Outputs,
    lines: MultiProgress,
    spinners: HashMap<AvatarId, ProgressBar>,
}

/// The target of drawing; collects a whole frame and writes it at once.
#[derive(Debug)]
struct Terminal {
    queue: &'static OutputQueue,
    drawn: Mutex<String>,
}

impl ProgressBars {
    pub(crate) fn new(outputs: Outputs) -> Self {
        let terminal = Terminal { queue: outputs.error, drawn: Mutex::default() };
        let target = ProgressDrawTarget::term_like(Box::new(terminal));
        let lines = MultiProgress::with_draw_target(target);
        Self { outputs, lines, spinners: HashMap::new() }
    }

    /// Whether the last frame was written. While the terminal is stopped, frames would pile up.
    pub(crate) fn is_shown(&self) -> bool {
        self.outputs.error.is_idle()
    }

    /// Adds or updates a line and advances its spinner. Uses no thread.
    pub(crate) fn show(&mut self, id: &AvatarId, text: String) {
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

    pub(crate) fn end(&mut self, id: &AvatarId) {
        if let Some(spinner) = self.spinners.remove(id) {
            spinner.finish_and_clear();
        }
    }

    pub(crate) fn end_all(&mut self) {
        self.spinners.drain().for_each(|(_, spinner)| spinner.finish_and_clear());
    }

    /// Hides the lines while `print` runs, so that its output appears above them.
    pub(crate) fn pause(&self, print: impl FnOnce()) {
        self.lines.suspend(|| {
            // Both streams may be the same terminal.
            self.outputs.error.flush(FLUSH_TIMEOUT);
            print();
            self.outputs.output.flush(FLUSH_TIMEOUT);
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
        non_zero_or(tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col), WIDTH)
    }

    fn height(&self) -> u16 {
        non_zero_or(tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_row), HEIGHT)
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

const fn non_zero_or(size: u16, default: u16) -> u16 {
    if size == 0 { default } else { size }
}

/// How long one stream waits for the other to be written; only a stopped terminal needs longer.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(100);
/// The assumed size of a terminal that reports none.
const WIDTH: u16 = 80;
const HEIGHT: u16 = 24;
const TEMPLATE: &str = "{spinner} {wide_msg}";
