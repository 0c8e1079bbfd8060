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

/// Why a text is not a signing secret, as a sentence that never repeats the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SigningSecretError(String);

impl SigningSecret {
    /// Checks and takes a secret.
    ///
    /// # Errors
    /// When the text is not `whsec_` with 24 to 64 bytes in padded standard base64.
    pub fn parse(text: &str) -> Result<Self, SigningSecretError> {
        let error = |text: String| Err(SigningSecretError(text));
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return error(unprefixed(text).to_owned());
        };
        let Ok(bytes) = STANDARD.decode(encoded) else { return error(undecoded(encoded)) };
        match bytes.len() {
            BYTES_MIN..=BYTES_MAX => Ok(Self(bytes)),
            count => error(format!("it has {count} bytes; {BYTES_MIN} to {BYTES_MAX} are allowed")),
        }
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
fn unprefixed(text: &str) -> &'static str {
    let is_capital = |begin: &str| begin.eq_ignore_ascii_case(PREFIX);
    if text.trim() != text {
        BLANK
    } else if text.starts_with("v1,whsec_") {
        "it begins with `v1,`, which belongs to a signature; take that away"
    } else if text.starts_with("v1,") || text.starts_with("v1a,") {
        "it is a signature; the secret that makes signatures begins with `whsec_`"
    } else if text.starts_with("whsk_") || text.starts_with("whpk_") {
        "it is a key of the scheme `v1a`, which is not offered; a `whsec_` secret is"
    } else if text.get(..PREFIX.len()).is_some_and(is_capital) {
        "its `whsec_` is written in capitals; write it in small letters"
    } else {
        "it does not begin with `whsec_`"
    }
}

/// Guesses how a secret was damaged.
fn undecoded(encoded: &str) -> String {
    let padding = "=".repeat((4 - encoded.len() % 4) % 4);
    let guess = if encoded.trim() != encoded {
        BLANK
    } else if encoded.contains(PREFIX) {
        "it has `whsec_` in it twice; take one away"
    } else if encoded.contains(['-', '_']) {
        "it has `-` or `_` in it; the standard base64 alphabet has `+` and `/` instead"
    } else if STANDARD.decode(format!("{encoded}{padding}")).is_ok() {
        return format!("its end is missing; if only the padding is, write `{padding}` behind it");
    } else {
        "what stands behind `whsec_` is not base64 with its padding"
    };
    guess.to_owned()
}

const BLANK: &str = "it has a blank or a line break around it; take that away";
/// Bytes in a fresh secret: a multiple of three, so that there is no padding to lose.
pub const FRESH_BYTES: usize = 48;

const PREFIX: &str = "whsec_";
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn check(text: &str, expected: Result<usize, &str>) {
        let read = SigningSecret::parse(text).map(|secret| secret.key().len());
        let read = read.map_err(|error| error.to_string());
        match (&read, expected) {
            (Err(said), Err(begin)) => {
                assert!(said.starts_with(begin), "for `{text}`: {said}");
                assert!(!said.contains("C2FVs"), "a text repeats the secret");
            }
            (read, expected) => assert_eq!(*read, expected.map_err(str::to_owned), "for `{text}`"),
        }
    }

    #[test]
    fn secrets_are_checked_strictly() {
        check(&format!("whsec_{KEY}"), Ok(24));
        check(KEY, Err("it does not begin with `whsec_`"));
        check("whsec_C2FVsBQIhrscChlQIMV-b5sSYspob7oD", Err("it has `-` or `_` in it"));
        let base64 = Err("what stands behind `whsec_` is not base64");
        check("whsec_not base64!", base64);
        for (count, expected) in [
            (0, Err("it has 0 bytes; 24 to 64 are allowed")),
            (4, Err("it has 3 bytes; 24 to 64 are allowed")),
            (41, base64),
            (42, Err("its end is missing; if only the padding is, write `==` behind it")),
            (43, Err("its end is missing; if only the padding is, write `=` behind it")),
            (88, Err("it has 66 bytes; 24 to 64 are allowed")),
        ] {
            check(&format!("whsec_{}", "A".repeat(count)), expected);
        }
        check(&format!("whsec_{}=", "A".repeat(43)), Ok(32));
    }

    #[test]
    fn pasting_errors_are_recognized() {
        let (signature, scheme) =
            (Err("it is a signature"), Err("it is a key of the scheme `v1a`"));
        let (blank, no_prefix) = (Err(BLANK), Err("it does not begin with `whsec_`"));
        check(&format!("v1,whsec_{KEY}"), Err("it begins with `v1,`"));
        check("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=", signature);
        check("v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5B", signature);
        check(&format!("whsk_{KEY}"), scheme);
        check(&format!("whpk_{KEY}"), scheme);
        check(&format!("WHSEC_{KEY}"), Err("its `whsec_` is written in capitals"));
        check(&format!("whsec_whsec_{KEY}"), Err("it has `whsec_` in it twice"));
        check(&format!(" whsec_{KEY}"), blank);
        check(&format!("whsec_{KEY}\n"), blank);
        check(&format!("whsec_ {KEY}"), blank);
        check(&format!("'whsec_{KEY}'"), no_prefix);
        check("é", no_prefix);
    }

    #[test]
    fn a_fresh_secret_reads_back_and_needs_no_padding() {
        let fresh = SigningSecret::from_random([7; FRESH_BYTES]);
        assert_eq!(SigningSecret::parse(&fresh.reveal()), Ok(fresh.clone()));
        assert!(!fresh.reveal().contains('='));
        assert_eq!(format!("{fresh:?}"), "***");
    }
}
