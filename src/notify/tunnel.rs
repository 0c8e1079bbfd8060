//! A tunnel through a proxy (RFC 9110, section 9.3.6), opened by hand: to see how far TLS comes
//! without sending anything, and to learn what a proxy said that refused one. The HTTP client,
//! which opens those that messages go through, does not tell.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What came of asking for a tunnel.
pub(super) enum Asked {
    /// It is open.
    Open(TcpStream),
    /// It is not.
    Refused(Refusal),
}

/// What a proxy said instead of opening a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status of its answer; `None` when it was none of HTTP. One of 200 came with a page.
    pub(super) status: Option<u16>,
    /// What it said: the body of its answer, or the bytes that are none.
    pub(super) said: Vec<u8>,
}

/// Asks for a tunnel to `authority`, with that login, which is ready for its header.
///
/// # Errors
/// When the connection breaks before there is an answer.
pub(super) async fn ask(
    mut stream: TcpStream,
    authority: &str,
    login: Option<&str>,
) -> io::Result<Asked> {
    let login = login.map(|login| format!("Proxy-Authorization: Basic {login}\r\n"));
    let request = format!(
        "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n",
        login.unwrap_or_default()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let body_at = loop {
        if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break Some(at + 4);
        }
        if answer.len() >= ANSWER_BYTES_MAX || !is_http(&answer) {
            break None;
        }
        if stream.read_buf(&mut answer).await? == 0 {
            break None;
        }
    };
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let status = body_at.and_then(|_| status(&answer));
    let mut said = answer.split_off(body_at.unwrap_or_default());
    if matches!(status, Some(200..=299)) {
        // Behind an open tunnel nobody speaks before we do.
        if said.is_empty() {
            let _ = timeout(SILENCE, stream.read_buf(&mut said)).await;
        }
        if said.is_empty() {
            return Ok(Asked::Open(stream));
        }
    }
    // What came until then is kept.
    let _ = timeout(SILENCE, rest(&mut stream, &mut said)).await;
    Ok(Asked::Refused(Refusal { status, said }))
}

/// What else is said, as far as it is worth reading.
async fn rest(stream: &mut TcpStream, said: &mut Vec<u8>) -> io::Result<()> {
    while said.len() < ANSWER_BYTES_MAX && stream.read_buf(said).await? > 0 {}
    Ok(())
}

/// Whether an answer begins, as far as it came, as one of HTTP does.
fn is_http(answer: &[u8]) -> bool {
    let length = answer.len().min(HTTP.len());
    answer[..length].eq_ignore_ascii_case(&HTTP[..length])
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let code = line.split_ascii_whitespace().nth(1)?;
    code.parse().ok().filter(|status| (100..1000).contains(status))
}

const HTTP: &[u8] = b"HTTP/";
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// How long a proxy may take to show that its tunnel is none.
const SILENCE: Duration = Duration::from_millis(250);
