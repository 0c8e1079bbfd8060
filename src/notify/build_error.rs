//! Errors of building a channel; an attempt has an outcome instead.
//!
//! No text here contains a URL, an address or a secret.

use std::error::Error;

use crate::domain::delivery::ntfy_topic::NtfyTopicError;

/// A problem of the settings of a channel, which an operator has to fix.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the URL of the webhook is not valid")]
    Url(#[source] url::ParseError),
    #[error("the URL of a webhook must begin with `https://` or `http://` and name a host")]
    Scheme,
    #[error("the `proxy` of the webhook is not an `http` URL with a host")]
    Proxy,
    #[error("the header `{name}` of the webhook has a value that is not valid in a header")]
    HeaderValue { name: String },
    #[error("the certificates of `ca_file` cannot be read")]
    Certificates(#[source] Box<dyn Error + Send + Sync>),
    #[error("the URL names no topic")]
    Topic(#[source] NtfyTopicError),
    #[error("the HTTP client cannot be set up")]
    HttpClient(#[source] Box<dyn Error + Send + Sync>),
    #[error("the channel `{channel}` has no recipients")]
    NoRecipients { channel: String },
    #[error("`smtp.host` of the channel `{channel}` is not a host name: `{value}`")]
    HostName { channel: String, value: String },
    #[error("the channel `{channel}` cannot set up TLS")]
    Tls {
        channel: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
