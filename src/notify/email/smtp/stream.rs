//! The connection of an SMTP session: sends lines, reads replies.
//!
//! Invariants: plain text never counts as received through TLS (CVE-2011-0411); an unsolicited
//! reply never counts as success; a truncated reply counts; reading is bounded.

use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::notify::email::smtp::reply::{Reply, ReplyReader};

/// A connection to a mail server.
pub(in crate::notify::email) struct SmtpStream {
    io: Box<dyn Io>,
    /// Received bytes that are not parsed yet.
    unread: Vec<u8>,
    /// The server closed the connection, or sent too much.
    is_over: bool,
    is_flooded: bool,
}

/// A TCP connection, or TLS within one.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

#[derive(Debug)]
pub(in crate::notify::email) enum StreamError {
    TimedOut,
    /// The server closed the connection.
    Closed,
    /// A reply was longer than the limit; nothing is read after it.
    Flooded,
    Broken(io::Error),
    /// The beginning of bytes that are not a reply.
    Unreadable(Vec<u8>),
}

impl SmtpStream {
    pub(in crate::notify::email) fn new(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self { io: Box::new(io), unread: Vec::new(), is_over: false, is_flooded: false }
    }

    /// A connection that is closed.
    pub(in crate::notify::email) fn closed() -> Self {
        Self::new(tokio::io::empty())
    }

    /// Performs the TLS handshake; the connection is closed when it fails.
    ///
    /// # Errors
    /// When it fails, or the server sent more plain text before it.
    pub(in crate::notify::email) async fn secure(
        &mut self,
        connector: &TlsConnector,
        name: ServerName<'static>,
    ) -> io::Result<()> {
        let Self { io, unread, .. } = std::mem::replace(self, Self::closed());
        if !unread.is_empty() {
            return Err(io::Error::other("plain text followed the reply to STARTTLS"));
        }
        *self = Self::new(connector.connect(name, io).await?);
        Ok(())
    }

    /// Sends one line and reads its reply. An unsolicited refusal counts as the reply to the next
    /// command; any other unsolicited reply is discarded.
    ///
    /// # Errors
    /// When no reply arrives.
    pub(in crate::notify::email) async fn command(
        &mut self,
        line: &str,
        limit: Duration,
    ) -> Result<Reply, StreamError> {
        if let Some(refusal) = self.unsolicited_refusal() {
            return Ok(refusal);
        }
        // No part of a command can contain one; it would begin another command.
        if line.contains(['\r', '\n', '\0']) {
            return Err(StreamError::Broken(io::ErrorKind::InvalidInput.into()));
        }
        match timeout(limit, self.send(format!("{line}\r\n").as_bytes())).await {
            Ok(Ok(())) => self.reply(limit).await,
            Ok(Err(error)) => self.final_reply(error).await,
            Err(_) => Err(StreamError::TimedOut),
        }
    }

    /// Sends a message and the final dot. A refusal that precedes the dot is returned, and the dot
    /// is not sent: until then, the server cannot have accepted the mail.
    ///
    /// # Errors
    /// When not all bytes were sent.
    pub(in crate::notify::email) async fn message(
        &mut self,
        data: &[u8],
        limit: Duration,
    ) -> Result<Option<Reply>, StreamError> {
        let sending = async {
            self.send(data).await?;
            let refusal = self.unsolicited_refusal();
            if refusal.is_none() {
                self.send(DOT).await?;
            }
            Ok(refusal)
        };
        match timeout(limit, sending).await {
            Ok(Ok(refusal)) => Ok(refusal),
            Ok(Err(error)) => self.final_reply(error).await.map(Some),
            Err(_) => Err(StreamError::TimedOut),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// When none arrives.
    pub(in crate::notify::email) async fn reply(
        &mut self,
        limit: Duration,
    ) -> Result<Reply, StreamError> {
        let mut reader = ReplyReader::default();
        let result = timeout(limit, self.read_reply(&mut reader)).await;
        let error = match result {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(error)) => error,
            Err(_) => StreamError::TimedOut,
        };
        match reader.finish() {
            Ok(reply) => Ok(reply),
            Err(noise) if noise.trim_ascii().is_empty() => Err(error),
            Err(noise) => Err(StreamError::Unreadable(noise)),
        }
    }

    /// The reply that the server sent before the connection broke, if any.
    async fn final_reply(&mut self, error: io::Error) -> Result<Reply, StreamError> {
        self.reply(FINAL_REPLY_TIMEOUT).await.map_err(|_| StreamError::Broken(error))
    }

    /// A refusal that the server sent without a command.
    fn unsolicited_refusal(&mut self) -> Option<Reply> {
        let mut rounds = 0;
        while rounds < UNSOLICITED_READS_MAX && matches!(self.fill().now_or_never(), Some(Ok(1..)))
        {
            rounds += 1;
        }
        let bytes = std::mem::take(&mut self.unread);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let mut reader = ReplyReader::default();
            let (used, whole) = reader.push(rest);
            let reply = whole.map_or_else(|| reader.finish().ok(), Some);
            if let Some(refusal) = reply.filter(|reply| reply.is_of(400) || reply.is_of(500)) {
                return Some(refusal);
            }
            rest = rest.get(used..).unwrap_or_default();
        }
        None
    }

    /// Closes the connection in order.
    pub(in crate::notify::email) async fn close(&mut self) {
        let _ = self.io.shutdown().await;
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

    /// Reads more bytes; 0 is the end.
    async fn fill(&mut self) -> io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        let mut part = [0; PART_BYTES];
        let read = self.io.read(&mut part).await?;
        self.is_over = read == 0;
        self.unread.extend_from_slice(part.get(..read).unwrap_or_default());
        Ok(read)
    }
}

const DOT: &[u8] = b".\r\n";
const PART_BYTES: usize = 4096;
/// The limit of reads for unsolicited replies.
const UNSOLICITED_READS_MAX: usize = 16;
/// A reply that preceded the break has arrived already, or never will.
const FINAL_REPLY_TIMEOUT: Duration = Duration::from_secs(1);
