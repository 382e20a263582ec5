//! Bytes under a key, durably.
//!
//! **Owns** the photos, in a folder or in a bucket of S3: staging files, published files, their directories, every
//! fsync of them, and every request to S3.
//! **Promises** that what [`Blobs::publish`] returned `Ok` for survives a power cut: the file was fsynced, renamed
//! into place without replacing anything, and its directory fsynced, in that order; or S3 has it, and said so. That an
//! fsync which failed is never retried into success; that a key cannot lead outside the store or through a symbolic
//! link; that what is staged and not published disappears.
//! **Leaves** to others: what a photo is (`imaging`), whom it belongs to (`records`).
//!
//! Layout below the root: `<YYYY-MM-DD>/<HHMM>/<name>` for photos (folders by time, so that the photos of one moment
//! share one directory fsync), `.staging/` for uploads under way, `.quarantine/` for what a check set aside. In a
//! bucket it is the same, but that staging is in a folder of the node's own.

mod care;
mod directory;
mod folder;
mod measure;
mod metrics;
mod pieces;
mod pool;
mod s3;
mod staging;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use folder::Folder;
use s3::S3;
use tokio::sync::watch;

pub use care::ListedBlob;
pub use directory::create_folder;
pub use folder::Found;
pub use measure::{SyncRate, measure_syncs};
pub use s3::{S3Options, Waiting};
pub use staging::{Look, StagedBlob, Staging};

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
    /// The store is away, too slow, or does not let us in; what is asked of it now is not done. Try again later.
    #[error("the photo store cannot be reached: {0}")]
    Unavailable(String),
    /// The node that took it has not put it into the shared store yet. Try again later, or ask that node.
    #[error("the photo is still on the node that took it")]
    NotShipped,
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
    /// Most disk operations waiting; beyond, whoever has not begun meets [`Error::Overloaded`].
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
    store: Store,
    /// Where bytes are staged: where the store is a folder, that folder.
    staging: Arc<Folder>,
    pool: pool::DiskPool,
}

/// Where published bytes lie.
#[derive(Clone)]
enum Store {
    Folder(Arc<Folder>),
    S3(Arc<S3>),
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
        let (staging, pool) = open_staging(root, options)?;
        Ok(Self { store: Store::Folder(staging.clone()), staging, pool })
    }

    /// A store in a bucket, with its staging files below `root`. Does not ask whether the bucket is there.
    pub fn open_s3(root: &Path, options: BlobsOptions, bucket: S3Options) -> Result<Self> {
        let (staging, pool) = open_staging(root, options)?;
        let s3 = S3::open(bucket, staging.clone(), pool.clone())?;
        Ok(Self { store: Store::S3(Arc::new(s3)), staging, pool })
    }

    /// Adds the store's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.staging.metrics.register(registry);
        if let Store::S3(s3) = &self.store {
            s3.register_metrics(registry);
        }
    }

    /// The folder that staging files lie in, and the photos where the store is a folder.
    pub fn root(&self) -> PathBuf {
        self.staging.root.clone()
    }

    /// Where the photos are, for a person.
    pub fn place(&self) -> String {
        match &self.store {
            Store::Folder(folder) => folder.root.display().to_string(),
            Store::S3(s3) => s3.place(),
        }
    }

    /// Whether other machines may use the same store.
    pub fn is_shared(&self) -> bool {
        matches!(self.store, Store::S3(_))
    }

    /// [`Error::Overloaded`] where as much work waits as may. For the door: whoever was let in is not refused later.
    pub fn refuse_if_full(&self) -> Result<()> {
        self.pool.refuse_if_full()?;
        if let Store::S3(s3) = &self.store { s3.refuse_if_full() } else { Ok(()) }
    }

    /// Begins to take bytes in. Nothing touches the disk before there are some worth it.
    pub fn stage(&self) -> Staging {
        Staging::new(self.staging.clone(), self.pool.clone())
    }

    /// Makes staged blobs durable under their keys: all of them, or none.
    ///
    /// # Errors
    /// Whatever failed; nothing stays behind then, but for [`Error::Stopped`], after which recovery at the next start
    /// decides, and for [`Error::Unavailable`], where a store that is away keeps what it cannot be asked to remove.
    pub async fn publish(&self, blobs: Vec<(StagedBlob, String)>) -> Result<Vec<PublishedBlob>> {
        match &self.store {
            Store::Folder(folder) => {
                let folder = folder.clone();
                self.pool.run(move || folder.publish(blobs)).await
            }
            Store::S3(s3) => s3.publish(blobs).await,
        }
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
        match &self.store {
            Store::Folder(folder) => self.on_disk(folder, move |folder| folder.delete(&key)).await,
            Store::S3(s3) => s3.delete(&key).await,
        }
    }

    /// Opens a part of a blob for reading, where it begins, after its bytes were checked against `sha256`: bit rot is
    /// never served. Also how many bytes it has.
    ///
    /// # Errors
    /// [`Error::Damaged`] where they differ.
    pub async fn open_verified(&self, key: String, part: Part, sha256: [u8; 32]) -> Result<(File, u64)> {
        match &self.store {
            Store::Folder(folder) => {
                self.pool.refuse_if_full()?;
                let folder = folder.clone();
                self.pool.run(move || folder.open_verified(&key, part, &sha256)).await
            }
            Store::S3(s3) => s3.open_verified(&key, part, &sha256).await,
        }
    }

    /// Reads the next piece of an open blob on the disk pool; empty at its end.
    pub async fn read_piece(&self, mut file: File, bytes_max: usize) -> Result<(File, Vec<u8>)> {
        self.pool
            .run(move || {
                use std::io::Read;
                let mut piece = Vec::with_capacity(bytes_max);
                (&mut file).take(bytes_max as u64).read_to_end(&mut piece)?;
                Ok((file, piece))
            })
            .await
    }

    /// What there is of a part of a blob, its bytes read through if `deep`.
    pub async fn look(&self, key: String, part: Part, deep: bool) -> Result<Found> {
        match &self.store {
            Store::Folder(folder) => self.on_disk(folder, move |folder| folder.look(&key, part, deep)).await,
            Store::S3(s3) => s3.look(&key, part, deep).await,
        }
    }

    /// Whether these bytes lie under this key. A bucket is believed its note of a checksum that it compared itself, but
    /// for `deep`; a folder is read.
    pub async fn holds(&self, key: &str, size_bytes: u64, sha256: [u8; 32], deep: bool) -> Result<bool> {
        if let (Store::S3(s3), false) = (&self.store, deep) {
            return s3.holds(key, size_bytes, sha256).await;
        }
        match self.look(key.to_owned(), Part::WHOLE, true).await {
            Ok(found) => Ok((found.size_bytes, found.sha256) == (size_bytes, Some(sha256))),
            Err(Error::NotFound | Error::NotShipped) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An address under which anybody may read a blob for so long: `None` where the store has none, or where the blob
    /// waits on this node. What it says of the bytes (`content_type`, `disposition`) is signed with it.
    ///
    /// Nothing is compared with a checksum by whoever reads it there.
    pub async fn signed_url(
        &self,
        key: &str,
        time: Duration,
        content_type: &str,
        disposition: &str,
    ) -> Result<Option<String>> {
        match &self.store {
            Store::Folder(_) => Ok(None),
            Store::S3(s3) => s3.signed_url(key, time, content_type, disposition).await,
        }
    }

    /// The time folders (`<YYYY-MM-DD>/<HHMM>`), oldest first.
    pub async fn time_folders(&self) -> Result<Vec<String>> {
        self.newest_time_folders(usize::MAX).await
    }

    /// The newest `max` of the time folders, oldest first: in a bucket of years, all of them take a while to list.
    pub async fn newest_time_folders(&self, max: usize) -> Result<Vec<String>> {
        let mut folders = match &self.store {
            Store::Folder(folder) => self.on_disk(folder, Folder::time_folders).await?,
            Store::S3(s3) => s3.newest_time_folders(max).await?,
        };
        Ok(folders.split_off(folders.len().saturating_sub(max)))
    }

    /// Whether not one blob lies in the store.
    pub async fn is_empty(&self) -> Result<bool> {
        match &self.store {
            Store::Folder(folder) => self.on_disk(folder, Folder::is_empty).await,
            Store::S3(s3) => s3.is_empty().await,
        }
    }

    /// The blobs of one time folder.
    pub async fn list(&self, time_folder: String) -> Result<Vec<ListedBlob>> {
        match &self.store {
            Store::Folder(folder) => self.on_disk(folder, move |folder| folder.list(&time_folder)).await,
            Store::S3(s3) => s3.list(&time_folder).await,
        }
    }

    /// Removes staging files that have not changed for longer than `age`; how many. Of no age: only the owner of the
    /// folder may, before it stages anything.
    pub async fn clear_staging(&self, age: Duration) -> Result<usize> {
        self.on_disk(&self.staging, move |staging| staging.clear_staging(age)).await
    }

    /// Ends uploads to a bucket that were begun longer ago than `age`, by whichever node, and given up by a crash; how
    /// many. Their parts are stored and paid for, and no list of photos shows them.
    pub async fn abort_abandoned(&self, age: Duration) -> Result<usize> {
        match &self.store {
            Store::Folder(_) => Ok(0),
            Store::S3(s3) => s3.abort_abandoned(age).await,
        }
    }

    /// Moves a blob aside into `.quarantine`, durably, keeping its bytes.
    pub async fn quarantine(&self, key: String) -> Result<()> {
        match &self.store {
            Store::Folder(folder) => self.on_disk(folder, move |folder| folder.quarantine(&key)).await,
            Store::S3(s3) => s3.quarantine(&key).await,
        }
    }

    /// Keeps a text in `.quarantine`, durably: what is known of a row that was set aside.
    pub async fn quarantine_note(&self, name: String, text: String) -> Result<()> {
        match &self.store {
            Store::Folder(folder) => self.on_disk(folder, move |folder| folder.quarantine_note(&name, &text)).await,
            Store::S3(s3) => s3.quarantine_note(&name, text).await,
        }
    }

    /// Deletes what has been in quarantine for longer than `age`; how many files.
    pub async fn clear_quarantine(&self, age: Duration) -> Result<usize> {
        match &self.store {
            Store::Folder(folder) => self.on_disk(folder, move |folder| folder.clear_quarantine(age)).await,
            Store::S3(s3) => s3.clear_quarantine(age).await,
        }
    }

    /// Bytes free for an ordinary user on the disk that bytes are staged on.
    pub fn free_bytes(&self) -> Result<u64> {
        self.staging.free_bytes()
    }

    /// Asks the store whether it is there, within the time of one request. A folder is: the disk is asked elsewhere.
    pub async fn ping(&self) -> Result<()> {
        match &self.store {
            Store::Folder(_) => Ok(()),
            Store::S3(s3) => s3.ping().await,
        }
    }

    /// Ships photos that wait on this node until `stop` says so; returns at once where none ever do. One process alone
    /// of those that share the folder.
    pub async fn ship(&self, stop: watch::Receiver<bool>) {
        if let Store::S3(s3) = &self.store {
            s3.ship(stop).await;
        }
    }

    /// What waits on this node to be shipped.
    pub async fn shipping_queue(&self) -> Result<Waiting> {
        match &self.store {
            Store::Folder(_) => Ok(Waiting::default()),
            Store::S3(s3) => s3.shipping_queue().await,
        }
    }

    /// Operations waiting for their turn, and the most that may wait: on the disk, or in the bucket where more wait.
    pub fn queue(&self) -> (usize, usize) {
        let disk = self.pool.queue();
        match &self.store {
            Store::S3(s3) => disk.max(s3.queue()),
            Store::Folder(_) => disk,
        }
    }

    /// Whether storing has stopped until restart, after a failed directory fsync.
    pub fn is_stopped(&self) -> bool {
        self.staging.is_stopped() || matches!(&self.store, Store::S3(s3) if s3.is_stopped())
    }

    /// Writes, fsyncs and removes a small file `rounds` times; the median time of the fsync. For the doctor.
    pub async fn measure_fsync(&self, rounds: usize) -> Result<Duration> {
        self.on_disk(&self.staging, move |staging| staging.measure_fsync(rounds)).await
    }

    /// On the disk pool, however much waits there.
    async fn on_disk<T: Send + 'static>(
        &self,
        folder: &Arc<Folder>,
        work: impl FnOnce(&Folder) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let folder = folder.clone();
        self.pool.run(move || work(&folder)).await
    }
}

fn open_staging(root: &Path, options: BlobsOptions) -> Result<(Arc<Folder>, pool::DiskPool)> {
    let metrics = metrics::Metrics::new();
    let pool = pool::DiskPool::new(options.disk_workers, options.disk_queue_max, metrics.disk.clone())?;
    Ok((Arc::new(Folder::open(root, options, metrics)?), pool))
}

/// The key of a blob published at `unix_seconds` UTC under `name`.
pub fn key_at(unix_seconds: i64, name: &str) -> String {
    format!("{}/{name}", folder::time_folder(unix_seconds))
}
