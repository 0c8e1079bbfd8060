//! The choices of a mail channel: threads, encryption, login.

/// Which mails a mail program shows together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threading {
    /// All mails about one avatar, one account or one channel.
    Avatar,
    /// Every mail is a thread of its own.
    None,
}

/// How a connection to a mail server is secured. There is no opportunistic mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// STARTTLS (RFC 3207), which is required before credentials and addresses are sent.
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// No TLS: only for a server on this machine.
    None,
}

impl SmtpTls {
    pub(crate) const fn default_port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}

/// How to log in to a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginMethod {
    /// With a password: `PLAIN`, else `LOGIN`.
    Password,
    /// With a token: `XOAUTH2`.
    Xoauth2,
}
