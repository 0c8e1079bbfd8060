//! The connection below an SMTP session: commands go out as lines, replies come in whole.
//!
//! What always holds: what came in plain is never taken for something that came through TLS
//! (CVE-2011-0411); a reply that nobody asked for is never taken for a yes; a reply that came
//! counts, also when it was cut off; nothing is read beyond a bound.

use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::notify::email::smtp::reply::{Reply, ReplyReader};

/// A connection to a mail server.
pub(in crate::notify::email) struct SmtpStream {
    io: Io,
    /// What has been read and belongs to no reply yet.
    unread: Vec<u8>,
    /// Nothing more comes: the other side has hung up, or said too much.
    is_over: bool,
    is_flooded: bool,
}

enum Io {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

/// Why there is no reply.
#[derive(Debug)]
pub(in crate::notify::email) enum StreamError {
    /// Nothing came in time.
    TimedOut,
    /// The other side hung up.
    Closed,
    /// A reply before was longer than any is read, and nothing is read after it.
    Flooded,
    /// The connection broke.
    Broken(io::Error),
    /// Something came that is no reply: the beginning of it.
    Unreadable(Vec<u8>),
}

impl SmtpStream {
    /// Speaks over that connection, in plain.
    pub(in crate::notify::email) fn new(stream: TcpStream) -> Self {
        // Each line waits for an answer: to hold it back gains nothing and costs 40 ms.
        let _ = stream.set_nodelay(true);
        Self { io: Io::Plain(stream), unread: Vec::new(), is_over: false, is_flooded: false }
    }

    /// Turns to TLS.
    ///
    /// # Errors
    /// When TLS does not come about, or something came in plain that should have come through it.
    pub(in crate::notify::email) async fn secured(
        self,
        connector: &TlsConnector,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        if !self.unread.is_empty() {
            return Err(io::Error::other("more came in plain behind the yes to STARTTLS"));
        }
        let Io::Plain(stream) = self.io else {
            return Err(io::ErrorKind::AlreadyExists.into());
        };
        let secured = connector.connect(name, stream).await?;
        Ok(Self {
            io: Io::Secured(Box::new(secured)),
            unread: Vec::new(),
            is_over: false,
            is_flooded: false,
        })
    }

    /// Says one line and hears the reply to it. A no that came before anything was asked is the
    /// reply to whatever is asked next; any other such reply is forgotten.
    ///
    /// # Errors
    /// When no reply came.
    pub(in crate::notify::email) async fn command(
        &mut self,
        line: &str,
        limit: Duration,
    ) -> Result<Reply, StreamError> {
        if let Some(no) = self.unasked() {
            return Ok(no);
        }
        // No part of a command can have one; if it had, another command would begin there.
        if line.contains(['\r', '\n', '\0']) {
            return Err(StreamError::Broken(io::ErrorKind::InvalidInput.into()));
        }
        match timeout(limit, self.send(format!("{line}\r\n").as_bytes())).await {
            Ok(Ok(())) => self.reply(limit).await,
            Ok(Err(error)) => self.last_words().await.ok_or(StreamError::Broken(error)),
            Err(_) => Err(StreamError::TimedOut),
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is broken; then the last of the bytes have not been sent.
    pub(in crate::notify::email) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.io {
            Io::Plain(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Io::Secured(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Hears one reply.
    ///
    /// # Errors
    /// When none came.
    pub(in crate::notify::email) async fn reply(
        &mut self,
        limit: Duration,
    ) -> Result<Reply, StreamError> {
        let mut reader = ReplyReader::default();
        let ended = timeout(limit, self.read_reply(&mut reader)).await;
        let lost = match ended {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(lost)) => lost,
            Err(_) => StreamError::TimedOut,
        };
        match reader.finish() {
            Ok(reply) => Ok(reply),
            Err(noise) if noise.trim_ascii().is_empty() => Err(lost),
            Err(noise) => Err(StreamError::Unreadable(noise)),
        }
    }

    /// What the other side said before the connection broke, if that can still be read.
    pub(in crate::notify::email) async fn last_words(&mut self) -> Option<Reply> {
        self.reply(LAST_WORDS).await.ok()
    }

    /// A no that nobody asked for, and that may be all that is said any more.
    pub(in crate::notify::email) fn unasked(&mut self) -> Option<Reply> {
        let mut rounds = 0;
        while rounds < UNASKED_READS_MAX && matches!(self.fill().now_or_never(), Some(Ok(1..))) {
            rounds += 1;
        }
        let bytes = std::mem::take(&mut self.unread);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let mut reader = ReplyReader::default();
            let (used, whole) = reader.push(rest);
            let reply = whole.map_or_else(|| reader.finish().ok(), Some);
            if let Some(no) = reply.filter(|reply| reply.is_of(400) || reply.is_of(500)) {
                return Some(no);
            }
            rest = rest.get(used..).unwrap_or_default();
        }
        None
    }

    /// Ends the connection in order.
    pub(in crate::notify::email) async fn close(&mut self) {
        let _ = match &mut self.io {
            Io::Plain(stream) => stream.shutdown().await,
            Io::Secured(stream) => stream.shutdown().await,
        };
    }

    async fn read_reply(&mut self, reader: &mut ReplyReader) -> Result<Reply, StreamError> {
        loop {
            let (used, reply) = reader.push(&self.unread);
            self.unread.drain(..used);
            if let Some(reply) = reply {
                return Ok(reply);
            }
            if reader.is_flooded() {
                self.is_over = true;
                self.is_flooded = true;
            }
            match self.fill().await {
                Ok(0) if self.is_flooded => return Err(StreamError::Flooded),
                Ok(0) => return Err(StreamError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(StreamError::Closed);
                }
                Err(error) => return Err(StreamError::Broken(error)),
            }
        }
    }

    /// Reads more; nothing is the end.
    async fn fill(&mut self) -> io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        let mut part = [0; PART_BYTES];
        let read = match &mut self.io {
            Io::Plain(stream) => stream.read(&mut part).await?,
            Io::Secured(stream) => stream.read(&mut part).await?,
        };
        self.is_over = read == 0;
        self.unread.extend_from_slice(part.get(..read).unwrap_or_default());
        Ok(read)
    }
}

const PART_BYTES: usize = 4096;
/// So much is looked through of what nobody asked for.
const UNASKED_READS_MAX: usize = 16;
/// What was said before the connection broke is here already, or never comes.
const LAST_WORDS: Duration = Duration::from_secs(1);
