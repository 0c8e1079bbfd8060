//! Parses a list on a separate thread while it is received, so that neither the body nor its
//! invalid elements are in memory as a whole.

use std::io::{self, BufRead, Read};
use std::panic::resume_unwind;

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::argil::json::DecodeError;
use crate::argil::list::{AvatarList, read_list};
use crate::content_coding::{CodingError, Decoder, End};
use crate::mask::Mask;

/// A list that is being read.
pub(super) struct ListParser {
    chunks: mpsc::Sender<Bytes>,
    parsing: JoinHandle<Parsed>,
}

/// The parsed list, and how its body ended.
pub(super) struct Parsed {
    pub(super) list: Result<AvatarList, DecodeError>,
    pub(super) end: Result<End, CodingError>,
}

impl ListParser {
    /// Begins, with the values of `Content-Encoding` and what is masked.
    pub(super) fn start(codings: Vec<String>, mask: Mask) -> Self {
        let (chunks, coming) = mpsc::channel(1);
        let body = Chunks { coming, current: Bytes::new() };
        let parsing = tokio::task::spawn_blocking(move || parse(&codings, body, &mask));
        Self { chunks, parsing }
    }

    /// Sends the next chunk; false once the parser has ended.
    pub(super) async fn feed(&self, chunk: Bytes) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// The result, after the last chunk.
    pub(super) async fn end(self) -> Parsed {
        drop(self.chunks);
        match self.parsing.await {
            Ok(parsed) => parsed,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The program is about to end.
                Err(_) => Parsed { list: Err(DecodeError::Truncated), end: Ok(End::Truncated) },
            },
        }
    }
}

fn parse(codings: &[String], body: Chunks, mask: &Mask) -> Parsed {
    match Decoder::new(codings.iter().map(String::as_str), body, LIST_SIZE_MAX) {
        Ok(mut decoder) => Parsed { list: read_list(&mut decoder, mask), end: decoder.end() },
        Err(error) => Parsed { list: Err(DecodeError::Truncated), end: Err(error) },
    }
}

/// A body that is received in chunks, and ends when the sender is dropped.
struct Chunks {
    coming: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(to)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty()
            && let Some(chunk) = self.coming.blocking_recv()
        {
            self.current = chunk;
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count);
    }
}

/// The largest list, without its codings, in bytes; an avatar has some 2 KB.
pub(super) const LIST_SIZE_MAX: usize = 32 * 1024 * 1024;
