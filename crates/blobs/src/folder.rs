//! The folder itself: publishing in the one safe order, and reading without following links.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, civil};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use tokio::sync::Semaphore;

use crate::directory::{Directories, FsyncError, create_folder};
use crate::metrics::Metrics;
use crate::staging::{FAST_STEPS, StagedBlob, sha256_of};
use crate::{BlobsOptions, Error, Part, PublishedBlob, Result};

pub(crate) const STAGING: &str = ".staging";
pub(crate) const QUARANTINE: &str = ".quarantine";

/// What a key's file is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bytes in the file.
    pub size_bytes: u64,
    /// SHA-256 of them, if they were read.
    pub sha256: Option<[u8; 32]>,
}

pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    pub(crate) options: BlobsOptions,
    pub(crate) metrics: Metrics,
    pub(crate) open_staging_files: AtomicUsize,
    /// Memory that uploads share which come fast.
    pub(crate) fast_memory: Arc<Semaphore>,
    directories: Directories,
    /// Time folders whose own entry is known to be durable.
    durable_folders: Mutex<BTreeSet<String>>,
    stopped: AtomicBool,
}

/// `<YYYY-MM-DD>/<HHMM>` of a moment, in UTC.
pub(crate) fn time_folder(unix_seconds: i64) -> String {
    // By the civil calendar: jiff's timestamps end a day before the year 9999 does.
    let epoch = civil::date(1970, 1, 1).at(0, 0, 0, 0);
    epoch.saturating_add(SignedDuration::from_secs(unix_seconds)).strftime("%Y-%m-%d/%H%M").to_string()
}

fn make_private_dir(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => Ok(other?),
    }
}

fn fsync_dir(path: &Path) -> Result<()> {
    Ok(File::open(path)?.sync_all()?)
}

impl Folder {
    pub(crate) fn open(root: &Path, options: BlobsOptions, metrics: Metrics) -> Result<Self> {
        create_folder(root, options.durable)?;
        let root = fs::canonicalize(root)?;
        make_private_dir(&root.join(STAGING))?;
        make_private_dir(&root.join(QUARANTINE))?;
        if options.durable {
            fsync_dir(&root)?;
        }
        Ok(Self {
            root,
            options,
            metrics,
            open_staging_files: AtomicUsize::new(0),
            fast_memory: Arc::new(Semaphore::new(FAST_STEPS)),
            directories: Directories::default(),
            durable_folders: Mutex::default(),
            stopped: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn staging_path(&self, name: &str) -> PathBuf {
        self.root.join(STAGING).join(name)
    }

    pub(crate) fn free_bytes(&self) -> Result<u64> {
        let space = rustix::fs::statvfs(&self.root)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Refuses new bytes while the disk is nearly full, so that the catalog can still be written.
    pub(crate) fn check_room(&self) -> Result<()> {
        if self.is_stopped() {
            return Err(Error::Stopped);
        }
        if self.options.free_bytes_min > 0 && self.free_bytes()? < self.options.free_bytes_min {
            return Err(Error::Full);
        }
        Ok(())
    }

    /// fsync each file, rename each into place, fsync each directory; a failure takes everything back.
    pub(crate) fn publish(&self, mut blobs: Vec<(StagedBlob, String)>) -> Result<Vec<PublishedBlob>> {
        if self.is_stopped() {
            return Err(Error::Stopped);
        }
        let mut published = Vec::with_capacity(blobs.len());
        let outcome = self.publish_in_order(&mut blobs, &mut published);
        if let Err(error) = outcome {
            for PublishedBlob { key } in published {
                if let Err(error) = self.unlink(&key) {
                    tracing::warn!(%error, key, "a photo that was not answered could not be removed; recovery will set it aside");
                }
            }
            return Err(error);
        }
        Ok(published)
    }

    fn publish_in_order(&self, blobs: &mut [(StagedBlob, String)], published: &mut Vec<PublishedBlob>) -> Result<()> {
        for (staged, _) in blobs.iter_mut() {
            staged.fsync(self.options.durable)?;
        }
        let mut folders = BTreeMap::new();
        for (staged, key) in blobs.iter_mut() {
            let (folder, name) = split_key(key)?;
            if !folders.contains_key(folder) {
                self.ensure_time_folder(folder)?;
                // Walked to each time: held open for longer, it might lead to where somebody has moved it.
                folders.insert(folder.to_owned(), self.open_dir(folder)?);
            }
            staged.rename(&folders[folder], name)?;
            published.push(PublishedBlob { key: key.clone() });
        }
        for (folder, directory) in folders {
            self.fsync_directory(&folder, || Ok(directory.try_clone()?))?;
        }
        Ok(())
    }

    pub(crate) fn fsync_time_folder(&self, folder: &str) -> Result<()> {
        self.fsync_directory(folder, || self.open_dir(folder))
    }

    fn fsync_directory(&self, folder: &str, open: impl Fn() -> Result<File>) -> Result<()> {
        if !self.options.durable {
            return Ok(());
        }
        let observe = |took: Duration| self.metrics.directory_fsync_seconds.observe(took.as_secs_f64());
        match self.directories.fsync(folder, open, observe) {
            Ok(()) => Ok(()),
            Err(FsyncError::NotTried(error)) => Err(error),
            Err(FsyncError::Failed) => Err(self.stop()),
        }
    }

    /// Asked again, the kernel says yes to an fsync whose pages it has dropped: after one that failed nothing is
    /// stored any more.
    fn stop(&self) -> Error {
        if !self.stopped.swap(true, Ordering::AcqRel) {
            tracing::error!("photo store: an fsync of a directory failed; nothing more is stored until restart");
        }
        Error::Stopped
    }

    pub(crate) fn fsync_or_stop(&self, directory: &File) -> Result<()> {
        directory.sync_all().map_err(|error| {
            tracing::error!(%error, "fsync of a directory failed");
            self.stop()
        })
    }

    /// Makes a time folder whose own entry survives a power cut, before anything is renamed into it.
    fn ensure_time_folder(&self, folder: &str) -> Result<()> {
        let mut known = self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(folder) {
            return Ok(());
        }
        let (day, minute) = folder.split_once('/').ok_or_else(|| Error::BadKey(folder.to_owned()))?;
        make_private_dir(&self.root.join(day))?;
        let day = self.open_dir(day)?;
        match rustix::fs::mkdirat(&day, minute, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        if self.options.durable {
            self.fsync_or_stop(&day)?;
            self.fsync_or_stop(&File::open(&self.root)?)?;
        }
        if known.len() > 64 {
            known.clear();
        }
        known.insert(folder.to_owned());
        Ok(())
    }

    /// Removes time folders before this one that nothing lies in any more. No durability: what comes back is empty.
    pub(crate) fn remove_empty_before(&self, time_folder: &str) -> Result<()> {
        for folder in self.time_folders()?.iter().filter(|folder| folder.as_str() < time_folder) {
            let Some((day, minute)) = folder.split_once('/') else { continue };
            // Nobody is sure of a folder while it goes.
            let mut known = self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner);
            match rustix::fs::unlinkat(self.open_dir(day)?, minute, AtFlags::REMOVEDIR) {
                Ok(()) => {
                    known.remove(folder);
                }
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn delete(&self, key: &str) -> Result<()> {
        absent_is_none(self.unlink(key))?;
        // Also where it was gone already: whoever removed it may not have come to its fsync yet.
        absent_is_none(self.fsync_time_folder(split_key(key)?.0))?;
        Ok(())
    }

    pub(crate) fn unlink(&self, key: &str) -> Result<()> {
        let (folder, name) = split_key(key)?;
        Ok(rustix::fs::unlinkat(self.open_dir(folder)?, name, AtFlags::empty())?)
    }

    /// Opens a directory below the root step by step, following no link.
    pub(crate) fn open_dir(&self, relative: &str) -> Result<File> {
        let mut directory = File::open(&self.root)?;
        for part in relative.split('/') {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            directory = rustix::fs::openat(&directory, part, flags, Mode::empty())?.into();
        }
        Ok(directory)
    }

    fn open_blob(&self, key: &str) -> Result<File> {
        let (folder, name) = split_key(key)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = rustix::fs::openat(self.open_dir(folder)?, name, flags, Mode::empty())?.into();
        // A planted pipe or device is no photo, and reading it might never end.
        if file.metadata()?.is_file() { Ok(file) } else { Err(Error::BadKey(key.to_owned())) }
    }

    /// Opens a blob where a part of it begins, and how many bytes of that part there are.
    pub(crate) fn open_part(&self, key: &str, part: Part) -> Result<(File, u64)> {
        let mut file = self.open_blob(key)?;
        let behind = file.metadata()?.len().saturating_sub(part.offset_bytes);
        file.seek(SeekFrom::Start(part.offset_bytes))?;
        Ok((file, part.size_bytes.min(behind)))
    }

    pub(crate) fn open_verified(&self, key: &str, part: Part, sha256: &[u8; 32]) -> Result<(File, u64)> {
        let (mut file, size_bytes) = self.open_part(key, part)?;
        if sha256_of(&mut (&mut file).take(size_bytes))? != *sha256 {
            return Err(Error::Damaged);
        }
        file.seek(SeekFrom::Start(part.offset_bytes))?;
        Ok((file, size_bytes))
    }

    pub(crate) fn look(&self, key: &str, part: Part, deep: bool) -> Result<Found> {
        let (file, size_bytes) = self.open_part(key, part)?;
        Ok(Found { size_bytes, sha256: if deep { Some(sha256_of(&mut file.take(size_bytes))?) } else { None } })
    }
}

/// `<day>/<minute>` and the name of a key, or a refusal: a key is never a way out of the folder.
pub(crate) fn split_key(key: &str) -> Result<(&str, &str)> {
    let bad = || Error::BadKey(key.to_owned());
    let (folder, name) = key.rsplit_once('/').ok_or_else(bad)?;
    if is_plain(name) && is_time_folder(folder) { Ok((folder, name)) } else { Err(bad()) }
}

pub(crate) fn is_time_folder(folder: &str) -> bool {
    folder.split('/').count() == 2 && folder.split('/').all(is_plain)
}

/// Whether this can be one part of a key.
pub(crate) fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn absent_is_none<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::Folder;
    use crate::metrics::Metrics;
    use crate::{BlobsOptions, Error};

    #[test]
    fn after_an_fsync_that_failed_nothing_is_stored() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), BlobsOptions::default(), Metrics::new()).unwrap();
        folder.check_room().unwrap();
        // A pipe is what an fsync fails on.
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(reader));
        assert!(matches!(folder.fsync_or_stop(&pipe), Err(Error::Stopped)));
        assert!(folder.is_stopped());
        assert!(matches!(folder.check_room(), Err(Error::Stopped)));
        assert!(matches!(folder.publish(Vec::new()), Err(Error::Stopped)));
        folder.time_folders().expect("reading goes on");
        let again = Folder::open(root.path(), BlobsOptions::default(), Metrics::new()).unwrap();
        again.check_room().expect("until restart");
    }
}
