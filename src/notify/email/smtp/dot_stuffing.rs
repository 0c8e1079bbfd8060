//! Dot stuffing of a message (RFC 5321, section 4.5.2).
//!
//! Invariants: every line ends with CRLF, there is no bare CR or LF, and no line begins with a
//! single dot, so that nothing inside a message ends it or becomes a command.

/// The message without the final dot.
pub(in crate::notify::email) fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 32 + 2);
    let mut at_start = true;
    let mut bytes = message.iter().peekable();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {
                if byte == b'\r' {
                    bytes.next_if_eq(&&b'\n');
                }
                out.extend_from_slice(CRLF);
                at_start = true;
            }
            _ => {
                if at_start && byte == b'.' {
                    out.push(b'.');
                }
                out.push(byte);
                at_start = false;
            }
        }
    }
    if !at_start {
        out.extend_from_slice(CRLF);
    }
    out
}

const CRLF: &[u8] = b"\r\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_end_with_crlf_and_dots_are_doubled() {
        let check = |message: &[u8], expected: &[u8]| {
            assert_eq!(dot_stuffed(message), expected, "for {message:?}");
        };
        check(b"a\r\nb\r\n", b"a\r\nb\r\n");
        check(b"a", b"a\r\n");
        check(b".\r\n..\r\na.b\r\n", b"..\r\n...\r\na.b\r\n");
        check(b"a\n.\nQUIT\n", b"a\r\n..\r\nQUIT\r\n");
        check(b"a\r.\rb", b"a\r\n..\r\nb\r\n");
        check(b"a\r\r\nb", b"a\r\n\r\nb\r\n");
        check(b"a\n\rb", b"a\r\n\r\nb\r\n");
        check(b"a\r\n\r\n", b"a\r\n\r\n");
        check(b"", b"");
    }

    /// The inverse, as servers apply it.
    fn unstuffed(data: &[u8]) -> Vec<u8> {
        let lines = data.split_inclusive(|byte| *byte == b'\n');
        lines.flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect()
    }

    proptest! {
        #[test]
        fn nothing_in_a_message_ends_it(message in "([a.]|\\r|\\n|\\r\\n){0,60}") {
            let message = message.into_bytes();
            let data = dot_stuffed(&message);
            prop_assert!(data.is_empty() || data.ends_with(b"\r\n"));
            let text = String::from_utf8(data.clone()).unwrap();
            for line in text.split("\r\n") {
                prop_assert!(!line.contains(['\r', '\n']));
                prop_assert!(line != "." && (!line.starts_with('.') || line.starts_with("..")));
            }
            // A message with valid line ends arrives unchanged.
            prop_assert_eq!(dot_stuffed(&unstuffed(&data)), data.clone());
            let written = String::from_utf8(message.clone()).unwrap();
            let has_lines = !written.replace("\r\n", "").contains(['\r', '\n']);
            if has_lines && (written.is_empty() || written.ends_with("\r\n")) {
                prop_assert_eq!(unstuffed(&data), message);
            }
        }
    }
}
