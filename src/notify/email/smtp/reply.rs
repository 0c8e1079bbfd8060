//! Replies of a mail server, as RFC 5321, section 4.2, has them and as servers speak.
//!
//! Only the three digits at the beginning of a line count, and a hyphen behind them, which says
//! that the reply goes on. The text may be missing, in any encoding, of any length; a line ends
//! with LF. Pure, and bounded: what is beyond the bounds is read and forgotten.

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notify::email) struct Reply {
    /// Three digits; of a reply whose lines bear different ones, those of the last line.
    pub(in crate::notify::email) code: u16,
    /// The text of each line, where there is any to keep.
    pub(in crate::notify::email) lines: Vec<String>,
}

/// Reads one reply out of bytes as they come.
#[derive(Debug, Default)]
pub(in crate::notify::email) struct ReplyReader {
    /// The line that has begun, without what is beyond the bound.
    line: Vec<u8>,
    /// What the lines before it say.
    reply: Option<Reply>,
    /// The beginning of what bears no code.
    noise: Vec<u8>,
    /// All bytes so far.
    read: usize,
}

impl Reply {
    /// The text of all its lines.
    pub(in crate::notify::email) fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// Whether it is one of those hundred codes.
    pub(in crate::notify::email) const fn is_of(&self, hundred: u16) -> bool {
        self.code / 100 * 100 == hundred
    }
}

impl ReplyReader {
    /// Reads on, to the end of the reply at most: how much of `bytes` that was, and the reply, when
    /// its last line is among them. Lines that bear no code are passed over.
    pub(in crate::notify::email) fn push(&mut self, bytes: &[u8]) -> (usize, Option<Reply>) {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let part = end.map_or(rest, |at| rest.get(..at).unwrap_or_default());
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend(part.iter().take(room));
            let taken = part.len() + usize::from(end.is_some());
            used += taken;
            self.read = self.read.saturating_add(taken);
            if end.is_some() && self.end_line() {
                return (used, self.reply.take());
            }
        }
        (used, None)
    }

    /// Whether it has read more than any reply is long.
    pub(in crate::notify::email) const fn is_flooded(&self) -> bool {
        self.read > REPLY_BYTES_MAX
    }

    /// The reply as far as it came, when no more will come: one line is enough to tell the code.
    ///
    /// # Errors
    /// When no line bore a code: the beginning of what was said instead, which may be nothing.
    pub(in crate::notify::email) fn finish(mut self) -> Result<Reply, Vec<u8>> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.reply.ok_or(self.noise)
    }

    /// Takes the line in; whether it was the last one.
    fn end_line(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        let Some((code, goes_on, text)) = parts(&line) else {
            let room = NOISE_BYTES_MAX.saturating_sub(self.noise.len());
            self.noise.extend(line.iter().chain(b" ").take(room));
            return false;
        };
        let reply = self.reply.get_or_insert_with(|| Reply { code, lines: Vec::new() });
        reply.code = code;
        if reply.lines.len() < LINES_MAX && !text.is_empty() {
            reply.lines.push(text);
        }
        !goes_on
    }
}

/// The code of a line, whether the reply goes on after it, and its text.
fn parts(line: &[u8]) -> Option<(u16, bool, String)> {
    // Before the digits: what is left of an odd line end, a byte order mark, words of Telnet.
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
    let goes_on = rest.first() == Some(&b'-');
    let text = if goes_on { rest.get(1..).unwrap_or_default() } else { rest };
    Some((code, goes_on, decoded(text.trim_ascii())))
}

/// UTF-8 or, where it is none, Latin-1, which servers that know no better speak.
fn decoded(text: &[u8]) -> String {
    let latin = |_| text.iter().copied().map(char::from).collect();
    str::from_utf8(text).map_or_else(latin, str::to_owned)
}

/// RFC 5321, section 4.5.3.1.5, allows for 512; some servers tell stories.
const LINE_BYTES_MAX: usize = 4096;
/// As many lines are kept.
const LINES_MAX: usize = 128;
/// As much is kept of what is no reply.
const NOISE_BYTES_MAX: usize = 512;
/// So much is read of one reply; a server that says more is not listened to any more.
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
    fn only_the_digits_count_and_the_text_may_be_anything() {
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
    fn a_reply_ends_where_it_ends() {
        assert_eq!(read(b"250 a\r\n354 b\r\n").1, 7);
        for open in [&b"250-a\r\n"[..], b"250 a", b"HTTP/1.1 400 Bad\r\n", b"2500 a\r\n", b"25\r\n"]
        {
            assert_eq!(read(open), (None, open.len()), "for {open:?}");
        }
    }

    #[test]
    fn a_reply_that_is_cut_off_has_a_code_from_its_first_digits_on() {
        let finish = |bytes: &[u8]| {
            let mut reader = ReplyReader::default();
            assert_eq!(reader.push(bytes).1, None);
            reader.finish()
        };
        let code = |bytes: &[u8]| finish(bytes).unwrap().code;
        assert_eq!(code(b"250-"), 250);
        assert_eq!(code(b"250-\r\n"), 250);
        assert_eq!(code(b"250-a\r\n25"), 250);
        assert_eq!(code(b"250 2.0"), 250);
        assert_eq!(code(b"554"), 554);
        assert_eq!(finish(b""), Err(Vec::new()));
        assert_eq!(finish(b"HTTP/1.1 400 Bad\r\n"), Err(Vec::from(b"HTTP/1.1 400 Bad\r ")));
    }

    #[test]
    fn what_is_kept_is_bounded() {
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
        fn no_bytes_do_harm_and_pieces_read_as_the_whole(bytes in garbage(), cut in 0usize..200) {
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
