//! An HTTP proxy: passes requests on, opens tunnels, or refuses; and records what it was asked.
//!
//! Implements HTTP/1.1 itself. One request a connection.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A running proxy; gone when dropped.
pub(crate) struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

/// What it does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Passes it on.
    Pass,
    /// Answers it with this status.
    Refuse(u16),
    /// Answers it with exactly these bytes.
    Say(&'static [u8]),
    /// Breaks the connection.
    Reset,
    /// No response, forever.
    Stall,
    /// Opens a tunnel, and ends it once something comes.
    OpenAndBreak,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The first line, without the version.
    pub(crate) what: String,
    /// The head, as it came.
    pub(crate) head: String,
}

impl Proxy {
    /// Listens on a free port.
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, manner, Arc::clone(&asked)));
        Self { port, asked, _tasks: tasks }
    }

    /// Where it listens, with that login.
    pub(crate) fn url(&self, login: &str) -> String {
        format!("http://{login}127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, manner: Manner, asked: Arc<Mutex<Vec<Asked>>>) {
    let mut talks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let asked = Arc::clone(&asked);
        talks.spawn(async move { drop(talk(stream, manner, &asked).await) });
        while talks.try_join_next().is_some() {}
    }
}

async fn talk(
    mut stream: TcpStream,
    manner: Manner,
    asked: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let what = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    asked.lock().unwrap().push(Asked { what: what.clone(), head: head.clone() });
    match manner {
        Manner::Stall => std::future::pending().await,
        Manner::Say(answer) => {
            stream.write_all(answer).await?;
            stream.shutdown().await
        }
        Manner::Reset => stream.set_zero_linger(),
        Manner::OpenAndBreak => {
            stream.write_all(CONNECTED).await?;
            stream.read(&mut [0; 64]).await.map(drop)
        }
        Manner::Refuse(status) => {
            // Proxies like to repeat what they refuse.
            let login = head.lines().find(|line| line.to_lowercase().starts_with("proxy-auth"));
            let refusal = format!(
                "HTTP/1.1 {status} Refused\r\nconnection: close\r\n\r\nrefused: {}\n{head}",
                login.unwrap_or("no login")
            );
            stream.write_all(refusal.as_bytes()).await?;
            stream.shutdown().await
        }
        Manner::Pass => pass(stream, &what, &bytes).await,
    }
}

async fn pass(mut stream: TcpStream, what: &str, bytes: &[u8]) -> std::io::Result<()> {
    let target = what.split(' ').nth(1).unwrap();
    let authority = target.trim_start_matches("http://").split('/').next().unwrap();
    let mut onward = TcpStream::connect(authority).await?;
    if what.starts_with("CONNECT ") {
        stream.write_all(CONNECTED).await?;
    } else {
        let path = &target["http://".len() + authority.len()..];
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let relative = text.replacen(target, path, 1);
        onward.write_all(relative.as_bytes()).await?;
    }
    copy_bidirectional(&mut stream, &mut onward).await.map(drop)
}

const CONNECTED: &[u8] = b"HTTP/1.1 200 Connected\r\n\r\n";
