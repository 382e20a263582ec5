//! Where a photo from the bucket lies while it is checked and served: in a file without a name, gone with its handle.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{MemfdFlags, OFlags};
use uuid::Uuid;

use super::S3;
use crate::Result;

/// Up to here it stays in memory: thumbnails are looked at by the page, and a disk would only slow them down.
const MEMORY_BYTES_MAX: u64 = 256 * 1024;

/// Bytes gathered before the disk is troubled.
const GATHERED_BYTES: usize = 512 * 1024;

/// Bytes on their way into a file.
pub(super) struct Scratch {
    file: Option<File>,
    gathered: Vec<u8>,
}

impl Scratch {
    /// For so many bytes.
    pub(super) async fn new(s3: &S3, size_bytes: u64) -> Result<Self> {
        let file = if size_bytes <= MEMORY_BYTES_MAX {
            File::from(rustix::fs::memfd_create("photo", MemfdFlags::CLOEXEC)?)
        } else {
            let staging = s3.staging.clone();
            let make = move || {
                // What is read must not take the room of what is written.
                staging.check_room().map_err(|_| crate::Error::Overloaded)?;
                nameless(&staging.staging_path(""))
            };
            s3.disk.run(make).await?
        };
        let gathered = Vec::with_capacity(GATHERED_BYTES.min(usize::try_from(size_bytes).unwrap_or(GATHERED_BYTES)));
        Ok(Self { file: Some(file), gathered })
    }

    pub(super) async fn write(&mut self, s3: &S3, bytes: &[u8]) -> Result<()> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < GATHERED_BYTES { Ok(()) } else { self.flush(s3).await }
    }

    async fn flush(&mut self, s3: &S3) -> Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let mut gathered = std::mem::take(&mut self.gathered);
        let written = s3.disk.run(move || {
            file.write_all(&gathered)?;
            gathered.clear();
            Ok((file, gathered))
        });
        let (file, gathered) = written.await?;
        (self.file, self.gathered) = (Some(file), gathered);
        Ok(())
    }

    /// The file, to be read from its start.
    pub(super) async fn finish(mut self, s3: &S3) -> Result<File> {
        self.flush(s3).await?;
        let mut file = self.file.take().ok_or(crate::Error::NotFound)?;
        std::io::Seek::rewind(&mut file)?;
        Ok(file)
    }
}

/// A file in a folder that nobody else can open.
fn nameless(folder: &std::path::Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    if let Ok(file) = options.clone().custom_flags(OFlags::TMPFILE.bits().cast_signed()).open(folder) {
        return Ok(file);
    }
    // Not every filesystem knows such files.
    let path = folder.join(Uuid::now_v7().simple().to_string());
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
