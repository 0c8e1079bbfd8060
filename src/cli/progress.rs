//! The progress that a terminal shows: a line for each avatar that is waited for. The one home
//! of indicatif.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::domain::avatar::AvatarId;

/// The lines, on standard error.
#[derive(Debug, Default)]
pub struct Progress {
    lines: MultiProgress,
    spinners: HashMap<AvatarId, ProgressBar>,
}

impl Progress {
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
        self.lines.suspend(print);
    }
}

const TEMPLATE: &str = "{spinner} {wide_msg}";
