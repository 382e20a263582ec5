//! The folder itself: publishing in the one safe order, reading without following links, and its care.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};

use crate::directory::{Directories, FsyncError};
use crate::metrics::Metrics;
use crate::staging::{StagedBlob, sha256_of};
use crate::{BlobsOptions, Error, PublishedBlob, Result};

const STAGING: &str = ".staging";
const QUARANTINE: &str = ".quarantine";

/// What a key's file is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bytes in the file.
    pub size_bytes: u64,
    /// SHA-256 of them, if they were read.
    pub sha256: Option<[u8; 32]>,
}

/// A file of a time folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedBlob {
    /// Its key.
    pub key: String,
    /// How long ago it was written.
    pub age: Duration,
}

pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    pub(crate) options: BlobsOptions,
    pub(crate) metrics: Metrics,
    pub(crate) open_staging_files: AtomicUsize,
    directories: Directories,
    /// Time folders whose own entry is known to be durable.
    durable_folders: Mutex<BTreeSet<String>>,
    stopped: AtomicBool,
}

/// `<YYYY-MM-DD>/<HHMM>` of a moment. Proleptic Gregorian, by Howard Hinnant's `civil_from_days`.
pub(crate) fn time_folder(unix_seconds: i64) -> String {
    let (days, second) = (unix_seconds.div_euclid(86_400), unix_seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}/{:02}{:02}", second / 3600, second / 60 % 60)
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
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let root = fs::canonicalize(root)?;
        make_private_dir(&root.join(STAGING))?;
        make_private_dir(&root.join(QUARANTINE))?;
        if options.durable {
            fsync_dir(&root)?;
            if let Some(parent) = root.parent() {
                fsync_dir(parent)?;
            }
        }
        Ok(Self {
            root,
            options,
            metrics,
            open_staging_files: AtomicUsize::new(0),
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
                if let Err(error) = fs::remove_file(self.root.join(&key)) {
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
        let mut folders = BTreeSet::new();
        for (staged, key) in blobs.iter_mut() {
            let folder = split_key(key)?.0.to_owned();
            self.ensure_time_folder(&folder)?;
            let from = staged.path().ok_or(Error::NotFound)?;
            // Never replaces: two captures under one key would leave one of them without its bytes.
            rustix::fs::renameat_with(CWD, from, CWD, self.root.join(&*key), RenameFlags::NOREPLACE)?;
            staged.forget();
            published.push(PublishedBlob { key: key.clone() });
            folders.insert(folder);
        }
        for folder in folders {
            self.fsync_time_folder(&folder)?;
        }
        Ok(())
    }

    fn fsync_time_folder(&self, folder: &str) -> Result<()> {
        if !self.options.durable {
            return Ok(());
        }
        let observe = |took: Duration| self.metrics.directory_fsync_seconds.observe(took.as_secs_f64());
        match self.directories.fsync(folder, &self.root.join(folder), observe) {
            Ok(()) => Ok(()),
            Err(FsyncError::NotTried(error)) => Err(error.into()),
            Err(FsyncError::Failed) => {
                self.stopped.store(true, Ordering::Release);
                tracing::error!(folder, "photo store: nothing more is stored until restart");
                Err(Error::Stopped)
            }
        }
    }

    /// Makes a time folder whose own entry survives a power cut, before anything is renamed into it.
    fn ensure_time_folder(&self, folder: &str) -> Result<()> {
        let mut known = self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(folder) {
            return Ok(());
        }
        let (day, _) = folder.split_once('/').ok_or_else(|| Error::BadKey(folder.to_owned()))?;
        make_private_dir(&self.root.join(day))?;
        make_private_dir(&self.root.join(folder))?;
        if self.options.durable {
            fsync_dir(&self.root.join(day))?;
            fsync_dir(&self.root)?;
        }
        if known.len() > 64 {
            known.clear();
        }
        known.insert(folder.to_owned());
        Ok(())
    }

    pub(crate) fn delete(&self, key: &str) -> Result<()> {
        let (folder, name) = split_key(key)?;
        let Some(directory) = absent_is_none(self.open_dir(folder))? else { return Ok(()) };
        if absent_is_none(rustix::fs::unlinkat(&directory, name, AtFlags::empty()).map_err(Error::from))?.is_some() {
            self.fsync_time_folder(folder)?;
        }
        Ok(())
    }

    /// Opens a directory below the root step by step, following no link.
    fn open_dir(&self, relative: &str) -> Result<File> {
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

    pub(crate) fn open_verified(&self, key: &str, sha256: &[u8; 32]) -> Result<(File, u64)> {
        let mut file = self.open_blob(key)?;
        if sha256_of(&mut file)? != *sha256 {
            return Err(Error::Damaged);
        }
        let size_bytes = file.stream_position()?;
        file.seek(SeekFrom::Start(0))?;
        Ok((file, size_bytes))
    }

    pub(crate) fn look(&self, key: &str, deep: bool) -> Result<Found> {
        let mut file = self.open_blob(key)?;
        let size_bytes = file.metadata()?.len();
        Ok(Found { size_bytes, sha256: if deep { Some(sha256_of(&mut file)?) } else { None } })
    }

    pub(crate) fn time_folders(&self) -> Result<Vec<String>> {
        let mut folders = Vec::new();
        for day in names_in(&self.root)?.iter().filter(|name| !name.starts_with('.')) {
            for minute in names_in(&self.root.join(day))? {
                folders.push(format!("{day}/{minute}"));
            }
        }
        folders.sort_unstable();
        Ok(folders)
    }

    pub(crate) fn list(&self, time_folder: &str) -> Result<Vec<ListedBlob>> {
        let mut blobs = Vec::new();
        for entry in fs::read_dir(self.root.join(time_folder))? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let written = entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            // A clock set back makes a file of the future: as good as new.
            let age = SystemTime::now().duration_since(written).unwrap_or_default();
            blobs.push(ListedBlob { key: format!("{time_folder}/{name}"), age });
        }
        Ok(blobs)
    }

    pub(crate) fn clear_staging(&self) -> Result<usize> {
        remove_files(&self.root.join(STAGING), Duration::ZERO)
    }

    pub(crate) fn clear_quarantine(&self, age: Duration) -> Result<usize> {
        remove_files(&self.root.join(QUARANTINE), age)
    }

    pub(crate) fn quarantine(&self, key: &str) -> Result<()> {
        let (folder, name) = split_key(key)?;
        let directory = self.open_dir(folder)?;
        let aside = File::open(self.root.join(QUARANTINE))?;
        rustix::fs::renameat_with(&directory, name, &aside, name, RenameFlags::NOREPLACE)?;
        // Its time in quarantine counts from now.
        rustix::fs::utimensat(
            &aside,
            name,
            &rustix::fs::Timestamps {
                last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
                last_modification: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
            },
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        aside.sync_all()?;
        directory.sync_all()?;
        Ok(())
    }

    pub(crate) fn quarantine_note(&self, name: &str, text: &str) -> Result<()> {
        let path = self.root.join(QUARANTINE).join(name);
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fsync_dir(&self.root.join(QUARANTINE))
    }

    pub(crate) fn measure_fsync(&self, rounds: usize) -> Result<Duration> {
        let path = self.staging_path("fsync-measurement");
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds.max(1) {
            let mut file = File::create(&path)?;
            file.write_all(&[0; 4096])?;
            let began = Instant::now();
            file.sync_all()?;
            times.push(began.elapsed());
            fs::remove_file(&path)?;
        }
        times.sort_unstable();
        Ok(times[times.len() / 2])
    }
}

/// `<day>/<minute>` and the name of a key, or a refusal: a key is never a way out of the folder.
fn split_key(key: &str) -> Result<(&str, &str)> {
    let bad = || Error::BadKey(key.to_owned());
    let (folder, name) = key.rsplit_once('/').ok_or_else(bad)?;
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if plain(name) && folder.split('/').count() == 2 && folder.split('/').all(plain) {
        Ok((folder, name))
    } else {
        Err(bad())
    }
}

fn absent_is_none<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names of the directories in a folder; none where it is no directory.
fn names_in(path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Some(name) = OsStr::to_str(&entry.file_name())
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn remove_files(folder: &Path, age_min: Duration) -> Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if age >= age_min {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}
