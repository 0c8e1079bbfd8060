//! The HTTP/1.1 server behind every fake, on bare connections, so that a fake can also break the
//! protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path, and the query if there is one, as sent.
    pub path: String,
    /// In the order of arrival, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The number of its connection, from 1.
    pub connection: usize,
}

/// What a fake does with a request.
pub enum Response {
    /// A proper response; the connection is kept.
    Whole {
        /// The status code.
        code: u16,
        /// All but `content-length`.
        headers: Vec<(String, String)>,
        /// The body; not sent with 204 and 304.
        body: Vec<u8>,
    },
    /// Anything else; the connection ends with it.
    Broken(Box<dyn FnOnce(TcpStream) -> BoxFuture<'static, ()> + Send>),
}

impl Request {
    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl Response {
    /// A proper response without headers of its own.
    pub fn new(code: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Whole { code, headers: Vec::new(), body: body.into() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.into()));
        }
        self
    }
}

/// Serves until dropped; counts the accepted connections.
pub async fn serve<R: Future<Output = Response> + Send + 'static>(
    listener: TcpListener,
    connections: Arc<AtomicUsize>,
    respond: impl Fn(Request) -> R + Send + Sync + 'static,
) {
    let respond = Arc::new(respond);
    let mut conversations = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            continue;
        };
        while conversations.try_join_next().is_some() {}
        let connection = connections.fetch_add(1, Ordering::SeqCst) + 1;
        let respond = Arc::clone(&respond);
        conversations.spawn(async move { converse(stream, connection, &*respond).await });
    }
}

/// Responds to one request after the other until a side hangs up.
async fn converse<R: Future<Output = Response>>(
    mut stream: TcpStream,
    connection: usize,
    respond: impl Fn(Request) -> R,
) {
    let mut unread = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut unread, connection).await {
        match respond(request).await {
            Response::Whole { code, headers, body } => {
                if stream.write_all(&encode(code, &headers, body)).await.is_err() {
                    return;
                }
            }
            Response::Broken(end) => return end(stream).await,
        }
    }
}

async fn next_request(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    connection: usize,
) -> Option<Request> {
    let head_size = loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        // TLS, for example: common servers say so.
        if unread.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
            stream.write_all(&encode(400, &[], Vec::new())).await.ok()?;
            return None;
        }
        read(stream, unread).await?;
    };
    let head: Vec<u8> = unread.drain(..head_size).collect();
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request { method, path, headers, body: Vec::new(), connection };
    let body_size = request.header("content-length").map_or(Some(0), |size| size.parse().ok())?;
    while unread.len() < body_size {
        read(stream, unread).await?;
    }
    request.body = unread.drain(..body_size).collect();
    Some(request)
}

/// Reads more; `None` at the end, and when it is too much.
async fn read(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    let size = stream.read_buf(unread).await.ok()?;
    (size > 0 && unread.len() <= REQUEST_SIZE_MAX).then_some(())
}

fn encode(code: u16, headers: &[(String, String)], body: Vec<u8>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {code} Simulated\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if matches!(code, 204 | 304) {
        return format!("{head}\r\n").into_bytes();
    }
    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

const REQUEST_SIZE_MAX: usize = 16 * 1024 * 1024;
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
