//! A secret string: a key, a password, a URL that is a credential. `Debug` prints `***`, there is
//! no `Display`, and it is exposed only where it is sent.

use std::fmt;

use crate::files::program::Program;

/// A string that must not be shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps a string.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Exposes the secret. Only for the line that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A password or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// A text from the config.
    Given(Secret),
    /// The output of this program, which is run for every attempt, without a shell.
    Command(Program),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }
}
