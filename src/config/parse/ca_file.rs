//! `ca_file`: certificates to trust besides those of the system.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::parse::field::{Field, shown};
use crate::text::encoding::{EncodingError, decode};

/// Reads a PEM file; all of its certificates must be valid, and there must be at least one.
pub(in crate::config) fn read(field: &Field<'_>) -> Option<Vec<u8>> {
    let path = field.reader.resolve(field.text()?);
    let place = shown(&path.display().to_string());
    let words = format!("is `{place}`, which ");
    let (bytes, _) = field.file(&path, &words)?;
    // A mark before the first line would hide it.
    let text = match decode(&bytes) {
        Ok(text) => text.as_bytes(),
        Err(EncodingError::Unknown { .. }) if bytes.starts_with(DER_SEQUENCE) => {
            let message = format!("{words}is a certificate in DER, not in PEM");
            let help = "convert it: `openssl x509 -inform der -in FILE -out FILE.pem`";
            return field.invalid(message, help);
        }
        // Notes between the certificates may be in any encoding.
        Err(EncodingError::Unknown { .. }) => bytes.as_slice(),
        Err(fault) => return field.invalid(format!("{words}{fault}"), fault.help()),
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let good = certificate.is_ok_and(|certificate| store.add(certificate).is_ok());
        if !good {
            let message = format!("{words}has a damaged certificate in it");
            return field.invalid(message, "copy the file again, whole and as PEM");
        }
    }
    if store.is_empty() {
        let message = format!("{words}has no PEM certificate in it");
        let help = "name a file with `-----BEGIN CERTIFICATE-----` in it";
        return field.invalid(message, help);
    }
    Some(text.to_vec())
}

/// How a certificate in DER begins: a sequence with a length of two bytes (X.690, section 8.1).
const DER_SEQUENCE: &[u8] = &[0x30, 0x82];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::file::tests::check_hook;

    #[test]
    fn only_whole_certificates_are_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let path = path.to_str().unwrap();
        let check = |bytes: &[u8], said: &str| {
            fs::write(path, bytes).unwrap();
            let said = match said {
                "" => String::new(),
                said => format!("is `{path}`, which {said}"),
            };
            check_hook(&format!("ca_file = '{path}'"), "ca_file", &said);
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["h.example".to_owned()]).unwrap();
        let good = parameters.clone().self_signed(&key).unwrap().pem();
        check(good.as_bytes(), "");
        check(format!("# ours\n{good}\n{good}").as_bytes(), "");
        let none = "has no PEM certificate in it\n  \
                    help: name a file with `-----BEGIN CERTIFICATE-----` in it";
        check(b"", none);
        check(key.serialize_pem().as_bytes(), none);
        let damaged =
            "has a damaged certificate in it\n  help: copy the file again, whole and as PEM";
        check(b"-----BEGIN CERTIFICATE-----\nxx\n", damaged);
        check(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", damaged);
        check(&good.as_bytes()[..good.len() / 2], damaged);
        check(format!("\u{feff}{good}").as_bytes(), "");
        let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let help = EncodingError::Utf16.help();
        check(&wide, &format!("is in UTF-16, not in UTF-8\n  help: {help}"));
        check(
            parameters.self_signed(&key).unwrap().der(),
            "is a certificate in DER, not in PEM\n  \
             help: convert it: `openssl x509 -inform der -in FILE -out FILE.pem`",
        );
    }
}
