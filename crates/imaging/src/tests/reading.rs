//! Sources that behave, and sources that do not.

use std::io::{Cursor, Error, ErrorKind, Read, Result, Seek, SeekFrom};

use super::{describe, photos};
use crate::{Limits, inspect};

/// Hands out what `read` makes of the room there is.
struct Odd<F> {
    inner: Cursor<Vec<u8>>,
    read: F,
}

impl<F: FnMut(&mut Cursor<Vec<u8>>, &mut [u8]) -> Result<usize>> Read for Odd<F> {
    fn read(&mut self, room: &mut [u8]) -> Result<usize> {
        (self.read)(&mut self.inner, room)
    }
}

impl<F> Seek for Odd<F> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.inner.seek(to)
    }
}

fn outcome(bytes: &[u8], read: impl FnMut(&mut Cursor<Vec<u8>>, &mut [u8]) -> Result<usize>) -> String {
    describe(inspect(Odd { inner: Cursor::new(bytes.to_vec()), read }, &Limits::default()))
}

#[test]
fn a_trickle_reads_like_a_stream_and_interruptions_are_borne() {
    for photo in photos::all() {
        let mut is_interrupted = false;
        let trickled = outcome(&photo.bytes, |inner, room| {
            is_interrupted = !is_interrupted;
            if is_interrupted {
                return Err(ErrorKind::Interrupted.into());
            }
            inner.read(&mut room[..1])
        });
        assert_eq!(trickled, photo.expect, "{}", photo.name);
    }
}

#[test]
fn a_failing_source_is_no_bad_photo() {
    for photo in photos::all() {
        let failed = outcome(&photo.bytes, |_, _| Err(Error::other("the disk is gone")));
        assert!(failed.starts_with("image_unreadable"), "{failed}");
    }
}

#[test]
fn a_source_that_lies_about_what_it_read_or_shrinks_does_no_harm() {
    for photo in photos::all() {
        let lied = outcome(&photo.bytes, |inner, room| inner.read(room).map(|read| read.saturating_mul(1_000_000)));
        assert!(!lied.is_empty());
        let mut reads = 0;
        let shrunk = outcome(&photo.bytes, |inner, room| {
            reads += 1;
            if reads > 20 { Ok(0) } else { inner.read(&mut room[..1]) }
        });
        assert!(shrunk.starts_with("image_"), "{shrunk}");
    }
}

#[test]
fn the_photo_is_read_from_its_start_wherever_the_cursor_stands() {
    for photo in photos::all() {
        let mut cursor = Cursor::new(photo.bytes);
        cursor.set_position(11);
        assert_eq!(describe(inspect(&mut cursor, &Limits::default())), photo.expect);
        assert_eq!(describe(inspect(&mut cursor, &Limits::default())), photo.expect, "a second time");
    }
}
