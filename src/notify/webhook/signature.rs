//! The signature of a message (Standard Webhooks 1.0.0, scheme `v1`), and the fingerprint of a
//! target.
//!
//! The signed bytes are exactly the sent bytes. `v1a` is not supported: no published library
//! verifies it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::domain::time::timestamp::Timestamp;
use crate::signing_secret::SigningSecret;

/// The value of `webhook-signature`: one `v1,<base64>` for each secret, separated by exactly one
/// space, since one published verifier fails on two. `None` without a secret.
pub fn sign(id: &str, now: Timestamp, body: &[u8], secrets: &[SigningSecret]) -> Option<String> {
    let tokens: Vec<String> =
        secrets.iter().filter_map(|secret| token(id, now, body, secret)).collect();
    (!tokens.is_empty()).then(|| tokens.join(" "))
}

/// A short, stable identifier of a target that does not reveal it: the first hex digits of the
/// SHA-256 of `parts`.
pub fn fingerprint(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    digits.chars().take(FINGERPRINT_DIGITS).collect()
}

fn token(id: &str, now: Timestamp, body: &[u8], secret: &SigningSecret) -> Option<String> {
    // HMAC takes a key of any length (RFC 2104), so `ok` never drops one.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.key()).ok()?;
    mac.update(format!("{id}.{}.", now.as_seconds()).as_bytes());
    mac.update(body);
    Some(format!("{VERSION},{}", STANDARD.encode(mac.finalize().into_bytes())))
}

const VERSION: &str = "v1";
const FINGERPRINT_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const BODY: &str = r#"{"email":"test@example.com","username":"test_user"}"#;
    const NOW: Timestamp = Timestamp::from_millis(1_649_367_553_999);

    fn secrets(texts: &[&str]) -> Vec<SigningSecret> {
        texts.iter().map(|text| SigningSecret::parse(text).unwrap()).collect()
    }

    #[test]
    fn the_vector_of_the_standard_comes_out() {
        assert_eq!(
            sign(ID, NOW, BODY.as_bytes(), &secrets(&[SECRET])).unwrap(),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
    }

    #[test]
    fn each_secret_signs_as_the_published_library_does() {
        let body = "{\"name\":\"Zoë 🎬\"}";
        let ours = sign(ID, NOW, body.as_bytes(), &secrets(&[SECRET, OTHER])).unwrap();
        let theirs: Vec<String> = [SECRET, OTHER]
            .iter()
            .map(|secret| {
                let hook = standardwebhooks::Webhook::new(secret).unwrap();
                hook.sign(ID, NOW.as_seconds(), body.as_bytes()).unwrap()
            })
            .collect();
        assert_eq!(ours, theirs.join(" "));
        assert_eq!(sign(ID, NOW, body.as_bytes(), &[]), None);
    }

    #[test]
    fn a_fingerprint_is_stable_short_and_differs_by_target() {
        let one = fingerprint(&["webhook", "https://hooks.example.com/h/1"]);
        assert_eq!(one.len(), FINGERPRINT_DIGITS);
        assert_eq!(one, fingerprint(&["webhook", "https://hooks.example.com/h/1"]));
        assert_ne!(one, fingerprint(&["webhook", "https://hooks.example.com/h/2"]));
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
    }
}
