//! A ZIP archive, written from its beginning to its end and never gone back in.
//!
//! **Promises** the same bytes for the same entries: no time, no attribute and no order of its own; entries are stored as
//! they are, with size and CRC-32 before them, so that whoever reads a stream needs not wait for the directory; ZIP64
//! where it must be and only there. Memory does not grow with the number of entries: the directory waits in a file
//! without a name. `docs/decisions/0033-export.md` says why this is not a library's.

use std::io::{self, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;

use super::ExportError;

/// What goes to the reader at once, and what is read from a spool at once.
const PIECE_BYTES: usize = 128 * 1024;
/// Where 32 and 16 bits end, and the number in ZIP64's field counts.
const BEYOND_32: u64 = 0xFFFF_FFFF;
const BEYOND_16: u64 = 0xFFFF;
/// 1 January 1980, 00:00: the first time that the format knows.
const NO_TIME: [u8; 4] = [0, 0, 0x21, 0];
/// Unix, and the version of the format that we write.
const MADE_BY: u16 = 0x032d;
/// A plain file that its owner writes and everybody reads.
const MODE: u32 = 0o100_644 << 16;

/// Text that is written bit by bit, before it is known how long it gets: in a file without a name.
pub(super) struct Spool {
    file: BufWriter<File>,
    crc: crc32fast::Hasher,
    sha256: Sha256,
    size_bytes: u64,
}

/// A spool that is complete.
pub(super) struct Spooled {
    file: File,
    pub(super) crc: u32,
    pub(super) sha256: [u8; 32],
    pub(super) size_bytes: u64,
}

impl Spool {
    /// In this folder; nothing of it is left once it is dropped, by whatever end.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let file = File::from_std(tempfile::tempfile_in(folder)?);
        let file = BufWriter::with_capacity(64 * 1024, file);
        Ok(Self { file, crc: crc32fast::Hasher::new(), sha256: Sha256::new(), size_bytes: 0 })
    }

    pub(super) async fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.crc.update(text);
        self.sha256.update(text);
        self.size_bytes += text.len() as u64;
        self.file.write_all(text).await
    }

    pub(super) fn is_empty(&self) -> bool {
        self.size_bytes == 0
    }

    pub(super) async fn end(mut self) -> io::Result<Spooled> {
        self.file.flush().await?;
        let mut file = self.file.into_inner();
        file.seek(SeekFrom::Start(0)).await?;
        Ok(Spooled {
            file,
            crc: self.crc.finalize(),
            sha256: self.sha256.finalize().into(),
            size_bytes: self.size_bytes,
        })
    }
}

impl Spooled {
    /// As a part of another.
    pub(super) async fn copy_to(mut self, other: &mut Spool) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = self.file.read(&mut piece).await?;
            if count == 0 {
                return Ok(());
            }
            other.write(&piece[..count]).await?;
        }
    }
}

/// Bytes of an archive, least first.
struct Header(Vec<u8>);

impl Header {
    fn new(signature: u32) -> Self {
        Self(signature.to_le_bytes().to_vec())
    }
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }
    /// As far as 16 bits go.
    fn short(self, value: u64) -> Self {
        self.u16(u16::try_from(value).unwrap_or(u16::MAX))
    }
    fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }
    /// As far as 32 bits go.
    fn long(self, value: u64) -> Self {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX))
    }
    fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }
}

/// ZIP64's extra field with these numbers; nothing where there are none.
fn zip64(numbers: &[u64]) -> Vec<u8> {
    if numbers.is_empty() {
        return Vec::new();
    }
    let mut extra = 1_u16.to_le_bytes().to_vec();
    extra.extend(u16::try_from(numbers.len() * 8).unwrap_or(0).to_le_bytes());
    extra.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    extra
}

/// The version that a reader needs.
fn version(is_zip64: bool) -> u16 {
    if is_zip64 { 45 } else { 10 }
}

/// Where the archive goes, and how far it is.
struct Out {
    reader: mpsc::Sender<Bytes>,
    offset: u64,
}

impl Out {
    async fn push(&mut self, piece: Bytes) -> Result<(), ExportError> {
        self.offset += piece.len() as u64;
        self.reader.send(piece).await.map_err(|_| ExportError::ReaderLeft)
    }

    async fn pour(&mut self, mut spooled: Spooled) -> Result<(), ExportError> {
        let mut left = spooled.size_bytes;
        while left > 0 {
            let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
            spooled.file.read_exact(&mut piece).await?;
            left -= piece.len() as u64;
            self.push(piece.into()).await?;
        }
        Ok(())
    }
}

/// The archive, on its way to its reader.
pub(super) struct Archive {
    out: Out,
    entries: u64,
    directory: Spool,
}

impl Archive {
    /// To this reader, with its directory waiting in this folder.
    pub(super) fn new(reader: mpsc::Sender<Bytes>, folder: &Path) -> io::Result<Self> {
        let out = Out { reader, offset: 0 };
        Ok(Self { out, entries: 0, directory: Spool::new(folder)? })
    }

    /// An entry of these bytes.
    pub(super) async fn bytes(&mut self, name: &str, mut content: Bytes) -> Result<(), ExportError> {
        self.begin(name, crc32fast::hash(&content), content.len() as u64).await?;
        while !content.is_empty() {
            let piece = content.split_to(PIECE_BYTES.min(content.len()));
            self.out.push(piece).await?;
        }
        Ok(())
    }

    /// An entry of what was spooled.
    pub(super) async fn spooled(&mut self, name: &str, spooled: Spooled) -> Result<(), ExportError> {
        self.begin(name, spooled.crc, spooled.size_bytes).await?;
        self.out.pour(spooled).await
    }

    /// What stands before an entry, and its line in the directory; its bytes must follow.
    async fn begin(&mut self, name: &str, crc: u32, size_bytes: u64) -> Result<(), ExportError> {
        let is_large = size_bytes >= BEYOND_32;
        let is_far = self.out.offset >= BEYOND_32;
        let shared = |header: Header, is_zip64: bool, extra: &[u8]| {
            header
                .u16(version(is_zip64))
                .u16(0) // no flag
                .u16(0) // stored
                .bytes(&NO_TIME)
                .u32(crc)
                .long(size_bytes)
                .long(size_bytes)
                .short(name.len() as u64)
                .short(extra.len() as u64)
        };
        let sizes = if is_large { vec![size_bytes, size_bytes] } else { Vec::new() };
        let mut of_directory = sizes.clone();
        if is_far {
            of_directory.push(self.out.offset);
        }
        let extra = zip64(&sizes);
        let local = shared(Header::new(0x0403_4b50), is_large, &extra).bytes(name.as_bytes()).bytes(&extra);
        let extra = zip64(&of_directory);
        let made_by = Header::new(0x0201_4b50).u16(MADE_BY);
        let line = shared(made_by, is_large || is_far, &extra)
            .u16(0) // no comment
            .u16(0) // the first and only disk
            .u16(0)
            .u32(MODE)
            .long(self.out.offset)
            .bytes(name.as_bytes())
            .bytes(&extra);
        self.directory.write(&line.0).await?;
        self.entries += 1;
        self.out.push(local.0.into()).await
    }

    /// The directory, and the end.
    pub(super) async fn end(self) -> Result<(), ExportError> {
        let Self { mut out, entries, directory } = self;
        let begins = out.offset;
        let directory = directory.end().await?;
        let size_bytes = directory.size_bytes;
        out.pour(directory).await?;
        if entries >= BEYOND_16 || begins >= BEYOND_32 || size_bytes >= BEYOND_32 {
            let ends = out.offset;
            let end = Header::new(0x0606_4b50)
                .u64(44) // of what follows
                .u16(MADE_BY)
                .u16(45)
                .u32(0)
                .u32(0)
                .u64(entries)
                .u64(entries)
                .u64(size_bytes)
                .u64(begins);
            out.push(end.0.into()).await?;
            out.push(Header::new(0x0706_4b50).u32(0).u64(ends).u32(1).0.into()).await?;
        }
        let end =
            Header::new(0x0605_4b50).u16(0).u16(0).short(entries).short(entries).long(size_bytes).long(begins).u16(0); // no comment
        out.push(end.0.into()).await
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Seek, Write};

    use super::*;

    /// A piece of zeros, longer than any other.
    const HOLE: usize = 8 << 20;

    /// Writes what comes into a file; zeros are a hole in it.
    async fn to_file(mut pieces: mpsc::Receiver<Bytes>, mut file: File) -> File {
        let mut length = 0;
        while let Some(piece) = pieces.recv().await {
            length += piece.len() as u64;
            if piece.len() == HOLE {
                file.seek_relative(i64::try_from(piece.len()).unwrap()).unwrap();
            } else {
                file.write_all(&piece).unwrap();
            }
        }
        file.set_len(length).unwrap();
        file
    }

    /// Name and content of the last entry, and how many there are.
    fn last_of(file: File) -> (String, u64, u64, u64) {
        let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
        let archive = rawzip::ZipArchive::from_file(file, &mut buffer).unwrap();
        let (mut count, mut last) = (0, None);
        let mut entries = archive.entries(&mut buffer);
        while let Some(entry) = entries.next_entry().unwrap() {
            count += 1;
            let name = entry.file_path().try_normalize().unwrap().as_ref().to_owned();
            last = Some((name, entry.uncompressed_size_hint(), entry.local_header_offset(), count));
        }
        last.unwrap()
    }

    async fn made(write: impl AsyncFnOnce(&mut Archive)) -> File {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = mpsc::channel(16);
        let mut archive = Archive::new(sender, folder.path()).unwrap();
        let writing = async {
            write(&mut archive).await;
            archive.end().await.unwrap();
        };
        tokio::join!(to_file(receiver, tempfile::tempfile().unwrap()), writing).0
    }

    #[tokio::test]
    async fn more_entries_than_sixteen_bits_count() {
        const COUNT: u64 = 70_000;
        let file = made(async |archive| {
            for n in 0..COUNT {
                archive.bytes(&format!("photos/{n}.jpg"), Bytes::from_static(b"x")).await.unwrap();
            }
        })
        .await;
        let (name, size_bytes, _, count) = last_of(file);
        assert_eq!((name.as_str(), size_bytes, count), ("photos/69999.jpg", 1, COUNT));
    }

    #[tokio::test]
    async fn more_bytes_than_thirty_two_bits_count() {
        let large = BEYOND_32 + 10;
        let file = made(async |archive| {
            archive.begin("large", 0, large).await.unwrap();
            let zeros = Bytes::from(vec![0; HOLE]);
            let mut left = large;
            while left > 0 {
                let piece = zeros.slice(..zeros.len().min(usize::try_from(left).unwrap()));
                left -= piece.len() as u64;
                archive.out.push(piece).await.unwrap();
            }
            archive.bytes("far", Bytes::from_static(b"away")).await.unwrap();
        })
        .await;
        let (name, size_bytes, offset, count) = last_of(file);
        assert_eq!((name.as_str(), size_bytes, count), ("far", 4, 2));
        assert!(offset > BEYOND_32, "{offset}");
    }

    #[tokio::test]
    async fn nothing_in_it_is_an_archive_too() {
        let mut file = made(async |_| {}).await;
        assert_eq!(file.stream_position().unwrap(), 22, "an end and nothing else");
    }
}
