//! Decodes the content codings of HTTP (RFC 9110, section 8.4) of a body before it is parsed.
//!
//! Names are compared without regard to case. A body is decoded while it is read, and the output of
//! each coding is bounded, so that a small body can neither expand to a large one nor use the
//! memory of one. Independent of the HTTP library.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use brotli_decompressor::Decompressor;
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// A decoded body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The content, as far as it was received and allowed.
    pub bytes: Vec<u8>,
    /// How it ends.
    pub end: End,
}

/// How a decoded body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is whole.
    Whole,
    /// The coded body stops before its end: what came is the beginning.
    Truncated,
    /// It is larger than allowed: what came is the beginning.
    TooLarge,
}

/// Why a body cannot be decoded; the text follows "the answer …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// An unknown coding.
    #[error("has a content coding that is not known, `{0}`")]
    Unknown(String),
    /// The body does not match its header.
    #[error("is not the `{0}` that its `Content-Encoding` says")]
    Corrupt(&'static str),
    /// Too many codings.
    #[error("has more than {CODINGS_MAX} content codings")]
    TooMany,
}

/// A known coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstandard,
}

/// Decodes a complete body; `size_max` limits the output of each coding. `values` are those of
/// `Content-Encoding`, in order; each may be a list.
///
/// When a coding is unknown, or the body does not match it.
pub fn decode<'v>(
    values: impl IntoIterator<Item = &'v str>,
    body: &[u8],
    size_max: usize,
) -> Result<Decoded, CodingError> {
    let mut decoder = Decoder::new(values, body, size_max)?;
    let mut bytes = Vec::new();
    // `end` returns the error below.
    let _ = decoder.read_to_end(&mut bytes);
    Ok(Decoded { bytes, end: decoder.end()? })
}

/// A body that is decoded while it is read. Reading fails where the body does; [`Self::end`]
/// returns the reason.
pub struct Decoder<'r> {
    layers: Box<dyn BufRead + 'r>,
    left: usize,
    flaw: FailureSlot,
}

/// How a body that is not whole ends, or the coding that it does not match; reported by the
/// innermost coding that detected it.
type FailureSlot = Rc<Cell<Option<Result<End, &'static str>>>>;

impl<'r> Decoder<'r> {
    /// Creates the decoder; `size_max` limits the output of each coding.
    ///
    /// # Errors
    /// When a coding is not known, or there are too many.
    pub fn new<'v>(
        values: impl IntoIterator<Item = &'v str>,
        mut body: impl BufRead + 'r,
        size_max: usize,
    ) -> Result<Self, CodingError> {
        let names = values.into_iter().flat_map(|value| value.split(','));
        let codings = names.filter_map(|name| Coding::parse(name.trim()).transpose());
        let codings = codings.collect::<Result<Vec<Coding>, CodingError>>()?;
        if codings.len() > CODINGS_MAX {
            return Err(CodingError::TooMany);
        }
        let flaw = FailureSlot::default();
        // An empty body is not encoded.
        let is_empty = body.fill_buf().is_ok_and(<[u8]>::is_empty);
        let mut layers: Box<dyn BufRead + 'r> = Box::new(body);
        // The last coding in the list was applied last.
        for coding in codings.into_iter().rev().filter(|_| !is_empty) {
            let ran_dry = Rc::new(Cell::new(false));
            let source = Source { inner: layers, ran_dry: Rc::clone(&ran_dry) };
            let (decoder, flaw) = (coding.decoder(source), Rc::clone(&flaw));
            let layer = Layer { decoder, coding, ran_dry, left: size_max, flaw };
            layers = Box::new(BufReader::with_capacity(CHUNK_SIZE, layer));
        }
        Ok(Self { layers, left: size_max, flaw })
    }

    /// How it ended, after reading ended or failed.
    ///
    /// When the body does not match its coding.
    pub fn end(&self) -> Result<End, CodingError> {
        self.flaw.get().unwrap_or(Ok(End::Whole)).map_err(CodingError::Corrupt)
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        read_within(&mut self.left, &self.flaw, to, |to| self.layers.read(to))
    }
}

impl Coding {
    /// Parses the name of a coding; `None` for the identity.
    fn parse(name: &str) -> Result<Option<Self>, CodingError> {
        let name = name.to_ascii_lowercase();
        Ok(Some(match name.as_str() {
            // These are not codings, but some servers send them for the identity.
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

    fn decoder<'r>(self, source: Source<'r>) -> Box<dyn Read + 'r> {
        match self {
            Self::Gzip => Box::new(Gunzip { state: Some(Member::Next(source)), is_first: true }),
            Self::Deflate => Box::new(Inflate { source, state: None }),
            Self::Brotli => {
                let source = Windowed { source, is_begun: false };
                Box::new(Decompressor::new(source, CHUNK_SIZE))
            }
            Self::Zstandard => {
                let mut frame = FrameDecoder::new();
                frame.set_max_window_size(ZSTD_WINDOW_MAX);
                Box::new(Unzstd { source, frame, is_within: false })
            }
        }
    }
}

/// One coding of a body.
struct Layer<'r> {
    decoder: Box<dyn Read + 'r>,
    coding: Coding,
    ran_dry: Rc<Cell<bool>>,
    left: usize,
    flaw: FailureSlot,
}

impl Read for Layer<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let Self { decoder, coding, ran_dry, left, flaw } = self;
        read_within(left, flaw, to, |to| {
            decoder.read(to).inspect_err(|error| {
                let is_cut = ran_dry.get() || error.kind() == io::ErrorKind::UnexpectedEof;
                let found = if is_cut { Ok(End::Truncated) } else { Err(coding.name()) };
                flaw.set(flaw.get().or(Some(found)));
            })
        })
    }
}

/// Reads at most the remaining allowance; more is an error.
fn read_within(
    left: &mut usize,
    flaw: &FailureSlot,
    to: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    if *left == 0 && !to.is_empty() {
        if read(&mut [0])? == 0 {
            return Ok(0);
        }
        flaw.set(flaw.get().or(Some(Ok(End::TooLarge))));
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let room = to.len().min(*left);
    let count = read(&mut to[..room])?;
    *left -= count;
    Ok(count)
}

/// An encoded body, which records whether it ended too early.
struct Source<'r> {
    inner: Box<dyn BufRead + 'r>,
    ran_dry: Rc<Cell<bool>>,
}

impl Read for Source<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(to)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.inner.fill_buf()?;
        self.ran_dry.set(self.ran_dry.get() || bytes.is_empty());
        Ok(bytes)
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
    }
}

/// One or more members (RFC 1952); what follows them, such as padding, is left alone.
struct Gunzip<'r> {
    state: Option<Member<'r>>,
    is_first: bool,
}

enum Member<'r> {
    Next(Source<'r>),
    Open(GzDecoder<Source<'r>>),
}

impl Read for Gunzip<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.state.take() {
                None => return Ok(0),
                Some(Member::Next(mut source)) => {
                    // The library requires a whole header before it checks the beginning.
                    let begins = source.fill_buf()?.first() == Some(&GZIP_BEGINNING);
                    if !begins && self.is_first {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    self.is_first = false;
                    self.state = begins.then(|| Member::Open(GzDecoder::new(source)));
                }
                Some(Member::Open(mut member)) => {
                    let count = member.read(to)?;
                    self.state = Some(match count {
                        0 => Member::Next(member.into_inner()),
                        _ => Member::Open(member),
                    });
                    if count > 0 {
                        return Ok(count);
                    }
                }
            }
        }
    }
}

/// The `zlib` format, as the standard says, or the bare data, as some servers understand it (the
/// note in RFC 9110, section 8.4.1.2).
struct Inflate<'r> {
    source: Source<'r>,
    state: Option<Decompress>,
}

impl Read for Inflate<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let coded = self.source.fill_buf()?;
            let state = self.state.get_or_insert_with(|| {
                // Raw deflate data would begin with a stored block with non-zero padding.
                Decompress::new(coded.first().is_some_and(|byte| byte & 0x0f == ZLIB_METHOD))
            });
            let (taken, made) = (state.total_in(), state.total_out());
            let status = state.decompress(coded, to, FlushDecompress::None)?;
            let taken = usize::try_from(state.total_in() - taken).map_err(io::Error::other)?;
            let made = usize::try_from(state.total_out() - made).map_err(io::Error::other)?;
            let is_dry = coded.is_empty();
            self.source.consume(taken);
            if made > 0 || status == Status::StreamEnd || to.is_empty() {
                return Ok(made);
            }
            if is_dry {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// A body in brotli with a limited window.
struct Windowed<'r> {
    source: Source<'r>,
    is_begun: bool,
}

impl Read for Windowed<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if !self.is_begun {
            self.is_begun = true;
            let first = self.source.fill_buf()?.first();
            if first.is_some_and(|byte| BROTLI_WIDE.contains(&(byte & 0x0f))) {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        self.source.read(to)
    }
}

/// One or more frames, and skippable frames (RFC 8878, section 3.1).
struct Unzstd<'r> {
    source: Source<'r>,
    frame: FrameDecoder,
    is_within: bool,
}

impl Read for Unzstd<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.is_within {
                let count = self.frame.read(to)?;
                if count > 0 || to.is_empty() {
                    return Ok(count);
                }
                if !self.frame.is_finished() {
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    self.frame.decode_blocks(&mut self.source, one).map_err(io::Error::other)?;
                    continue;
                }
                self.is_within = false;
            }
            if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            match self.frame.init(&mut self.source) {
                Ok(()) => self.is_within = true,
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.source).take(length.into());
                    if io::copy(&mut skipped, &mut io::sink())? < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

/// An untrusted name of a coding for display: the characters of a token (RFC 9110, section 5.6.2).
/// Longer names are not shown: they may contain a part of a secret, which is not recognized.
fn shown(name: &str) -> String {
    if name.len() > NAME_BYTES_MAX {
        return "…".to_owned();
    }
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_|~".contains(c);
    name.chars().map(|c| if token(c) { c } else { '?' }).collect()
}

const CODINGS_MAX: usize = 4;
const CHUNK_SIZE: usize = 8 * 1024;
const GZIP_BEGINNING: u8 = 0x1f;
/// The method of compression in the first byte of a `zlib` header (RFC 1950, section 2.2).
const ZLIB_METHOD: u8 = 8;
/// The beginning of a body with a window of 8 or 16 MiB (RFC 7932, section 9.1). This coding is
/// never requested, and the usual window is 4 MiB.
const BROTLI_WIDE: [u8; 2] = [0x0d, 0x0f];
/// The window of the common levels for a stream of unknown length, and less than the 8 MiB that a
/// decoder should support (RFC 9659, section 3): this coding is never requested.
const ZSTD_WINDOW_MAX: u64 = 2 * 1024 * 1024;
const NAME_BYTES_MAX: usize = 32;

#[cfg(test)]
#[path = "content_coding_tests.rs"]
mod tests;
