//! A form of parts as it streams (RFC 7578 by the rules of RFC 2046), without a copy of what lies in them.
//!
//! **Owns** the lines between parts and the headers of a part. **Promises** that a part's bytes are handed on as slices
//! of what the socket gave, that no more is held than one such piece and one part's headers, and that a form without its
//! closing line is never taken for a whole one. **Leaves** to [`form`](crate::form) what a part is for and how large it
//! may be, to [`disposition`](crate::disposition) what its headers say of its name.

use std::fmt::Display;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use memchr::{memchr_iter, memmem};

use crate::Refusal;
use crate::disposition::{Disposition, Filename};
use crate::receive::BodyError;

/// Bytes before the first line. A browser sends none.
const PREAMBLE_BYTES_MAX: usize = 1024;
/// Bytes of one part's headers. A browser sends some 150.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Headers of one part.
const HEADERS_MAX: usize = 32;
/// Blanks that a gateway may have left behind a line (RFC 2046, 5.1.1).
const PADDING_BYTES_MAX: usize = 1024;
/// RFC 2046 allows a boundary 70 characters.
const BOUNDARY_CHARACTERS_MAX: usize = 70;
const CRLF: &[u8] = b"\r\n";

/// What a whole form may ask for.
pub(crate) struct Most {
    pub(crate) bytes: u64,
    pub(crate) parts: usize,
}

/// The form.
pub(crate) struct Multipart<B> {
    body: B,
    most: Most,
    /// The end of a line, two hyphens, the boundary.
    delimiter: memmem::Finder<'static>,
    /// What came and was not handed on.
    held: Bytes,
    received_bytes: u64,
    parts: usize,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing was looked at yet.
    Start,
    /// In a part's bytes, or before the first line.
    Within,
    /// Behind a delimiter.
    Behind,
    /// Behind the closing one.
    Closed,
}

/// What a part's headers say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: Option<String>,
    pub(crate) filename: Filename,
    /// `Content-Transfer-Encoding`, as sent.
    pub(crate) transfer_encoding: Option<Vec<u8>>,
}

/// A body in pieces.
pub(crate) trait Body: Stream<Item = Result<Bytes, Self::Error>> + Unpin + Send {
    type Error: Into<BodyError>;
}

impl<S, E> Body for S
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: Into<BodyError>,
{
    type Error = E;
}

impl<B: Body> Multipart<B> {
    pub(crate) fn new(body: B, boundary: &str, most: Most) -> Result<Self, Refusal> {
        let is_of_boundaries = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        if boundary.is_empty() || boundary.len() > BOUNDARY_CHARACTERS_MAX {
            return Err(malformed("its boundary must have 1 to 70 characters"));
        }
        if !boundary.bytes().all(is_of_boundaries) || boundary.ends_with(' ') {
            return Err(malformed("its boundary has characters that no boundary may have"));
        }
        Ok(Self {
            body,
            most,
            delimiter: memmem::Finder::new(&format!("\r\n--{boundary}")).into_owned(),
            held: Bytes::new(),
            received_bytes: 0,
            parts: 0,
            place: Place::Start,
        })
    }

    /// The next part, whatever was not read of the one before; none behind the closing line.
    pub(crate) async fn next_part(&mut self) -> Result<Option<Part>, Refusal> {
        if self.place == Place::Start {
            self.begin().await?;
        }
        let mut passed_bytes = 0;
        while let Some(piece) = self.chunk().await? {
            passed_bytes += piece.len();
            if self.parts == 0 && passed_bytes > PREAMBLE_BYTES_MAX {
                return Err(malformed("its first part does not begin with its boundary"));
            }
        }
        if self.place == Place::Closed || self.ends_here().await? {
            self.place = Place::Closed;
            return Ok(None);
        }
        if self.parts == self.most.parts {
            return Err(Refusal::TooManyParts(self.most.parts));
        }
        self.parts += 1;
        let head = self.head().await?;
        self.place = Place::Within;
        part_of(&head).map(Some)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts == 0
    }

    /// The next bytes of the part; none at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Refusal> {
        while self.place == Place::Within {
            let needle = self.delimiter.needle();
            match self.delimiter.find(&self.held) {
                Some(0) => {
                    self.held.advance(needle.len());
                    self.place = Place::Behind;
                }
                Some(at) => return Ok(Some(self.held.split_to(at))),
                None => {
                    let certain = self.held.len() - begun_at_end(&self.held, needle);
                    if certain > 0 {
                        return Ok(Some(self.held.split_to(certain)));
                    }
                    self.more().await?;
                }
            }
        }
        Ok(None)
    }

    /// The first delimiter needs no end of a line before it.
    async fn begin(&mut self) -> Result<(), Refusal> {
        let wanted_bytes = self.delimiter.needle().len() - CRLF.len();
        let may_come = |held: &[u8], delimiter: &[u8]| delimiter[CRLF.len()..].starts_with(held);
        while self.held.len() < wanted_bytes && may_come(&self.held, self.delimiter.needle()) {
            self.more().await?;
        }
        self.place = if self.held.starts_with(&self.delimiter.needle()[CRLF.len()..]) {
            self.held.advance(wanted_bytes);
            Place::Behind
        } else {
            Place::Within
        };
        Ok(())
    }

    /// Behind a delimiter: goes to the end of its line. Whether it is the closing one.
    async fn ends_here(&mut self) -> Result<bool, Refusal> {
        while self.held.len() < 2 {
            self.more().await?;
        }
        let closes = self.held.starts_with(b"--");
        if closes {
            self.held.advance(2);
        }
        let mut padding_bytes = 0;
        loop {
            let blanks = self.held.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            padding_bytes += blanks;
            self.held.advance(blanks);
            if padding_bytes > PADDING_BYTES_MAX {
                return Err(malformed("too many blanks stand behind its boundary"));
            }
            if self.held.len() >= 2 {
                break;
            }
            // The last line need not end.
            if !self.try_more().await? {
                return if closes && self.held.is_empty() { Ok(true) } else { Err(cut_off()) };
            }
        }
        if !self.held.starts_with(CRLF) {
            return Err(malformed("a line of it begins with its boundary and goes on with something else"));
        }
        self.held.advance(2);
        Ok(closes)
    }

    /// A part's headers, to the end of the empty line behind them.
    async fn head(&mut self) -> Result<Bytes, Refusal> {
        let mut searched = 0;
        loop {
            let end = if self.held.starts_with(CRLF) {
                Some(CRLF.len())
            } else {
                memmem::find(&self.held[searched..], b"\r\n\r\n").map(|at| searched + at + 4)
            };
            // Its beginning may be there; the rest need not be looked through again for each byte of who sends them singly.
            searched = self.held.len().saturating_sub(3);
            if end.unwrap_or(self.held.len()) > HEAD_BYTES_MAX {
                return Err(malformed(format!("the headers of a part have more than {HEAD_BYTES_MAX} bytes")));
            }
            match end {
                Some(end) => return Ok(self.held.split_to(end)),
                None => self.more().await?,
            }
        }
    }

    /// Waits for more of a form that has not reached its end.
    async fn more(&mut self) -> Result<(), Refusal> {
        if self.try_more().await? { Ok(()) } else { Err(cut_off()) }
    }

    /// Waits for more of the body; false at its end.
    async fn try_more(&mut self) -> Result<bool, Refusal> {
        let Some(piece) = self.body.next().await else { return Ok(false) };
        let piece = piece.map_err(|error| Refusal::Body(error.into()))?;
        self.received_bytes += piece.len() as u64;
        if self.received_bytes > self.most.bytes {
            return Err(Refusal::RequestTooLarge(self.most.bytes));
        }
        self.held = if self.held.is_empty() {
            piece
        } else {
            // Only the beginning of a delimiter, or headers in pieces: next to nothing is copied, and seldom. What is
            // ours alone grows in its place.
            let held = std::mem::take(&mut self.held);
            let mut both = held.try_into_mut().unwrap_or_else(|held| BytesMut::from(&held[..]));
            both.extend_from_slice(&piece);
            both.freeze()
        };
        Ok(true)
    }
}

/// How many bytes at the end may be the delimiter's first ones.
fn begun_at_end(held: &[u8], delimiter: &[u8]) -> usize {
    let from = held.len().saturating_sub(delimiter.len() - 1);
    let begins = memchr_iter(b'\r', &held[from..]).map(|at| held.len() - from - at);
    begins.into_iter().find(|length| delimiter.starts_with(&held[held.len() - length..])).unwrap_or(0)
}

fn part_of(head: &[u8]) -> Result<Part, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let parsed = httparse::parse_headers(head, &mut headers).map_err(malformed)?;
    // They end where they seem to, or what stands between would be neither header nor content.
    let httparse::Status::Complete((read, headers)) = parsed else {
        return Err(malformed("the headers of a part break off"));
    };
    if read != head.len() {
        return Err(malformed("a line of a part's headers is empty"));
    }
    // Sent twice, the last counts.
    let value_of =
        |name| headers.iter().rfind(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
    let Disposition { name, filename } = Disposition::of(value_of("content-disposition").unwrap_or_default());
    Ok(Part { name, filename, transfer_encoding: value_of("content-transfer-encoding").map(<[u8]>::to_vec) })
}

fn cut_off() -> Refusal {
    malformed("it ends before its closing boundary")
}

pub(crate) fn malformed(what: impl Display) -> Refusal {
    Refusal::MalformedForm(what.to_string())
}

#[cfg(test)]
mod tests;
