//! A signing secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in standard base64
//! (specification 1.0.0, "Signature scheme").
//!
//! Checked strictly, because receivers' libraries disagree about anything odd: one drops
//! URL-safe characters and so signs with another key, one refuses missing padding.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The bytes that sign; they never show themselves.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

/// Why a text is no signing secret; never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningSecretError {
    /// A signature's version stands before it.
    #[error("it begins with `v1,`, which belongs to a signature; take that away")]
    Versioned,
    /// The prefix is missing.
    #[error("it does not begin with `whsec_`")]
    Prefix,
    /// The URL-safe alphabet was used.
    #[error("it has `-` or `_` in it; the standard base64 alphabet has `+` and `/` instead")]
    UrlSafe,
    /// No base64.
    #[error("what stands behind `whsec_` is not base64 with its padding")]
    Base64,
    /// Too few or too many bytes.
    #[error("it has {0} bytes; {BYTES_MIN} to {BYTES_MAX} are allowed")]
    Length(usize),
}

impl SigningSecret {
    /// Checks and takes a secret.
    ///
    /// # Errors
    /// When the text is not `whsec_` with 24 to 64 bytes in padded standard base64.
    pub fn parse(text: &str) -> Result<Self, SigningSecretError> {
        if text.starts_with("v1,") {
            return Err(SigningSecretError::Versioned);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(SigningSecretError::Prefix)?;
        if encoded.contains(['-', '_']) {
            return Err(SigningSecretError::UrlSafe);
        }
        let bytes = STANDARD.decode(encoded).map_err(|_| SigningSecretError::Base64)?;
        if !(BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) {
            return Err(SigningSecretError::Length(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// A secret of these random bytes, which need no padding.
    pub fn from_random(bytes: [u8; FRESH_BYTES]) -> Self {
        Self(bytes.to_vec())
    }

    /// The key bytes. Only for the line that signs.
    pub fn key(&self) -> &[u8] {
        &self.0
    }

    /// The secret as it is handed to people, with its prefix.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Bytes in a fresh secret: a multiple of three, so that there is no padding to lose.
pub const FRESH_BYTES: usize = 48;

const PREFIX: &str = "whsec_";
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_checked_strictly() {
        let check = |text: &str, expected: Result<usize, SigningSecretError>| {
            let read = SigningSecret::parse(text).map(|secret| secret.key().len());
            assert_eq!(read, expected, "for `{text}`");
        };
        check("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", Ok(24));
        check("v1,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", Err(SigningSecretError::Versioned));
        check("C2FVsBQIhrscChlQIMV+b5sSYspob7oD", Err(SigningSecretError::Prefix));
        check("whsec_C2FVsBQIhrscChlQIMV-b5sSYspob7oD", Err(SigningSecretError::UrlSafe));
        check("whsec_AAAA", Err(SigningSecretError::Length(3)));
        check("whsec_", Err(SigningSecretError::Length(0)));
        check(&format!("whsec_{}=", "A".repeat(43)), Ok(32));
        check(&format!("whsec_{}", "A".repeat(43)), Err(SigningSecretError::Base64));
        check(&format!("whsec_{}", "A".repeat(88)), Err(SigningSecretError::Length(66)));
        check("whsec_not base64!", Err(SigningSecretError::Base64));
    }

    #[test]
    fn a_fresh_secret_reads_back_and_needs_no_padding() {
        let fresh = SigningSecret::from_random([7; FRESH_BYTES]);
        assert_eq!(SigningSecret::parse(&fresh.reveal()), Ok(fresh.clone()));
        assert!(!fresh.reveal().contains('='));
        assert_eq!(format!("{fresh:?}"), "***");
    }
}
