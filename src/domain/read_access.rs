//! What reading over HTTP takes: the page, the API, the metrics and the stream.

/// Who may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadAccess {
    /// Everybody on this machine; what a proxy passed on takes the token.
    Local,
    /// Only who shows the token.
    #[default]
    Token,
    /// Everybody, wherever the request comes from.
    Public,
}

impl ReadAccess {
    /// What holds where the config does not say. A listener beyond loopback is reached from other
    /// machines; names, and hints from Argil, come by a proxy, which other machines reach.
    pub const fn unless_configured(is_loopback: bool, has_hosts: bool, takes_hints: bool) -> Self {
        if is_loopback && !has_hosts && !takes_hints { Self::Local } else { Self::Token }
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Token => "token",
            Self::Public => "public",
        }
    }
}
