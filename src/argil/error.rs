//! Why a client of the Argil API cannot be built.
//!
//! Only building fails: a look that fails is an observation. The key is in no text.

/// Why there is no client; trying again does not help, the settings must change.
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
