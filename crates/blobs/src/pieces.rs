//! Bytes as they came, in the order they came: what was read from a socket is written to a file without a copy between.

use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};

use bytes::{Bytes, BytesMut};

/// A smaller piece is copied: it may be all that is used of the memory that it came in.
const PIECE_BYTES_MIN: usize = 4 * 1024;

#[derive(Default)]
pub(crate) struct Pieces {
    whole: Vec<Bytes>,
    /// Behind them.
    small: BytesMut,
    len: usize,
}

impl Pieces {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        if piece.len() < PIECE_BYTES_MIN {
            self.small.extend_from_slice(&piece);
            return;
        }
        if !self.small.is_empty() {
            self.whole.push(std::mem::take(&mut self.small).freeze());
        }
        self.whole.push(piece);
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let small = Some(&self.small[..]).filter(|small| !small.is_empty());
        self.whole.iter().map(|piece| &piece[..]).chain(small)
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.iter().collect::<Vec<_>>().concat()
    }

    /// All of them, in as few writes as the system takes them in.
    pub(crate) fn write_to(&self, file: &mut impl Write) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = self.iter().map(IoSlice::new).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            match file.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { pieces: self, at: 0 }
    }
}

/// Reads them as one.
pub(crate) struct Reader<'a> {
    pieces: &'a Pieces,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Ok(mut before) = usize::try_from(self.at) else { return Ok(0) };
        for piece in self.pieces.iter() {
            if before < piece.len() {
                let read = (&piece[before..]).read(buffer)?;
                self.at += read as u64;
                return Ok(read);
            }
            before -= piece.len();
        }
        Ok(0)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.pieces.len as u64, by),
        };
        self.at = from.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, IoSlice, Read, Seek, SeekFrom, Write};

    use bytes::Bytes;

    use super::Pieces;

    /// Takes no more than 7,001 bytes at once, as a file may.
    struct Reluctant(Vec<u8>);

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(7001).collect();
            self.0.extend_from_slice(&all);
            Ok(all.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn pieces_are_written_and_read_as_one() {
        let all: Vec<u8> = (0..40_000_u32).map(|at| (at % 251) as u8).collect();
        for cuts in [vec![], vec![1], vec![5000, 5001, 5002, 20_000], vec![3, 4099, 8195, 8196, 39_999]] {
            let mut pieces = Pieces::default();
            let mut from = 0;
            for to in cuts.iter().copied().chain([all.len()]) {
                pieces.push(Bytes::copy_from_slice(&all[from..to]));
                from = to;
            }
            assert_eq!(pieces.len(), all.len());
            assert_eq!(pieces.to_vec(), all, "{cuts:?}");
            let mut written = Reluctant(Vec::new());
            pieces.write_to(&mut written).unwrap();
            assert_eq!(written.0, all, "{cuts:?}");
            let (mut reader, mut wanted) = (pieces.reader(), Cursor::new(&all));
            for seek in [SeekFrom::Start(4998), SeekFrom::Current(-7), SeekFrom::End(-3), SeekFrom::Start(50_000)] {
                assert_eq!(reader.seek(seek).unwrap(), wanted.seek(seek).unwrap());
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                reader.by_ref().take(9000).read_to_end(&mut ours).unwrap();
                wanted.by_ref().take(9000).read_to_end(&mut theirs).unwrap();
                assert_eq!(ours, theirs, "{cuts:?}, {seek:?}");
            }
            assert!(reader.seek(SeekFrom::Start(0)).is_ok() && reader.seek(SeekFrom::Current(-1)).is_err());
        }
    }
}
