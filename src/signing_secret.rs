//! A signing secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in standard base64
//! (specification 1.0.0, "Signature scheme").
//!
//! Checked strictly, because receivers' libraries disagree about anything odd: one drops
//! URL-safe characters and so signs with another key, one refuses missing padding.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The key bytes; never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SigningSecret(Vec<u8>);

/// Why a text is not a signing secret; never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningSecretError {
    /// A blank or a line break before or after it.
    #[error("it has a blank or a line break around it; take that away")]
    Blank,
    /// The version of a signature before it.
    #[error("it begins with `v1,`, which belongs to a signature; take that away")]
    Versioned,
    /// A signature is no secret.
    #[error("it is a signature; the secret that makes signatures begins with `whsec_`")]
    Signature,
    /// A key of the other scheme, which no published library verifies.
    #[error("it is a key of the scheme `v1a`, which is not offered; a `whsec_` secret is")]
    KeyPair,
    /// The prefix is missing.
    #[error("it does not begin with `whsec_`")]
    Prefix,
    /// The prefix in other case.
    #[error("its `whsec_` is written in capitals; write it in small letters")]
    Capitals,
    /// The prefix twice.
    #[error("it has `whsec_` in it twice; take one away")]
    Twice,
    /// The URL-safe alphabet was used.
    #[error("it has `-` or `_` in it; the standard base64 alphabet has `+` and `/` instead")]
    UrlSafe,
    /// The padding is gone, and maybe more.
    #[error("its end is missing; if only the padding is, write `{}` behind it", "=".repeat(*.0))]
    Padding(usize),
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
        let encoded = text.strip_prefix(PREFIX).ok_or_else(|| unprefixed(text))?;
        let bytes = STANDARD.decode(encoded).map_err(|_| undecoded(encoded))?;
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

/// Guesses what a text is that is not a secret.
fn unprefixed(text: &str) -> SigningSecretError {
    let is_capital = |begin: &str| begin.eq_ignore_ascii_case(PREFIX);
    if text.trim() != text {
        SigningSecretError::Blank
    } else if text.starts_with("v1,whsec_") {
        SigningSecretError::Versioned
    } else if text.starts_with("v1,") || text.starts_with("v1a,") {
        SigningSecretError::Signature
    } else if text.starts_with("whsk_") || text.starts_with("whpk_") {
        SigningSecretError::KeyPair
    } else if text.get(..PREFIX.len()).is_some_and(is_capital) {
        SigningSecretError::Capitals
    } else {
        SigningSecretError::Prefix
    }
}

/// Guesses how a secret was damaged.
fn undecoded(encoded: &str) -> SigningSecretError {
    if encoded.trim() != encoded {
        return SigningSecretError::Blank;
    }
    if encoded.contains(PREFIX) {
        return SigningSecretError::Twice;
    }
    if encoded.contains(['-', '_']) {
        return SigningSecretError::UrlSafe;
    }
    let padding = (4 - encoded.len() % 4) % 4;
    let padded = format!("{encoded}{}", "=".repeat(padding));
    if STANDARD.decode(padded).is_ok() {
        return SigningSecretError::Padding(padding);
    }
    SigningSecretError::Base64
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
        check(&format!("whsec_{}", "A".repeat(43)), Err(SigningSecretError::Padding(1)));
        check(&format!("whsec_{}", "A".repeat(42)), Err(SigningSecretError::Padding(2)));
        check(&format!("whsec_{}", "A".repeat(41)), Err(SigningSecretError::Base64));
        check(&format!("whsec_{}", "A".repeat(88)), Err(SigningSecretError::Length(66)));
        check("whsec_not base64!", Err(SigningSecretError::Base64));
    }

    #[test]
    fn pasting_errors_are_recognized() {
        const KEY: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let check = |text: &str, expected: SigningSecretError| {
            assert_eq!(SigningSecret::parse(text), Err(expected), "for `{text}`");
            assert!(!expected.to_string().contains("C2FVs"), "a text repeats the secret");
        };
        check(&format!("v1,whsec_{KEY}"), SigningSecretError::Versioned);
        check("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=", SigningSecretError::Signature);
        check("v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5B", SigningSecretError::Signature);
        check(&format!("whsk_{KEY}"), SigningSecretError::KeyPair);
        check(&format!("whpk_{KEY}"), SigningSecretError::KeyPair);
        check(&format!("WHSEC_{KEY}"), SigningSecretError::Capitals);
        check(&format!("whsec_whsec_{KEY}"), SigningSecretError::Twice);
        check(&format!(" whsec_{KEY}"), SigningSecretError::Blank);
        check(&format!("whsec_{KEY}\n"), SigningSecretError::Blank);
        check(&format!("whsec_ {KEY}"), SigningSecretError::Blank);
        check(&format!("'whsec_{KEY}'"), SigningSecretError::Prefix);
        check("é", SigningSecretError::Prefix);
        let lost = SigningSecret::parse(&format!("whsec_{}", "A".repeat(42))).unwrap_err();
        assert!(lost.to_string().ends_with("write `==` behind it"), "{lost}");
    }

    #[test]
    fn a_fresh_secret_reads_back_and_needs_no_padding() {
        let fresh = SigningSecret::from_random([7; FRESH_BYTES]);
        assert_eq!(SigningSecret::parse(&fresh.reveal()), Ok(fresh.clone()));
        assert!(!fresh.reveal().contains('='));
        assert_eq!(format!("{fresh:?}"), "***");
    }
}
