//! The errors of building a client. Failed polls are observations, not errors. No text contains the
//! key.

/// Why a client cannot be built; permanent until the settings change.
#[derive(Debug, thiserror::Error)]
pub enum ArgilError {
    /// The base URL cannot be asked for avatars.
    #[error("the base URL of the API {reason}")]
    BaseUrl {
        /// What is wrong with it, for people.
        reason: &'static str,
    },
    /// The key cannot be sent as a header.
    #[error("the API key {reason}")]
    Key {
        /// What is wrong with it, for people.
        reason: &'static str,
    },
}
