//! What reading over HTTP requires: the page, the API, the metrics and the stream.

/// Who may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadAccess {
    /// All users of this machine; requests that a proxy forwarded require the token.
    Local,
    /// Only requests with the token.
    #[default]
    Token,
    /// Every request.
    Public,
}

impl ReadAccess {
    /// The default. A listener beyond loopback is reached from other machines; host names, and
    /// hints from Argil, imply a proxy, which other machines reach.
    pub const fn unless_configured(is_loopback: bool, has_hosts: bool, takes_hints: bool) -> Self {
        if is_loopback && !has_hosts && !takes_hints { Self::Local } else { Self::Token }
    }
}
