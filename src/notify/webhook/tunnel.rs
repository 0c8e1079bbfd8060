//! A `CONNECT` tunnel through a proxy (RFC 9110, section 9.3.6), for probes and to read the
//! response of a proxy that refused one, which the HTTP client does not expose.

use std::io;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::notify::webhook::response::HttpResponse;

pub(in crate::notify) enum TunnelReply {
    Open(TcpStream),
    /// The response of a proxy that opened no tunnel; a 2xx came with a body. Without a status, it
    /// is not HTTP.
    Refused(HttpResponse),
}

/// Requests a tunnel to `authority`; `login` is encoded for the header.
///
/// # Errors
/// When the connection breaks before a response arrives.
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
    let mut response = Vec::new();
    let (mut head, length) = loop {
        match parse_head(&response) {
            // An interim response: another one follows (RFC 9110, section 15.2).
            Ok(Status::Complete((head, length))) if (100..200).contains(&head.status) => {
                response.drain(..length);
            }
            Ok(Status::Complete(found)) => break found,
            Ok(Status::Partial)
                if response.len() < RESPONSE_BYTES_MAX
                    && stream.read_buf(&mut response).await? > 0 => {}
            Ok(Status::Partial) | Err(_) => break (HttpResponse::default(), 0),
        }
    };
    if response.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut body = response.split_off(length);
    if (200..300).contains(&head.status) {
        // Through an open tunnel, the server of HTTPS does not send before the client does.
        if body.is_empty() {
            let _ = timeout(SETTLE_TIMEOUT, stream.read_buf(&mut body)).await;
        }
        if body.is_empty() {
            return Ok(TunnelReply::Open(stream));
        }
    }
    // The bytes that arrived before the timeout are kept.
    let _ = timeout(SETTLE_TIMEOUT, read_rest(&mut stream, &mut body)).await;
    let is_chunked = |coding: &str| coding.eq_ignore_ascii_case("chunked");
    if head.values("transfer-encoding").any(is_chunked) {
        body = unchunked(&body);
    }
    head.set_body(&body);
    Ok(TunnelReply::Refused(head))
}

/// Parses the status line and the headers of a response. Also returns their length, in bytes.
///
/// # Errors
/// When it is not HTTP.
fn parse_head(response: &[u8]) -> Result<Status<(HttpResponse, usize)>, httparse::Error> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    Ok(match head.parse(response)? {
        Status::Partial => Status::Partial,
        Status::Complete(length) => {
            let status = head.code.unwrap_or_default();
            let headers = head.headers.iter().filter_map(text).collect();
            Status::Complete((HttpResponse { status, headers, ..HttpResponse::default() }, length))
        }
    })
}

/// The schemes of the challenges in `Proxy-Authenticate` (RFC 9110, section 11.6.1), in lower
/// case; each once.
pub(in crate::notify) fn schemes<'v>(values: impl Iterator<Item = &'v str>) -> Vec<String> {
    let mut schemes: Vec<String> = Vec::new();
    // A comma within quotes splits a parameter; the parts are not valid scheme names, or harmless.
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

/// Decodes the chunked coding (RFC 9112, section 7.1), as far as the body arrived.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Ok(Status::Complete((begin, size @ 1..))) = httparse::parse_chunk_size(body) {
        let end = begin.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        whole.extend_from_slice(&body[begin..end.min(body.len())]);
        body = body.get(end.saturating_add(CRLF)..).unwrap_or_default();
    }
    whole
}

/// Reads on, up to the limit.
async fn read_rest(stream: &mut TcpStream, body: &mut Vec<u8>) -> io::Result<()> {
    while body.len() < RESPONSE_BYTES_MAX && stream.read_buf(body).await? > 0 {}
    Ok(())
}

const RESPONSE_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const SCHEMES_MAX: usize = 4;
const SCHEME_BYTES_MAX: usize = 20;
const CRLF: usize = 2;
/// How long to wait for bytes that show that a 2xx opened no tunnel.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemes_that_a_proxy_offers_are_parsed() {
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
    fn the_chunked_coding_is_decoded() {
        assert_eq!(unchunked(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(unchunked(b"ff\r\nabc"), b"abc");
        assert_eq!(unchunked(b"ffffffffffffffff\r\nabc"), b"abc");
        assert_eq!(unchunked(b"<html>"), b"");
    }

    #[test]
    fn a_head_is_parsed_or_not_http() {
        assert!(matches!(parse_head(b""), Ok(Status::Partial)));
        assert!(matches!(parse_head(b"HTTP/1.1 403 No\r\n"), Ok(Status::Partial)));
        assert!(parse_head(b"SSH-2.0-OpenSSH\r\n").is_err());
        let headers = vec![("a".to_owned(), "b".to_owned())];
        let whole = HttpResponse { status: 403, headers, ..HttpResponse::default() };
        let found = parse_head(b"HTTP/1.0 403 No\r\nA: b \r\n\r\nx");
        assert_eq!(found, Ok(Status::Complete((whole, 26))));
    }
}
