//! Bytes on their way in: hashed as they come and held in memory while they come fast, spilled to a staging file where
//! they crawl. Never a whole large photo in memory, never a descriptor for a phone that has sent next to nothing.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::folder::Folder;
use crate::pieces::Pieces;
use crate::pool::DiskPool;
use crate::s3::Source;
use crate::{Error, Result};

/// Bytes held in memory for an upload that crawls, before they go to disk.
const SLOW_BUFFER_BYTES: usize = 8 * 1024;
/// An upload that takes longer than this crawls.
const FAST_TIME: Duration = Duration::from_secs(2);
/// For so long an answer holds that there is room.
const ROOM_ASKED_TIME: Duration = Duration::from_secs(1);
/// The most held in memory for one that comes fast: a webcam's frame goes to the disk in one piece, and by one thread.
const FAST_BUFFER_BYTES: usize = 256 * 1024;
/// Memory for the fast ones together, given out in steps. Beyond, they are written as the slow ones are.
const STEP_BYTES: usize = 64 * 1024;
pub(crate) const FAST_STEPS: usize = 1024;

/// What can be looked at from its start: a staging file, or bytes that need none yet.
pub trait Look: Read + Seek {}
impl<T: Read + Seek> Look for T {}

/// A blob being taken in. Dropped, it leaves nothing.
pub struct Staging {
    pool: DiskPool,
    hasher: Sha256,
    size_bytes: u64,
    began: Instant,
    /// What the file has not got yet.
    rest: Pieces,
    /// What of the shared memory they take.
    steps: Option<OwnedSemaphorePermit>,
    // None only while a disk operation has it.
    file: Option<StagingFile>,
}

/// What a blob is once all of it is there: its bytes in a staging file, or still in memory. Dropped, it leaves nothing.
pub struct StagedBlob {
    pool: DiskPool,
    file: StagingFile,
    /// What the file has not got yet.
    rest: Pieces,
    steps: Option<OwnedSemaphorePermit>,
    /// Bytes taken in.
    pub size_bytes: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
}

impl Staging {
    pub(crate) fn new(folder: Arc<Folder>, pool: DiskPool) -> Self {
        Self {
            pool,
            hasher: Sha256::new(),
            size_bytes: 0,
            began: Instant::now(),
            rest: Pieces::default(),
            steps: None,
            file: Some(StagingFile { folder, path: None, open: None, was_closed: false, room_seen_at: None }),
        }
    }

    /// Takes the next bytes, without a copy where they are many. Waits for the disk only when much is held.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.hasher.update(&bytes);
        self.size_bytes += bytes.len() as u64;
        self.rest.push(bytes);
        // Boxed: an upload that waits for its client holds no room for this.
        if self.rest.len() >= SLOW_BUFFER_BYTES && !self.may_wait() { Box::pin(self.flush()).await } else { Ok(()) }
    }

    /// Whether what is held may stay in memory.
    fn may_wait(&mut self) -> bool {
        if self.rest.len() >= FAST_BUFFER_BYTES || self.began.elapsed() >= FAST_TIME {
            return false;
        }
        let held = self.steps.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = (self.rest.len() / STEP_BYTES + 1).saturating_sub(held);
        let Some(file) = self.file.as_ref().filter(|_| wanted > 0) else { return wanted == 0 };
        let more =
            u32::try_from(wanted).ok().and_then(|n| file.folder.fast_memory.clone().try_acquire_many_owned(n).ok());
        let Some(more) = more else { return false };
        match &mut self.steps {
            Some(steps) => steps.merge(more),
            none => *none = Some(more),
        }
        true
    }

    async fn flush(&mut self) -> Result<()> {
        let mut file = self.file.take().ok_or_else(interrupted)?;
        let (rest, steps) = (std::mem::take(&mut self.rest), self.steps.take());
        // The memory counts until the bytes are gone, also where their client has left and they wait for a thread.
        let (file, steps) = self
            .pool
            .run(move || {
                file.append(&rest)?;
                drop(rest);
                Ok((file, steps))
            })
            .await?;
        self.file = Some(file);
        // Who comes fast will need it again.
        self.steps = steps.filter(|_| self.began.elapsed() < FAST_TIME);
        Ok(())
    }

    /// Ends the blob, and lets `look` look at the whole of it from its start: here and now where it is in memory, on the
    /// disk pool otherwise.
    pub async fn finish<T, F>(mut self, look: F) -> Result<(StagedBlob, T)>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Look) -> T + Send + 'static,
    {
        let file = self.file.take().ok_or_else(interrupted)?;
        let mut staged = StagedBlob {
            pool: self.pool.clone(),
            file,
            rest: std::mem::take(&mut self.rest),
            steps: self.steps.take(),
            size_bytes: self.size_bytes,
            sha256: self.hasher.finalize_reset().into(),
        };
        if !staged.file.is_there() {
            staged.file.ask_room()?;
            let seen = look(&mut staged.rest.reader());
            return Ok((staged, seen));
        }
        self.pool
            .run(move || {
                let mut file = staged.write_rest()?;
                file.seek(SeekFrom::Start(0))?;
                let seen = look(&mut file);
                staged.file.keep(file);
                Ok((staged, seen))
            })
            .await
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Removing a file waits for the disk: not on an async thread, where others wait behind it.
        if let Some(file) = self.file.take().filter(StagingFile::is_there)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

/// A write that was given up half-way (its client left) leaves the staging without its file.
fn interrupted() -> Error {
    Error::Io(std::io::Error::other("an earlier write of this upload was interrupted"))
}

/// A file in `.staging` that removes itself unless it is published.
struct StagingFile {
    folder: Arc<Folder>,
    path: Option<PathBuf>,
    open: Option<File>,
    /// Between two writes no descriptor was held: an error of writing back may have been forgotten with the inode.
    was_closed: bool,
    /// When there was room for it.
    room_seen_at: Option<Instant>,
}

impl StagingFile {
    fn is_there(&self) -> bool {
        self.path.is_some()
    }

    /// Whether there is room for one more file, where that is not known of a moment ago.
    fn ask_room(&mut self) -> Result<()> {
        if self.room_seen_at.is_none_or(|at| at.elapsed() > ROOM_ASKED_TIME) {
            self.folder.check_room()?;
            self.room_seen_at = Some(Instant::now());
        }
        Ok(())
    }

    fn append(&mut self, pieces: &Pieces) -> Result<()> {
        let mut file = self.reopen()?;
        pieces.write_to(&mut file)?;
        self.keep(file);
        Ok(())
    }

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
        self.ask_room()?;
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
    /// The whole blob, read back on the disk pool where it is in a file: for a look at it before it is published.
    pub async fn read(mut self) -> Result<(Self, Vec<u8>)> {
        if !self.file.is_there() {
            let bytes = self.rest.to_vec();
            return Ok((self, bytes));
        }
        let pool = self.pool.clone();
        pool.run(move || {
            let mut file = self.write_rest()?;
            file.seek(SeekFrom::Start(0))?;
            let mut bytes = Vec::with_capacity(usize::try_from(self.size_bytes).unwrap_or(0));
            file.read_to_end(&mut bytes)?;
            self.file.keep(file);
            Ok((self, bytes))
        })
        .await
    }

    /// The file, to be sent somewhere else.
    pub(crate) async fn source(mut self) -> Result<(Self, Source)> {
        let pool = self.pool.clone();
        pool.run(move || {
            let file = self.write_rest()?;
            let source = Source::new(file, self.pool.clone(), self.size_bytes, self.sha256);
            Ok((self, source))
        })
        .await
    }

    /// The file with all bytes in it.
    fn write_rest(&mut self) -> Result<File> {
        let mut file = self.file.reopen()?;
        if self.rest.len() > 0 {
            self.rest.write_to(&mut file)?;
            self.rest = Pieces::default();
            self.steps = None;
        }
        Ok(file)
    }

    /// Makes the file's bytes durable where they are.
    pub(crate) fn fsync(&mut self, durable: bool) -> Result<()> {
        let mut file = self.write_rest()?;
        if durable {
            let began = Instant::now();
            file.sync_all()?;
            self.file.folder.metrics.file_fsync_seconds.observe(began.elapsed().as_secs_f64());
        }
        if self.file.was_closed {
            self.read_back(&mut file)?;
        }
        Ok(())
    }

    fn read_back(&self, file: &mut File) -> Result<()> {
        file.seek(SeekFrom::Start(0))?;
        if sha256_of(file)? == self.sha256 { Ok(()) } else { Err(Error::Damaged) }
    }

    /// Gives the file its name in a directory, never another's: two captures under one key would leave one of them
    /// without its bytes. There is nothing to remove any more then.
    pub(crate) fn rename(&mut self, directory: &File, name: &str) -> Result<()> {
        let from = self.file.path.as_ref().ok_or(Error::NotFound)?;
        rustix::fs::renameat_with(CWD, from, directory, name, RenameFlags::NOREPLACE)?;
        self.file.path = None;
        self.file.folder.metrics.staging_files.dec();
        Ok(())
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
