//! A stored message as a person reads it: the text of a mail, JSON with line breaks.

use mail_parser::{Address, MessageParser};
use serde_json::Value;

/// The readable text of a message of that media type.
pub(crate) fn readable(content_type: &str, body: &[u8]) -> String {
    let as_json = || {
        let value = serde_json::from_slice::<Value>(body).ok()?;
        serde_json::to_string_pretty(&value).ok()
    };
    let text = if content_type == MAIL { mail_text(body) } else { as_json() };
    text.unwrap_or_else(|| raw(body))
}

/// The message as it is sent.
pub(crate) fn raw(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// The subject, the recipients and the text of a mail; `None` if it has no text.
fn mail_text(mail: &[u8]) -> Option<String> {
    let mail = MessageParser::default().parse(mail)?;
    let text = mail.body_text(0)?;
    let to = mail.to().map(Address::iter).into_iter().flatten();
    let to: Vec<&str> = to.filter_map(|address| address.address()).collect();
    let subject = mail.subject().unwrap_or_default();
    let text = text.replace("\r\n", "\n");
    Some(format!("Subject: {subject}\nTo: {}\n\n{}", to.join(", "), text.trim_end()))
}

const MAIL: &str = "message/rfc822";

#[cfg(test)]
mod tests {
    use super::*;

    const ENCODED: &str = "From: a@example.com\r\nTo: b@example.com\r\n\
        Subject: =?utf-8?b?WsO2ZSBpcyByZWFkeQ==?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/alternative; boundary=\"x\"\r\n\r\n\
        --x\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nZ=C3=B6e, \
        English is =\r\nready.\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>Z</p>\r\n--x--\r\n";

    #[test]
    fn a_mail_is_its_subject_and_its_plain_text() {
        let lines = ENCODED.replace("ready.\r\n--x", "ready.\r\n\r\nBye\r\n--x");
        let expected = "is ready\nTo: b@example.com\n\nZ\u{f6}e, English is ready.\n\nBye";
        assert!(readable(MAIL, lines.as_bytes()).ends_with(expected));
        let expected =
            "Subject: Z\u{f6}e is ready\nTo: b@example.com\n\nZ\u{f6}e, English is ready.";
        assert_eq!(readable(MAIL, ENCODED.as_bytes()), expected);
    }

    #[test]
    fn json_has_line_breaks_and_anything_else_is_unchanged() {
        assert_eq!(readable("application/json", br#"{"a":[1]}"#), "{\n  \"a\": [\n    1\n  ]\n}");
        assert_eq!(readable("application/json", b"{not json"), "{not json");
        assert_eq!(readable("text/plain", b"Jane is ready\xff"), "Jane is ready\u{fffd}");
    }
}
