//! Bytes on their way in: hashed as they come, held in a small buffer, spilled to a staging file when they are worth
//! one. Never a whole photo in memory, never a descriptor for a phone that has sent next to nothing.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::folder::Folder;
use crate::pool::DiskPool;
use crate::s3::Source;
use crate::{Error, Result};

/// Bytes held in memory for one upload before they go to disk.
const BUFFER_BYTES: usize = 32 * 1024;

/// A blob being taken in. Dropped, it leaves nothing.
pub struct Staging {
    pool: DiskPool,
    buffer: Vec<u8>,
    // None only while a disk operation has it.
    spill: Option<Spill>,
}

/// What a blob is once all of it is there, with its staging file. Dropped, it leaves nothing.
pub struct StagedBlob {
    pool: DiskPool,
    spill: Spill,
    /// Bytes taken in.
    pub size_bytes: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
}

impl Staging {
    pub(crate) fn new(folder: Arc<Folder>, pool: DiskPool) -> Self {
        let spill = Spill {
            file: StagingFile { folder, path: None, open: None, was_closed: false },
            hasher: Sha256::new(),
            size_bytes: 0,
        };
        Self { pool, buffer: Vec::new(), spill: Some(spill) }
    }

    /// Takes the next bytes. Waits for the disk only when the buffer is full.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = BUFFER_BYTES - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == BUFFER_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let mut spill = self.spill.take().ok_or_else(interrupted)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let (spill, buffer) = self
            .pool
            .run(move || {
                spill.append(&buffer)?;
                buffer.clear();
                Ok((spill, buffer))
            })
            .await?;
        self.spill = Some(spill);
        self.buffer = buffer;
        Ok(())
    }

    /// Ends the blob, and lets `look` look at the whole of it from its start, on the disk pool.
    pub async fn finish<T, F>(mut self, look: F) -> Result<(StagedBlob, T)>
    where
        T: Send + 'static,
        F: FnOnce(&File) -> T + Send + 'static,
    {
        let mut spill = self.spill.take().ok_or_else(interrupted)?;
        let buffer = std::mem::take(&mut self.buffer);
        let pool = self.pool.clone();
        self.pool
            .run(move || {
                spill.append(&buffer)?;
                let (sha256, size_bytes) = (spill.hasher.finalize_reset().into(), spill.size_bytes);
                let mut file = spill.file.reopen()?;
                file.seek(SeekFrom::Start(0))?;
                let seen = look(&file);
                spill.file.keep(file);
                Ok((StagedBlob { pool, spill, size_bytes, sha256 }, seen))
            })
            .await
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Removing a file waits for the disk: not on an async thread, where others wait behind it.
        if let Some(spill) = self.spill.take().filter(|spill| spill.file.path.is_some())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(spill));
        }
    }
}

/// A write that was given up half-way (its client left) leaves the staging without its file.
fn interrupted() -> Error {
    Error::Io(std::io::Error::other("an earlier write of this upload was interrupted"))
}

/// The part of a staging that disk operations work on.
struct Spill {
    file: StagingFile,
    hasher: Sha256,
    size_bytes: u64,
}

impl Spill {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size_bytes += bytes.len() as u64;
        let mut file = self.file.reopen()?;
        file.write_all(bytes)?;
        self.file.keep(file);
        Ok(())
    }
}

/// A file in `.staging` that removes itself unless it is published.
struct StagingFile {
    folder: Arc<Folder>,
    path: Option<PathBuf>,
    open: Option<File>,
    /// Between two writes no descriptor was held: an error of writing back may have been forgotten with the inode.
    was_closed: bool,
}

impl StagingFile {
    /// The file, opened for appending; made the first time.
    fn reopen(&mut self) -> Result<File> {
        if let Some(file) = self.open.take() {
            self.folder.open_staging_files.fetch_sub(1, Ordering::Relaxed);
            return Ok(file);
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        if let Some(path) = &self.path {
            self.was_closed = true;
            return Ok(options.open(path)?);
        }
        self.folder.check_room()?;
        let path = self.folder.staging_path(&Uuid::now_v7().simple().to_string());
        let file = options.create_new(true).open(&path)?;
        self.folder.metrics.staging_files.inc();
        self.path = Some(path);
        Ok(file)
    }

    /// Holds the descriptor until the next write, unless too many are held: ten thousand slow uploads must not take
    /// the descriptors that new connections need.
    fn keep(&mut self, file: File) {
        let held = self.folder.open_staging_files.fetch_add(1, Ordering::Relaxed);
        if held < self.folder.options.open_staging_files_max {
            self.open = Some(file);
        } else {
            self.folder.open_staging_files.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for StagingFile {
    fn drop(&mut self) {
        if self.open.take().is_some() {
            self.folder.open_staging_files.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(path) = self.path.take() {
            self.folder.metrics.staging_files.dec();
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, "a staging file could not be removed; the next start will");
            }
        }
    }
}

impl StagedBlob {
    /// The whole blob, read back on the disk pool: for a look at it before it is published.
    pub async fn read(mut self) -> Result<(Self, Vec<u8>)> {
        let pool = self.pool.clone();
        pool.run(move || {
            let mut file = self.spill.file.reopen()?;
            file.seek(SeekFrom::Start(0))?;
            let mut bytes = Vec::with_capacity(usize::try_from(self.size_bytes).unwrap_or(0));
            file.read_to_end(&mut bytes)?;
            self.spill.file.keep(file);
            Ok((self, bytes))
        })
        .await
    }

    /// The file, to be sent somewhere else.
    pub(crate) fn source(&mut self) -> Result<Source> {
        let file = self.spill.file.reopen()?;
        Ok(Source::new(file, self.pool.clone(), self.size_bytes, self.sha256))
    }

    /// Makes the file's bytes durable where they are.
    pub(crate) fn fsync(&mut self, durable: bool) -> Result<()> {
        let mut file = self.spill.file.reopen()?;
        if durable {
            let began = std::time::Instant::now();
            file.sync_all()?;
            self.spill.file.folder.metrics.file_fsync_seconds.observe(began.elapsed().as_secs_f64());
        }
        if self.spill.file.was_closed {
            self.read_back(&mut file)?;
        }
        Ok(())
    }

    fn read_back(&self, file: &mut File) -> Result<()> {
        file.seek(SeekFrom::Start(0))?;
        if sha256_of(file)? == self.sha256 { Ok(()) } else { Err(Error::Damaged) }
    }

    /// The staging file's path, while it is there.
    pub(crate) fn path(&self) -> Option<&std::path::Path> {
        self.spill.file.path.as_deref()
    }

    /// The file has been renamed away: there is nothing to remove any more.
    pub(crate) fn forget(&mut self) {
        if self.spill.file.path.take().is_some() {
            self.spill.file.folder.metrics.staging_files.dec();
        }
    }
}

/// SHA-256 of the rest of a file.
pub(crate) fn sha256_of(file: &mut impl Read) -> std::io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&buffer[..read]);
    }
}
