//! The plain connection below an SMTP session.
//!
//! It never reads past the end of a line. Whoever sits between us and the server can therefore
//! not slip an answer in behind the one to STARTTLS, to be read as if it had come through TLS
//! (the flaw of CVE-2011-0411, seen from the client): such bytes reach the TLS layer and end
//! the handshake.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection that hands out one line at a time.
#[derive(Debug)]
pub(super) struct LineWire(TcpStream);

impl LineWire {
    /// Reads from that connection, line by line.
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl AsyncTokioStream for LineWire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl AsyncRead for LineWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut glimpse = [0; GLIMPSE_BYTES];
        let mut peeked = ReadBuf::new(&mut glimpse);
        let seen = ready!(self.0.poll_peek(cx, &mut peeked))?;
        let line = peeked.filled().iter().position(|&byte| byte == b'\n').map_or(seen, |at| at + 1);
        // Nothing seen is the end of the connection, and is read as such.
        let room = line.max(1).min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut part))?;
        let filled = part.filled().len();
        buf.advance(filled);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineWire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

const GLIMPSE_BYTES: usize = 1024;
