//! Bytes under a key, durably.
//!
//! **Owns** the folder of photos: staging files, published files, their directories, and every fsync of them.
//! **Promises** that what [`Blobs::publish`] returned `Ok` for survives a power cut: the file was fsynced, renamed
//! into place without replacing anything, and its directory fsynced, in that order; that an fsync which failed is
//! never retried into success; that a key cannot lead outside the folder or through a symbolic link; that what is
//! staged and not published disappears.
//! **Leaves** to others: what a photo is (`imaging`), whom it belongs to (`records`).
//!
//! Layout below the root: `<YYYY-MM-DD>/<HHMM>/<name>` for photos (folders by time, so that the photos of one moment
//! share one directory fsync), `.staging/` for uploads under way, `.quarantine/` for what a check set aside.

mod care;
mod directory;
mod folder;
mod metrics;
mod pool;
mod staging;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use care::ListedBlob;
pub use directory::create_folder;
pub use folder::Found;
pub use staging::{StagedBlob, Staging};

/// A result of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why bytes could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing under this key.
    #[error("no such blob")]
    NotFound,
    /// The disk is full (space, inodes or quota), or below the room that must stay free. Heals by itself.
    #[error("the photo disk is full")]
    Full,
    /// More work waits for the disk than the queue may hold, or no descriptor is left. Try again soon.
    #[error("the disk is overloaded")]
    Overloaded,
    /// An fsync of a directory failed: what was renamed there is in doubt, so nothing more is stored until restart.
    #[error("the photo store takes no more photos until restart: an fsync failed")]
    Stopped,
    /// The key is not of the store's own form, or leads through a symbolic link or to something that is no file.
    #[error("'{0}' is not a key of this store")]
    BadKey(String),
    /// The bytes are not those that were stored.
    #[error("the stored bytes are damaged: their SHA-256 is not the one recorded")]
    Damaged,
    /// Anything else the disk says.
    #[error("photo store: {0}")]
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Self::Overloaded,
            Some(Errno::NOENT) => Self::NotFound,
            // The last is what opening a socket says.
            Some(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => Self::BadKey("a symbolic link".to_owned()),
            _ => Self::Io(error),
        }
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        io::Error::from(errno).into()
    }
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct BlobsOptions {
    /// Whether to fsync at all. `false` is for measurements: a power cut may take answered photos.
    pub durable: bool,
    /// Most disk operations under way at once.
    pub disk_workers: usize,
    /// Most disk operations waiting; beyond, [`Error::Overloaded`].
    pub disk_queue_max: usize,
    /// Room that stays free on the disk; below it nothing is staged ([`Error::Full`]).
    pub free_bytes_min: u64,
    /// Staging files held open at once; beyond, each is closed between writes and read back before it is published.
    pub open_staging_files_max: usize,
}

impl Default for BlobsOptions {
    fn default() -> Self {
        Self { durable: true, disk_workers: 16, disk_queue_max: 1024, free_bytes_min: 0, open_staging_files_max: 1024 }
    }
}

/// A store of bytes under keys. Cheap to clone; every clone is the same store.
#[derive(Clone)]
pub struct Blobs {
    folder: Arc<folder::Folder>,
    pool: pool::DiskPool,
}

/// A part of a blob: things that are made, read and deleted together share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Bytes before it.
    pub offset_bytes: u64,
    /// Its bytes.
    pub size_bytes: u64,
}

impl Part {
    /// All there is.
    pub const WHOLE: Self = Self { offset_bytes: 0, size_bytes: u64::MAX };
}

/// Bytes that are durable under their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedBlob {
    /// Where they lie.
    pub key: String,
}

impl Blobs {
    /// Opens the store below `root`, making the folder where there is none.
    pub fn open(root: &Path, options: BlobsOptions) -> Result<Self> {
        let metrics = metrics::Metrics::new();
        let pool = pool::DiskPool::new(options.disk_workers, options.disk_queue_max, metrics.clone());
        Ok(Self { folder: Arc::new(folder::Folder::open(root, options, metrics)?), pool })
    }

    /// Adds the store's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.folder.metrics.register(registry);
    }

    /// The folder the store lies in.
    pub fn root(&self) -> PathBuf {
        self.folder.root.clone()
    }

    /// Begins to take bytes in. Nothing touches the disk before there are some worth it.
    pub fn stage(&self) -> Staging {
        Staging::new(self.folder.clone(), self.pool.clone())
    }

    /// Makes staged blobs durable under their keys: all of them, or none.
    ///
    /// # Errors
    /// Whatever failed; nothing stays behind then, but for [`Error::Stopped`], after which recovery at the next start
    /// decides.
    pub async fn publish(&self, blobs: Vec<(StagedBlob, String)>) -> Result<Vec<PublishedBlob>> {
        let folder = self.folder.clone();
        self.pool.run(move || folder.publish(blobs)).await
    }

    /// Takes back what was published and not recorded: all that can be, whatever fails of the rest.
    pub async fn unpublish(&self, blobs: Vec<PublishedBlob>) -> Result<()> {
        let mut outcome = Ok(());
        for blob in blobs {
            outcome = outcome.and(self.delete(blob.key).await);
        }
        outcome
    }

    /// Deletes a blob, durably; one that is not there is deleted already.
    pub async fn delete(&self, key: String) -> Result<()> {
        let folder = self.folder.clone();
        self.pool.run_always(move || folder.delete(&key)).await
    }

    /// Opens a part of a blob for reading, where it begins, after its bytes were checked against `sha256`: bit rot is
    /// never served. Also how many bytes it has.
    ///
    /// # Errors
    /// [`Error::Damaged`] where they differ.
    pub async fn open_verified(&self, key: String, part: Part, sha256: [u8; 32]) -> Result<(File, u64)> {
        let folder = self.folder.clone();
        self.pool.run(move || folder.open_verified(&key, part, &sha256)).await
    }

    /// Reads the next piece of an open blob on the disk pool; empty at its end.
    pub async fn read_piece(&self, mut file: File, bytes_max: usize) -> Result<(File, Vec<u8>)> {
        self.pool
            .run_always(move || {
                use std::io::Read;
                let mut piece = Vec::with_capacity(bytes_max);
                (&mut file).take(bytes_max as u64).read_to_end(&mut piece)?;
                Ok((file, piece))
            })
            .await
    }

    /// What there is of a part of a blob, its bytes read through if `deep`.
    pub async fn look(&self, key: String, part: Part, deep: bool) -> Result<Found> {
        let folder = self.folder.clone();
        self.pool.run_always(move || folder.look(&key, part, deep)).await
    }

    /// The time folders (`<YYYY-MM-DD>/<HHMM>`), oldest first.
    pub async fn time_folders(&self) -> Result<Vec<String>> {
        let folder = self.folder.clone();
        self.pool.run_always(move || folder.time_folders()).await
    }

    /// Whether not one blob lies in the store. Blocks on the disk: for the start.
    pub fn is_empty(&self) -> Result<bool> {
        for folder in self.folder.time_folders()? {
            if !self.folder.list(&folder)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The blobs of one time folder.
    pub async fn list(&self, time_folder: String) -> Result<Vec<ListedBlob>> {
        let folder = self.folder.clone();
        self.pool.run_always(move || folder.list(&time_folder)).await
    }

    /// Removes staging files that have not changed for longer than `age`; how many. Of no age: only the owner of the
    /// folder may, before it stages anything.
    pub async fn clear_staging(&self, age: std::time::Duration) -> Result<usize> {
        let folder = self.folder.clone();
        self.pool.run_always(move || folder.clear_staging(age)).await
    }

    /// Moves a blob aside into `.quarantine`, durably, keeping its bytes.
    pub async fn quarantine(&self, key: String) -> Result<()> {
        let folder = self.folder.clone();
        self.pool.run_always(move || folder.quarantine(&key)).await
    }

    /// Keeps a text in `.quarantine`, durably: what is known of a row that was set aside.
    pub async fn quarantine_note(&self, name: String, text: String) -> Result<()> {
        let folder = self.folder.clone();
        self.pool.run_always(move || folder.quarantine_note(&name, &text)).await
    }

    /// Deletes what has been in quarantine for longer than `age`; how many files.
    pub async fn clear_quarantine(&self, age: std::time::Duration) -> Result<usize> {
        let folder = self.folder.clone();
        self.pool.run_always(move || folder.clear_quarantine(age)).await
    }

    /// Bytes free for an ordinary user on the store's disk.
    pub fn free_bytes(&self) -> Result<u64> {
        self.folder.free_bytes()
    }

    /// Disk operations waiting for a worker, and the most that may wait.
    pub fn queue(&self) -> (usize, usize) {
        self.pool.queue()
    }

    /// Whether storing has stopped until restart, after a failed directory fsync.
    pub fn is_stopped(&self) -> bool {
        self.folder.is_stopped()
    }

    /// Writes, fsyncs and removes a small file `rounds` times; the median time of the fsync. For the doctor.
    pub async fn measure_fsync(&self, rounds: usize) -> Result<std::time::Duration> {
        let folder = self.folder.clone();
        self.pool.run_always(move || folder.measure_fsync(rounds)).await
    }
}

/// The key of a blob published at `unix_seconds` UTC under `name`.
pub fn key_at(unix_seconds: i64, name: &str) -> String {
    format!("{}/{name}", folder::time_folder(unix_seconds))
}
