//! The content codings of HTTP (RFC 9110, section 8.4): takes off what `Content-Encoding` says
//! was put on a body, before anything is read out of it.
//!
//! Names are compared without regard to case, and every name in use is known. What comes out is
//! bounded after each coding, so a small body cannot become a large one. Knows no HTTP library.

use std::io::{self, Read};

use brotli_decompressor::Decompressor;
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

/// A body without its codings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What was inside, as far as it came and as much as was allowed.
    pub bytes: Vec<u8>,
    /// How it ends.
    pub end: End,
}

/// How a decoded body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is whole.
    Whole,
    /// The coded body stops before its end: `bytes` is the beginning.
    BrokenOff,
    /// It is larger than allowed: `bytes` is the beginning.
    TooLarge,
}

/// Why a body cannot be decoded; its text goes on after "the answer …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// A coding that we do not know.
    #[error("has a content coding that is not known, `{0}`")]
    Unknown(String),
    /// The body is not what its header says.
    #[error("is not the `{0}` that its `Content-Encoding` says")]
    Corrupt(&'static str),
    /// More codings than anybody needs.
    #[error("has more than {CODINGS_MAX} content codings")]
    TooMany,
}

/// A coding that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstandard,
}

/// Takes the codings off a body; `size_max` bounds what comes out of each of them. `values` are
/// those of `Content-Encoding`, in their order; each may be a list.
///
/// # Errors
/// When a coding is not known, or the body is not in it.
pub fn decode<'v>(
    values: impl IntoIterator<Item = &'v str>,
    body: &[u8],
    size_max: usize,
) -> Result<Decoded, CodingError> {
    let names = values.into_iter().flat_map(|value| value.split(','));
    let codings = names.filter_map(|name| Coding::parse(name.trim()).transpose());
    let codings = codings.collect::<Result<Vec<Coding>, CodingError>>()?;
    if codings.len() > CODINGS_MAX {
        return Err(CodingError::TooMany);
    }
    let mut decoded = Decoded { bytes: body.to_vec(), end: End::Whole };
    // The last in the list was put on last.
    for coding in codings.into_iter().rev().filter(|_| !body.is_empty()) {
        let next = coding.decode(&decoded.bytes, size_max)?;
        decoded.bytes = next.bytes;
        decoded.end = match (decoded.end, next.end) {
            (End::Whole, end) => end,
            (End::BrokenOff | End::TooLarge, End::TooLarge) => End::TooLarge,
            (end, _) => end,
        };
    }
    if decoded.bytes.len() > size_max {
        decoded.bytes.truncate(size_max);
        decoded.end = End::TooLarge;
    }
    Ok(decoded)
}

impl Coding {
    /// Reads the name of a coding; `None` for one that does nothing.
    fn parse(name: &str) -> Result<Option<Self>, CodingError> {
        let name = name.to_ascii_lowercase();
        Ok(Some(match name.as_str() {
            // The latter are no codings, and are sent by servers that mean just that.
            "" | "identity" | "none" | "utf-8" | "utf8" | "aws-chunked" => return Ok(None),
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstandard,
            _ => return Err(CodingError::Unknown(shown(&name))),
        }))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
        }
    }

    fn decode(self, body: &[u8], size_max: usize) -> Result<Decoded, CodingError> {
        let mut bytes = Vec::new();
        let end = match self {
            Self::Gzip => gunzip(body, &mut bytes, size_max),
            Self::Deflate => inflate_either(body, &mut bytes, size_max),
            Self::Brotli => brotli(body, &mut bytes, size_max),
            Self::Zstandard => zstandard(body, &mut bytes, size_max),
        };
        let end = end.ok_or(CodingError::Corrupt(self.name()))?;
        Ok(Decoded { bytes, end })
    }
}

/// One or more members (RFC 1952); what follows them, such as padding, is left alone.
fn gunzip(mut body: &[u8], out: &mut Vec<u8>, size_max: usize) -> Option<End> {
    // The library wants a whole header before it looks at its beginning.
    let begins = &body[..body.len().min(GZIP_MAGIC.len())];
    if !GZIP_MAGIC.starts_with(begins) {
        return None;
    }
    loop {
        let mut member = GzDecoder::new(&mut body);
        match fill(&mut member, out, size_max) {
            Ok(End::Whole) if body.starts_with(&GZIP_MAGIC) => {}
            Ok(end) => return Some(end),
            Err(error) => {
                return (error.kind() == io::ErrorKind::UnexpectedEof).then_some(End::BrokenOff);
            }
        }
    }
}

/// The `zlib` format, as the standard says, or the bare data, as some servers understand it (the
/// note in RFC 9110, section 8.4.1.2).
fn inflate_either(body: &[u8], out: &mut Vec<u8>, size_max: usize) -> Option<End> {
    let with_header = inflate(body, out, size_max, true);
    if with_header.is_some() {
        return with_header;
    }
    out.clear();
    inflate(body, out, size_max, false)
}

fn inflate(body: &[u8], out: &mut Vec<u8>, size_max: usize, has_header: bool) -> Option<End> {
    let mut state = Decompress::new(has_header);
    let mut chunk = [0; CHUNK_SIZE];
    loop {
        let used = usize::try_from(state.total_in()).ok()?;
        let before = state.total_out();
        let rest = body.get(used..)?;
        let status = state.decompress(rest, &mut chunk, FlushDecompress::None).ok()?;
        let made = usize::try_from(state.total_out() - before).ok()?;
        if put(&chunk[..made], out, size_max) {
            return Some(End::TooLarge);
        }
        match status {
            Status::StreamEnd => return Some(End::Whole),
            Status::Ok | Status::BufError if made == 0 && rest.len() == unused(&state, body)? => {
                return Some(End::BrokenOff);
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

fn unused(state: &Decompress, body: &[u8]) -> Option<usize> {
    Some(body.len() - usize::try_from(state.total_in()).ok()?)
}

fn brotli(body: &[u8], out: &mut Vec<u8>, size_max: usize) -> Option<End> {
    let mut source = Source { rest: body, ran_dry: false };
    let filled = fill(&mut Decompressor::new(&mut source, CHUNK_SIZE), out, size_max);
    match filled {
        Ok(end) => Some(end),
        // The library does not tell what is cut from what is broken.
        Err(_) => source.ran_dry.then_some(End::BrokenOff),
    }
}

/// One or more frames, and such as are to be skipped (RFC 8878, section 3.1).
fn zstandard(body: &[u8], out: &mut Vec<u8>, size_max: usize) -> Option<End> {
    let mut source = Source { rest: body, ran_dry: false };
    loop {
        let frame = StreamingDecoder::new_with_max_window_size(&mut source, ZSTD_WINDOW_MAX);
        let filled = match frame {
            Ok(mut frame) => fill(&mut frame, out, size_max),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let Some(rest) = source.rest.get(usize::try_from(length).ok()?..) else {
                    return Some(End::BrokenOff);
                };
                source.rest = rest;
                Ok(End::Whole)
            }
            Err(error) => Err(io::Error::other(error)),
        };
        match filled {
            Ok(End::Whole) if !source.rest.is_empty() => {}
            Ok(end) => return Some(end),
            Err(_) => return source.ran_dry.then_some(End::BrokenOff),
        }
    }
}

/// Reads all that there is, as far as it is allowed.
fn fill(reader: &mut impl Read, out: &mut Vec<u8>, size_max: usize) -> io::Result<End> {
    let mut chunk = [0; CHUNK_SIZE];
    loop {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            return Ok(End::Whole);
        }
        if put(&chunk[..read], out, size_max) {
            return Ok(End::TooLarge);
        }
    }
}

/// Appends as much as is allowed; says whether that was not all.
fn put(bytes: &[u8], out: &mut Vec<u8>, size_max: usize) -> bool {
    let room = size_max.saturating_sub(out.len());
    out.extend_from_slice(&bytes[..bytes.len().min(room)]);
    bytes.len() > room
}

/// A coded body, which knows whether more of it was wanted than there is.
struct Source<'b> {
    rest: &'b [u8],
    ran_dry: bool,
}

impl Read for Source<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.rest.read(to)?;
        self.ran_dry |= read == 0 && !to.is_empty();
        Ok(read)
    }
}

/// A foreign name as it may be shown: the characters of a token (RFC 9110, section 5.6.2), and
/// not many.
fn shown(name: &str) -> String {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_|~".contains(c);
    let kept = name.chars().take(NAME_CHARS_MAX);
    kept.map(|c| if token(c) { c } else { '?' }).collect()
}

const CODINGS_MAX: usize = 4;
const CHUNK_SIZE: usize = 8 * 1024;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What a decoder of the coding has to support, and no more (RFC 9659, section 3).
const ZSTD_WINDOW_MAX: u64 = 8 * 1024 * 1024;
const NAME_CHARS_MAX: usize = 32;

#[cfg(test)]
#[path = "content_coding_tests.rs"]
mod tests;
