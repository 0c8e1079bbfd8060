//! The questions of `avatar-watch init` on a terminal. A secret is not shown while it is typed.
//!
//! A line is read as the terminal gives it, so its own keys for editing work. What is not shown is
//! read byte by byte, so that Ctrl-C finds the terminal as it was.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::secret::Secret;

/// Whether anyone can be asked.
pub fn someone_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks until the answer is good; an empty one always is.
///
/// # Errors
/// When the one who is asked ends it, or has gone.
pub fn ask(question: &str, good: impl Fn(&str) -> Result<(), String>) -> io::Result<String> {
    loop {
        say(&format!("{question}: "))?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let answer = line.trim();
        match good(answer) {
            _ if answer.is_empty() => return Ok(String::new()),
            Ok(()) => return Ok(answer.to_owned()),
            Err(reason) => say(&format!("  {reason}\n"))?,
        }
    }
}

/// Asks for a secret; `None` when nothing is typed.
///
/// # Errors
/// When the one who is asked ends it, or has gone.
pub fn ask_secret(question: &str) -> io::Result<Option<Secret>> {
    let quiet = Quiet::begin()?;
    say(&format!("{question}: "))?;
    let read = read_unshown();
    drop(quiet);
    say("\n")?;
    let text = String::from_utf8(read?).map_err(io::Error::other)?;
    let text = text.trim();
    Ok((!text.is_empty()).then(|| Secret::new(text)))
}

fn read_unshown() -> io::Result<Vec<u8>> {
    let mut typed = Vec::new();
    for byte in io::stdin().lock().bytes() {
        match byte? {
            b'\r' | b'\n' => return Ok(typed),
            CTRL_C | CTRL_D => break,
            BACKSPACE | DELETE => drop(typed.pop()),
            byte => typed.push(byte),
        }
        if typed.len() > TYPED_MAX {
            break;
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Now, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that has gone needs no setting back.
        tcsetattr(io::stdin(), OptionalActions::Now, &self.0).unwrap_or_default();
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut err = io::stderr().lock();
    err.write_all(text.as_bytes())?;
    err.flush()
}

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;
/// Bytes of a secret that are read at most.
const TYPED_MAX: usize = 4096;
