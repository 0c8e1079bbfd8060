//! The questions of `avatar-watch init` on a terminal. A secret is not shown while it is typed.
//!
//! A line is read as the terminal gives it, so its own keys for editing work. Whatever ends or
//! stops the program amid a secret, the terminal is as it was.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::secret::Secret;
use crate::text::secret_text::{SecretError, SecretKind, clean};

/// Whether anyone can be asked.
pub fn someone_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whoever asks.
#[derive(Debug)]
pub struct Asker {
    quiet: Arc<Mutex<Option<Quiet>>>,
}

/// A terminal that shows nothing of what is typed.
#[derive(Debug)]
struct Quiet {
    before: Termios,
    now: Termios,
    question: String,
}

impl Asker {
    /// Makes ready to ask. From now on a signal finds the terminal as it was, before it does what
    /// it always does.
    ///
    /// # Errors
    /// When the system refuses what it takes.
    pub fn new() -> io::Result<Self> {
        let quiet = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&quiet);
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP])?;
        let watch = move || {
            for signal in signals.forever() {
                let quiet = locked(&shared);
                if let Some(quiet) = quiet.as_ref() {
                    set(&quiet.before);
                }
                // One that cannot be done would leave the program as it is.
                drop(emulate_default_handler(signal));
                // It was stopped, and goes on.
                if let Some(quiet) = quiet.as_ref() {
                    set(&quiet.now);
                    drop(say(&format!("\n{}: ", quiet.question)));
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
        Ok(Self { quiet })
    }

    /// Asks until the answer is good; an empty one always is.
    ///
    /// # Errors
    /// When the one who is asked ends it, or has gone.
    pub fn ask(
        &self,
        question: &str,
        good: impl Fn(&str) -> Result<(), String>,
    ) -> io::Result<String> {
        loop {
            say(&format!("{question}: "))?;
            let answer = line()?;
            match good(answer.trim()) {
                _ if answer.trim().is_empty() => return Ok(String::new()),
                Ok(()) => return Ok(answer.trim().to_owned()),
                Err(reason) => say(&format!("  {reason}\n"))?,
            }
        }
    }

    /// Asks for a secret of that kind until the answer is one; `None` when nothing is typed.
    ///
    /// # Errors
    /// When the one who is asked ends it, or has gone.
    pub fn ask_secret(&self, question: &str, kind: SecretKind) -> io::Result<Option<Secret>> {
        loop {
            let typed = self.typed_unseen(question)?;
            match clean(typed.trim().as_bytes(), kind) {
                Ok(text) => return Ok(Some(Secret::new(text))),
                Err(SecretError::Empty) => return Ok(None),
                Err(fault) => say(&format!("  it {fault}: {}\n", fault.help()))?,
            }
        }
    }

    fn typed_unseen(&self, question: &str) -> io::Result<String> {
        let before = tcgetattr(io::stdin())?;
        let mut now = before.clone();
        now.local_modes.remove(LocalModes::ECHO);
        // The end of the line is shown all the same.
        now.local_modes.insert(LocalModes::ECHONL);
        {
            let mut quiet = locked(&self.quiet);
            set(&now);
            *quiet = Some(Quiet { before, now, question: question.to_owned() });
        }
        let read = say(&format!("{question}: ")).and_then(|()| line());
        if let Some(quiet) = locked(&self.quiet).take() {
            set(&quiet.before);
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
    // A terminal that has gone needs no setting.
    tcsetattr(io::stdin(), OptionalActions::Now, modes).unwrap_or_default();
}

fn locked(quiet: &Mutex<Option<Quiet>>) -> MutexGuard<'_, Option<Quiet>> {
    quiet.lock().unwrap_or_else(PoisonError::into_inner)
}

fn say(text: &str) -> io::Result<()> {
    let mut err = io::stderr().lock();
    err.write_all(text.as_bytes())?;
    err.flush()
}
