//! Parses replies of mail servers (RFC 5321, section 4.2), tolerant of what real servers send.
//!
//! Only the three digits at the beginning of a line count, and a hyphen after them, which continues
//! the reply. The text may be missing, in any encoding and of any length; a line ends with LF. Pure
//! and bounded: bytes beyond the bounds are discarded.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify::email) struct Reply {
    /// Three digits; those of the last line when the lines differ.
    pub(in crate::notify::email) code: u16,
    /// The text of each line that has any.
    pub(in crate::notify::email) lines: Vec<String>,
}

/// Parses one reply from a stream of bytes.
#[derive(Debug, Default)]
pub(in crate::notify::email) struct ReplyReader {
    /// The current line, up to the bound.
    line: Vec<u8>,
    /// The lines before it.
    reply: Option<Reply>,
    /// The beginning of the lines without a code.
    noise: Vec<u8>,
    /// The number of bytes so far.
    read: usize,
}

impl Reply {
    pub(in crate::notify::email) fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// Whether the code is in the given hundred: 200, 300, 400 or 500.
    pub(in crate::notify::email) const fn is_of(&self, hundred: u16) -> bool {
        self.code / 100 * 100 == hundred
    }
}

impl ReplyReader {
    /// Parses up to the end of the reply. Returns the number of bytes used, and the reply when it
    /// is complete. Lines without a code are skipped.
    pub(in crate::notify::email) fn push(&mut self, bytes: &[u8]) -> (usize, Option<Reply>) {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let part = end.map_or(rest, |at| rest.get(..at).unwrap_or_default());
            let free = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend(part.iter().take(free));
            let count = part.len() + usize::from(end.is_some());
            used += count;
            self.read = self.read.saturating_add(count);
            if end.is_some() && self.end_line() {
                return (used, self.reply.take());
            }
        }
        (used, None)
    }

    /// Whether more bytes arrived than the limit of a reply.
    pub(in crate::notify::email) const fn is_flooded(&self) -> bool {
        self.read > REPLY_BYTES_MAX
    }

    /// The reply as far as it arrived; one line is enough for the code.
    ///
    /// # Errors
    /// When no line has a code: the beginning of the received bytes, which may be empty.
    pub(in crate::notify::email) fn finish(mut self) -> Result<Reply, Vec<u8>> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.reply.ok_or(self.noise)
    }

    /// Parses the current line. Returns whether it was the last one.
    fn end_line(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        let Some((code, continues, text)) = parts(&line) else {
            let free = NOISE_BYTES_MAX.saturating_sub(self.noise.len());
            self.noise.extend(line.iter().chain(b" ").take(free));
            return false;
        };
        let reply = self.reply.get_or_insert_with(|| Reply { code, lines: Vec::new() });
        reply.code = code;
        if reply.lines.len() < LINES_MAX && !text.is_empty() {
            reply.lines.push(text);
        }
        !continues
    }
}

/// The code of a line, whether the reply continues after it, and its text.
fn parts(line: &[u8]) -> Option<(u16, bool, String)> {
    // Skip the rest of an odd line end, a byte order mark, or Telnet commands.
    let start = line.iter().position(u8::is_ascii_graphic)?;
    let line = line.get(start..)?;
    let [hundreds, tens, ones, rest @ ..] = line else { return None };
    let mut code = 0;
    for byte in [hundreds, tens, ones] {
        code = code * 10 + u16::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    if rest.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let continues = rest.first() == Some(&b'-');
    let text = if continues { rest.get(1..).unwrap_or_default() } else { rest };
    Some((code, continues, decoded(text.trim_ascii())))
}

/// Decodes UTF-8, or Latin-1 where it is not valid UTF-8.
fn decoded(text: &[u8]) -> String {
    let latin = |_| text.iter().copied().map(char::from).collect();
    str::from_utf8(text).map_or_else(latin, str::to_owned)
}

/// RFC 5321, section 4.5.3.1.5, allows 512; some servers send more.
const LINE_BYTES_MAX: usize = 4096;
/// Lines that are kept.
const LINES_MAX: usize = 128;
/// Bytes that are kept of lines without a code.
const NOISE_BYTES_MAX: usize = 512;
/// The limit of one reply; a longer one ends the connection.
const REPLY_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> (Option<Reply>, usize) {
        let mut reader = ReplyReader::default();
        let (used, reply) = reader.push(bytes);
        (reply, used)
    }

    #[test]
    fn only_the_digits_count_and_the_text_is_arbitrary() {
        let check = |bytes: &[u8], code: u16, text: &str| {
            let (reply, used) = read(bytes);
            let reply = reply.unwrap_or_else(|| panic!("no reply in {bytes:?}"));
            assert_eq!((reply.code, reply.text().as_str()), (code, text), "for {bytes:?}");
            assert_eq!(used, bytes.len(), "for {bytes:?}");
        };
        check(b"250 2.0.0 ok\r\n", 250, "2.0.0 ok");
        check(b"250\r\n", 250, "");
        check(b"250 \r\n", 250, "");
        check(b"250\tok\r\n", 250, "ok");
        check(b"250 ok\n", 250, "ok");
        check(b"250 ok\r\r\n", 250, "ok");
        check(b"250=ok\r\n", 250, "=ok");
        check(b"250-a\r\n250 b\r\n", 250, "a b");
        check(b"250-\r\n250\r\n", 250, "");
        check(b"250-   \r\n250-\t\r\n250-\xc2\xa0\r\n250  \r\n", 250, "\u{a0}");
        check(b"250-2.0.0 queued\r\n250\r\n", 250, "2.0.0 queued");
        check(b"250-a\r\n550 b\r\n", 550, "a b");
        check(b"250 2.0.0 \xfcbernommen\r\n", 250, "2.0.0 übernommen");
        check("250 übernommen\r\n".as_bytes(), 250, "übernommen");
        check(b"250 a\0b\x1b\r\n", 250, "a\0b\x1b");
        check(b"\r\n \r\n220 late\r\n", 220, "late");
        check(b"220-hello\r\nand more\r\n220 you\r\n", 220, "hello you");
        check(b"\r220 odd ends\n", 220, "odd ends");
        check(b"\xef\xbb\xbf220 marked\r\n", 220, "marked");
        check(b"\xff\xfb\x01220 telnet\r\n", 220, "telnet");
        check(b"999 what\r\n", 999, "what");
        let long = [b"250 ".as_slice(), &vec![b'x'; 100_000], b"\r\n"].concat();
        check(&long, 250, &"x".repeat(LINE_BYTES_MAX - 4));
    }

    #[test]
    fn a_reply_ends_with_its_last_line() {
        assert_eq!(read(b"250 a\r\n354 b\r\n").1, 7);
        for open in [&b"250-a\r\n"[..], b"250 a", b"HTTP/1.1 400 Bad\r\n", b"2500 a\r\n", b"25\r\n"]
        {
            assert_eq!(read(open), (None, open.len()), "for {open:?}");
        }
    }

    #[test]
    fn kept_bytes_are_bounded() {
        let mut reader = ReplyReader::default();
        for _ in 0..10_000 {
            assert_eq!(reader.push(b"250-a line that goes on and on and on\r\n").1, None);
        }
        assert!(reader.is_flooded());
        let reply = reader.finish().unwrap();
        assert_eq!((reply.code, reply.lines.len()), (250, LINES_MAX));
        let mut reader = ReplyReader::default();
        reader.push(&vec![b'x'; REPLY_BYTES_MAX + 1]);
        assert!(reader.is_flooded() && reader.line.len() <= LINE_BYTES_MAX);
        assert!(reader.finish().unwrap_err().len() <= NOISE_BYTES_MAX);
    }

    fn garbage() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..200)
    }

    proptest! {
        #[test]
        fn pieces_parse_as_the_whole(bytes in garbage(), cut in 0usize..200) {
            let (whole, used) = read(&bytes);
            prop_assert!(used <= bytes.len());
            prop_assert!(whole.is_some() || used == bytes.len());
            let mut reader = ReplyReader::default();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let (begun, mut reply) = reader.push(first);
            if reply.is_none() {
                let (more, rest) = reader.push(second);
                prop_assert_eq!(begun + more, used);
                reply = rest;
            }
            prop_assert_eq!(&reply, &whole);
            if whole.is_none() {
                let _ = reader.finish();
            }
        }

        #[test]
        fn three_digits_always_count(code in 0u16..1000, text in garbage(), mark in "[- \t=x]?") {
            let mut bytes = format!("{code:03}{mark}").into_bytes();
            bytes.extend(text.iter().filter(|byte| **byte != b'\n'));
            // A fourth digit makes another number.
            prop_assume!(!bytes.get(3).is_some_and(u8::is_ascii_digit));
            let mut ended = bytes.clone();
            ended.push(b'\n');
            let mut reader = ReplyReader::default();
            let found = reader.push(&ended).1.map_or_else(|| reader.finish().ok(), Some);
            prop_assert_eq!(found.map(|reply| reply.code), Some(code));
            let mut reader = ReplyReader::default();
            reader.push(&bytes);
            prop_assert_eq!(reader.finish().map(|reply| reply.code), Ok(code));
        }
    }
}
