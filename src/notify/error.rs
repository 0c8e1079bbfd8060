//! Why a channel cannot be built. A try has no errors: it has an outcome.
//!
//! No text here shows a URL, an address or a secret.

use std::error::Error;

use crate::domain::delivery::ntfy_topic::NtfyTopicError;

/// What is wrong with the settings of a channel; only a human can mend it.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The text is no URL at all.
    #[error("the URL of the webhook cannot be read")]
    Url(#[source] url::ParseError),
    /// A URL that no webhook can have.
    #[error("the URL of a webhook begins with `https://` or `http://` and names a host")]
    Scheme,
    /// A proxy that cannot be one.
    #[error("the `proxy` of the webhook is no `http` URL with a host")]
    Proxy,
    /// The value of a header that cannot stand in one.
    #[error("the header `{name}` of the webhook has a value that cannot stand in a header")]
    HeaderValue {
        /// The name of the header.
        name: String,
    },
    /// Certificates that cannot be read.
    #[error("the certificates of `ca_file` cannot be read")]
    Certificates(#[source] Box<dyn Error + Send + Sync>),
    /// A URL that no ntfy server has.
    #[error("the URL names no topic")]
    Topic(#[source] NtfyTopicError),
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up")]
    HttpClient(#[source] Box<dyn Error + Send + Sync>),
    /// Nobody to write to.
    #[error("the channel `{channel}` has no recipients")]
    NoRecipients {
        /// The name of the channel.
        channel: String,
    },
    /// A name that is no name of a host.
    #[error("`{key}` of the channel `{channel}` is no name of a host: `{value}`")]
    HostName {
        /// The name of the channel.
        channel: String,
        /// Which setting it is.
        key: &'static str,
        /// What stands there.
        value: String,
    },
    /// Certificates that cannot be read, or no TLS at all.
    #[error("the channel `{channel}` cannot set up TLS")]
    Tls {
        /// The name of the channel.
        channel: String,
        /// What is wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
