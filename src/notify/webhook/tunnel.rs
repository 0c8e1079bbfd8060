//! A tunnel through a proxy (RFC 9110, section 9.3.6), opened by hand: to see how far TLS comes
//! without sending anything, and to learn what a proxy said that refused one. The HTTP client,
//! which opens those that messages go through, does not tell.

use std::io;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::content_coding;

/// What came of asking for a tunnel.
pub(in crate::notify) enum TunnelReply {
    /// It is open.
    Open(TcpStream),
    /// It is not.
    Refused(TunnelRefusal),
}

/// What a proxy said instead of opening a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::notify) struct TunnelRefusal {
    /// The status of its answer; `None` when it was none of HTTP. One of 200 came with a page.
    pub(in crate::notify) status: Option<u16>,
    /// What it said: the body of its answer without its codings, or the bytes that are no answer.
    pub(in crate::notify) said: Vec<u8>,
    /// The schemes of authentication that it asks for, in lower case.
    pub(in crate::notify) schemes: Vec<String>,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// With names in lower case; those that are no text are left out.
    headers: Vec<(String, String)>,
    /// How many bytes it has.
    length: usize,
}

/// Asks for a tunnel to `authority`, with that login, which is ready for its header.
///
/// # Errors
/// When the connection breaks before there is an answer.
pub(in crate::notify) async fn request_tunnel(
    mut stream: TcpStream,
    authority: &str,
    login: Option<&str>,
) -> io::Result<TunnelReply> {
    let login = login.map(|login| format!("Proxy-Authorization: Basic {login}\r\n"));
    let request = format!(
        "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n",
        login.unwrap_or_default()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let head = loop {
        match Head::parse(&answer) {
            // An interim answer: another one follows (RFC 9110, section 15.2).
            Ok(Status::Complete(head)) if (100..200).contains(&head.status) => {
                answer.drain(..head.length);
            }
            Ok(Status::Complete(head)) => break Some(head),
            Ok(Status::Partial) if answer.len() < ANSWER_BYTES_MAX => {
                if stream.read_buf(&mut answer).await? == 0 {
                    break None;
                }
            }
            Ok(Status::Partial) | Err(_) => break None,
        }
    };
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut body = answer.split_off(head.as_ref().map_or(0, |head| head.length));
    if head.as_ref().is_some_and(|head| (200..300).contains(&head.status)) {
        // Behind an open tunnel nobody speaks before we do.
        if body.is_empty() {
            let _ = timeout(SILENCE, stream.read_buf(&mut body)).await;
        }
        if body.is_empty() {
            return Ok(TunnelReply::Open(stream));
        }
    }
    // What came until then is kept.
    let _ = timeout(SILENCE, rest(&mut stream, &mut body)).await;
    Ok(TunnelReply::Refused(match head {
        Some(head) => head.refusal(&body),
        None => TunnelRefusal { said: body, ..TunnelRefusal::default() },
    }))
}

impl Head {
    /// Reads the head of an answer, as far as it came.
    ///
    /// # Errors
    /// When it is none of HTTP.
    fn parse(answer: &[u8]) -> Result<Status<Self>, httparse::Error> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        Ok(match head.parse(answer)? {
            Status::Partial => Status::Partial,
            Status::Complete(length) => Status::Complete(Self {
                status: head.code.unwrap_or_default(),
                headers: head.headers.iter().filter_map(text).collect(),
                length,
            }),
        })
    }

    /// What it says together with its body, as far as that came.
    fn refusal(&self, body: &[u8]) -> TunnelRefusal {
        let chunked = self.values("transfer-encoding").any(|it| it.eq_ignore_ascii_case("chunked"));
        let coded = if chunked { unchunked(body) } else { body.to_vec() };
        let codings = self.values("content-encoding");
        let decoded = content_coding::decode(codings, &coded, ANSWER_BYTES_MAX);
        TunnelRefusal {
            status: Some(self.status),
            said: decoded.map(|decoded| decoded.bytes).unwrap_or_default(),
            schemes: schemes(self.values("proxy-authenticate")),
        }
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let fits = move |(it, _): &&(String, String)| it.as_str() == name;
        self.headers.iter().filter(fits).map(|(_, value)| value.as_str())
    }
}

/// The schemes of the challenges in `Proxy-Authenticate` (RFC 9110, section 11.6.1), in lower
/// case; each once.
pub(in crate::notify) fn schemes<'v>(values: impl Iterator<Item = &'v str>) -> Vec<String> {
    let mut schemes: Vec<String> = Vec::new();
    // A comma within quotes tears a parameter apart; what follows it is no name of a scheme, or
    // does no harm.
    for part in values.flat_map(|value| value.split(',')) {
        let scheme = part.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        let is_token = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let fits = (1..=SCHEME_BYTES_MAX).contains(&scheme.len()) && is_token;
        if fits && schemes.len() < SCHEMES_MAX && !schemes.contains(&scheme) {
            schemes.push(scheme);
        }
    }
    schemes
}

fn text(header: &httparse::Header<'_>) -> Option<(String, String)> {
    let value = str::from_utf8(header.value).ok()?;
    Some((header.name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// A body without the frames of its chunks (RFC 9112, section 7.1), as far as it came.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Ok(Status::Complete((begin, size @ 1..))) = httparse::parse_chunk_size(body) {
        let end = begin.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        whole.extend_from_slice(&body[begin..end.min(body.len())]);
        body = body.get(end.saturating_add(CRLF)..).unwrap_or_default();
    }
    whole
}

/// What else is said, as far as it is worth reading.
async fn rest(stream: &mut TcpStream, said: &mut Vec<u8>) -> io::Result<()> {
    while said.len() < ANSWER_BYTES_MAX && stream.read_buf(said).await? > 0 {}
    Ok(())
}

const ANSWER_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const SCHEMES_MAX: usize = 4;
const SCHEME_BYTES_MAX: usize = 20;
const CRLF: usize = 2;
/// How long a proxy may take to show that its tunnel is none.
const SILENCE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemes_that_a_proxy_asks_for_are_read() {
        let check = |values: &[&str], expected: &[&str]| {
            assert_eq!(schemes(values.iter().copied()), expected, "for {values:?}");
        };
        check(&["Basic realm=\"a, b\""], &["basic"]);
        check(&["Negotiate, NTLM"], &["negotiate", "ntlm"]);
        check(&["Negotiate", "NTLM", "basic realm=\"x\", charset=\"UTF-8\""], {
            &["negotiate", "ntlm", "basic"]
        });
        check(&["Digest realm=\"x\", nonce=\"y\",qop=auth", "", ", ,"], &["digest"]);
        check(&["\u{1b}[31m", "<b>"], &[]);
    }

    #[test]
    fn chunks_lose_their_frames() {
        assert_eq!(unchunked(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(unchunked(b"ff\r\nabc"), b"abc");
        assert_eq!(unchunked(b"ffffffffffffffff\r\nabc"), b"abc");
        assert_eq!(unchunked(b"<html>"), b"");
    }

    #[test]
    fn a_head_is_known_by_its_grammar() {
        let head = |answer: &[u8]| Head::parse(answer);
        assert!(matches!(head(b""), Ok(Status::Partial)));
        assert!(matches!(head(b"HTTP/1.1 403 No\r\n"), Ok(Status::Partial)));
        assert!(head(b"SSH-2.0-OpenSSH\r\n").is_err());
        let Ok(Status::Complete(whole)) = head(b"HTTP/1.0 403 No\r\nA: b \r\n\r\nx") else {
            panic!("no head")
        };
        assert_eq!((whole.status, whole.length), (403, 26));
        assert_eq!(whole.headers, [("a".to_owned(), "b".to_owned())]);
    }
}
