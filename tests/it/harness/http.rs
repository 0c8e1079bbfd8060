//! A client of the web server: one request, one connection, nothing that it adds by itself.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let named = |line: &&str| {
            line.split_once(':').is_some_and(|(it, _)| it.trim().eq_ignore_ascii_case(name))
        };
        let line = self.head.lines().find(named);
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Asks with a method and these further headers; the host is the address, unless it is given.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Answer {
    let mut stream = send(address, method, path, headers);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    if answer.header("transfer-encoding").is_empty() { answer } else { unchunked(answer) }
}

/// Reads a page.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[])
}

/// Reads a stream of events until `wanted` of them came, each as its name, its id and its data.
pub(crate) fn events(
    address: SocketAddr,
    path: &str,
    headers: &[&str],
    wanted: usize,
) -> Vec<(String, String, Value)> {
    let mut lines = BufReader::new(send(address, "GET", path, headers)).lines();
    let mut events = Vec::new();
    let (mut name, mut id) = (String::new(), String::new());
    while events.len() < wanted {
        let line = lines.next().unwrap().unwrap();
        if let Some(it) = line.strip_prefix("event: ") {
            it.clone_into(&mut name);
        } else if let Some(it) = line.strip_prefix("id: ") {
            it.clone_into(&mut id);
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data = serde_json::from_str(data).unwrap();
            events.push((std::mem::take(&mut name), std::mem::take(&mut id), data));
        }
    }
    events
}

/// A listener of a stream, who reads when the test does.
pub(crate) struct Listener(Lines<BufReader<TcpStream>>);

impl Listener {
    /// Begins to listen.
    pub(crate) fn open(address: SocketAddr, path: &str) -> Self {
        Self(BufReader::new(send(address, "GET", path, &[])).lines())
    }

    /// Reads on until this line came; the data that follows it, if any does on the next line.
    pub(crate) fn wait_for(&mut self, wanted: &str) -> Value {
        let mut lines = self.0.by_ref().map(|line| line.unwrap());
        assert!(lines.any(|line| line == wanted), "the stream ended before `{wanted}`");
        let next = lines.next().unwrap_or_default();
        let data = next.strip_prefix("data: ");
        data.map_or(Value::Null, |data| serde_json::from_str(data).unwrap())
    }

    /// Reads on to the end; whether the stream ended as HTTP ends one.
    pub(crate) fn ends_well(&mut self) -> bool {
        let lines = self.0.by_ref().map_while(Result::ok);
        lines.filter(|line| !line.is_empty()).last().is_some_and(|last| last == "0")
    }
}

/// The first lines of a stream.
pub(crate) fn first_lines(address: SocketAddr, path: &str, count: usize) -> Vec<String> {
    let lines = BufReader::new(send(address, "GET", path, &[])).lines();
    let body = lines.map(|line| line.unwrap()).skip_while(|line| !line.is_empty()).skip(2);
    body.take(count).collect()
}

fn send(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    let given = headers.iter().any(|it| it.to_ascii_lowercase().starts_with("host:"));
    if !given {
        request += &format!("host: {address}\r\n");
    }
    for header in headers {
        request += &format!("{header}\r\n");
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
    stream
}

fn unchunked(answer: Answer) -> Answer {
    let mut body = String::new();
    let mut rest = answer.body.as_str();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body += &after[..size];
        rest = &after[(size + 2).min(after.len())..];
    }
    Answer { body, ..answer }
}

const LIMIT: Duration = Duration::from_secs(60);
