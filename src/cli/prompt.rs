//! Prompts of `avatar-watch init` on a terminal. Echo is off while a secret is typed.
//!
//! The terminal stays in canonical mode, so its editing keys work. A signal during a secret
//! restores the modes of the terminal before it ends or stops the program.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::secret::Secret;
use crate::text::secret_input::{SecretError, SecretKind, clean};

pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks questions on standard error and reads the answers from standard input.
#[derive(Debug)]
pub(crate) struct Prompter {
    saved: Arc<Mutex<Option<SavedTermios>>>,
}

/// The modes of the terminal while echo is off.
#[derive(Debug)]
struct SavedTermios {
    before: Termios,
    now: Termios,
    question: String,
}

impl Prompter {
    /// Installs the signal handlers: each restores the modes of the terminal, then does the
    /// default action of the signal.
    pub(crate) fn new() -> io::Result<Self> {
        let saved = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&saved);
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP])?;
        let handle_signals = move || {
            for signal in signals.forever() {
                let saved = locked(&shared);
                if let Some(saved) = saved.as_ref() {
                    set(&saved.before);
                }
                // On an error the program just continues.
                drop(emulate_default_handler(signal));
                // Continued after a stop.
                if let Some(saved) = saved.as_ref() {
                    set(&saved.now);
                    drop(write_prompt(&format!("\n{}: ", saved.question)));
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(handle_signals)?;
        Ok(Self { saved })
    }

    /// Asks until the answer is valid; an empty answer is always valid.
    pub(crate) fn ask(
        &self,
        question: &str,
        validate: impl Fn(&str) -> Result<(), String>,
    ) -> io::Result<String> {
        loop {
            write_prompt(&format!("{question}: "))?;
            let answer = line()?;
            match validate(answer.trim()) {
                _ if answer.trim().is_empty() => return Ok(String::new()),
                Ok(()) => return Ok(answer.trim().to_owned()),
                Err(reason) => write_prompt(&format!("  {reason}\n"))?,
            }
        }
    }

    /// Prints text between the questions.
    pub(crate) fn say(&self, text: &str) -> io::Result<()> {
        write_prompt(text)
    }

    /// Asks for a secret until the answer is valid; `None` for an empty answer.
    pub(crate) fn ask_secret(
        &self,
        question: &str,
        kind: SecretKind,
    ) -> io::Result<Option<Secret>> {
        loop {
            let typed = self.read_without_echo(question)?;
            match clean(typed.trim().as_bytes(), kind) {
                Ok(text) => return Ok(Some(Secret::new(text))),
                Err(SecretError::Empty) => return Ok(None),
                Err(error) => write_prompt(&format!("  it {error}: {}\n", error.help()))?,
            }
        }
    }

    fn read_without_echo(&self, question: &str) -> io::Result<String> {
        let before = tcgetattr(io::stdin())?;
        let mut now = before.clone();
        now.local_modes.remove(LocalModes::ECHO);
        // The newline is still echoed.
        now.local_modes.insert(LocalModes::ECHONL);
        {
            let mut saved = locked(&self.saved);
            set(&now);
            *saved = Some(SavedTermios { before, now, question: question.to_owned() });
        }
        let read = write_prompt(&format!("{question}: ")).and_then(|()| line());
        if let Some(saved) = locked(&self.saved).take() {
            set(&saved.before);
        }
        read
    }
}

fn line() -> io::Result<String> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line)? {
        0 => Err(io::ErrorKind::Interrupted.into()),
        _ => Ok(line),
    }
}

fn set(modes: &Termios) {
    // A closed terminal has no modes to set.
    tcsetattr(io::stdin(), OptionalActions::Now, modes).unwrap_or_default();
}

fn locked(saved: &Mutex<Option<SavedTermios>>) -> MutexGuard<'_, Option<SavedTermios>> {
    saved.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_prompt(text: &str) -> io::Result<()> {
    let mut err = io::stderr().lock();
    err.write_all(text.as_bytes())?;
    err.flush()
}
