//! The bytes of a photo through one bounded buffer: the only place here that reads and seeks.
//!
//! It knows how long the source is from the start, so a length that a photo claims is refused before it is believed,
//! and a source that grows meanwhile cannot keep the walk going.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use crate::Defect;
use crate::defect::malformed;

const BUFFER_BYTES: usize = 32 * 1024;

pub(crate) struct Source<R> {
    inner: R,
    length_bytes: u64,
    /// Where in the source the next unread byte, `buffer[start]`, stands.
    position: u64,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read + Seek> Source<R> {
    pub(crate) fn open(mut inner: R) -> Result<Self, Defect> {
        let length_bytes = inner.seek(SeekFrom::End(0))?;
        inner.rewind()?;
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Ok(Self { inner, length_bytes, position: 0, buffer, start: 0, end: 0 })
    }

    pub(crate) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    fn remaining_bytes(&self) -> u64 {
        self.length_bytes.saturating_sub(self.position)
    }

    pub(crate) fn truncated(&self) -> Defect {
        Defect::Truncated { length_bytes: self.length_bytes }
    }

    /// Refuses a photo that claims `wanted` more bytes than there are left.
    pub(crate) fn require(&self, wanted: u64) -> Result<(), Defect> {
        if wanted > self.remaining_bytes() { Err(self.truncated()) } else { Ok(()) }
    }

    /// The unread bytes in the buffer, at least `wanted` (up to the buffer's size) unless the source ends before.
    pub(crate) fn peek(&mut self, wanted: usize) -> Result<&[u8], Defect> {
        if self.end - self.start < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            self.fill(wanted.min(BUFFER_BYTES))?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn fill(&mut self, wanted: usize) -> Result<(), Defect> {
        let end_max = usize::try_from(self.remaining_bytes()).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
        while self.end < wanted.min(end_max) {
            let room = &mut self.buffer[self.end..end_max];
            match self.inner.read(room) {
                Ok(0) => break,
                // A reader that claims more than it was given room for must not send us past the buffer.
                Ok(read) => self.end += read.min(room.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Passes over bytes that [`Self::peek`] has shown.
    pub(crate) fn consume(&mut self, shown: usize) {
        let shown = shown.min(self.end - self.start);
        self.start += shown;
        self.position += shown as u64;
    }

    pub(crate) fn read<const N: usize>(&mut self) -> Result<[u8; N], Defect> {
        let Some(bytes) = self.peek(N)?.first_chunk::<N>().copied() else {
            return Err(self.truncated());
        };
        self.consume(N);
        Ok(bytes)
    }

    /// Reads bytes that must lie before `end`; `what` says what is wrong if they do not.
    pub(crate) fn read_within<const N: usize>(&mut self, end: u64, what: &'static str) -> Result<[u8; N], Defect> {
        if end.saturating_sub(self.position) < N as u64 {
            return malformed(what);
        }
        self.read()
    }

    /// Goes forward to `position`, without reading what lies between unless it is in the buffer already.
    pub(crate) fn skip_to(&mut self, position: u64) -> Result<(), Defect> {
        let distance = position.saturating_sub(self.position);
        self.require(distance)?;
        match usize::try_from(distance) {
            Ok(distance) if distance <= self.end - self.start => self.consume(distance),
            _ => {
                self.inner.seek(SeekFrom::Start(position))?;
                self.position = position;
                self.start = 0;
                self.end = 0;
            }
        }
        Ok(())
    }
}
