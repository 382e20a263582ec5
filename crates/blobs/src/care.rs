//! The folder's care: what lies in it, what is set aside, what is cleared away.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, OFlags, RenameFlags};
use rustix::io::Errno;
use uuid::Uuid;

use crate::folder::{Folder, QUARANTINE, STAGING, is_plain, is_time_folder, split_key};
use crate::measure::median_sync;
use crate::{Error, Result};

/// A file of a time folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedBlob {
    /// Its key.
    pub key: String,
    /// How long ago it was given its place. Not how long ago it was written: a form may take hours to arrive.
    pub age: Duration,
}

impl Folder {
    pub(crate) fn time_folders(&self) -> Result<Vec<String>> {
        let mut folders = Vec::new();
        // What cannot be part of a key is not the store's: `lost+found`, say, which only root may read.
        for day in names_in(&self.root)?.iter().filter(|name| is_plain(name)) {
            for minute in names_in(&self.root.join(day))?.iter().filter(|name| is_plain(name)) {
                folders.push(format!("{day}/{minute}"));
            }
        }
        folders.sort_unstable();
        Ok(folders)
    }

    pub(crate) fn is_empty(&self) -> Result<bool> {
        for folder in self.time_folders()? {
            if !self.list(&folder)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn list(&self, time_folder: &str) -> Result<Vec<ListedBlob>> {
        if !is_time_folder(time_folder) {
            return Err(Error::BadKey(time_folder.to_owned()));
        }
        match self.open_dir(time_folder) {
            Ok(_) => {}
            // The last of them was deleted since the folders were listed: in a bucket it would be gone too.
            Err(Error::NotFound) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut blobs = Vec::new();
        for entry in fs::read_dir(self.root.join(time_folder))? {
            let entry = entry?;
            let name = entry.file_name();
            let (Some(name), false) = (name.to_str().filter(|name| is_plain(name)), entry.file_type()?.is_dir()) else {
                tracing::warn!(time_folder, "something that is no photo lies among the photos; it is left alone");
                continue;
            };
            let changed = match entry.metadata() {
                Ok(metadata) => metadata.ctime(),
                // Deleted while we looked.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            // A clock set back makes a file of the future: as good as new.
            let age = now.saturating_sub(Duration::from_secs(u64::try_from(changed).unwrap_or(0)));
            blobs.push(ListedBlob { key: format!("{time_folder}/{name}"), age });
        }
        Ok(blobs)
    }

    pub(crate) fn clear_staging(&self, age: Duration) -> Result<usize> {
        remove_files(&self.root.join(STAGING), age)
    }

    pub(crate) fn clear_quarantine(&self, age: Duration) -> Result<usize> {
        remove_files(&self.root.join(QUARANTINE), age)
    }

    pub(crate) fn quarantine(&self, key: &str) -> Result<()> {
        let (folder, name) = split_key(key)?;
        let directory = self.open_dir(folder)?;
        let aside = File::open(self.root.join(QUARANTINE))?;
        let mut aside_name = name.to_owned();
        let move_to = |to: &str| rustix::fs::renameat_with(&directory, name, &aside, to, RenameFlags::NOREPLACE);
        match move_to(&aside_name) {
            // Put back by a person and set aside again: both are kept.
            Err(Errno::EXIST) => {
                aside_name = format!("{}-{name}", Uuid::now_v7().simple());
                move_to(&aside_name)?;
            }
            other => other?,
        }
        // Its time in quarantine counts from now.
        rustix::fs::utimensat(
            &aside,
            &*aside_name,
            &rustix::fs::Timestamps {
                last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
                last_modification: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
            },
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        self.fsync_or_stop(&aside)?;
        self.fsync_time_folder(folder)
    }

    pub(crate) fn quarantine_note(&self, name: &str, text: &str) -> Result<()> {
        if !is_plain(name) {
            return Err(Error::BadKey(name.to_owned()));
        }
        let folder = self.root.join(QUARANTINE);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(folder.join(name))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        self.fsync_or_stop(&File::open(folder)?)
    }

    pub(crate) fn measure_fsync(&self, rounds: usize) -> Result<Duration> {
        median_sync(&self.root.join(STAGING), "fsync-measurement", rounds)
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
        let metadata = entry.metadata()?;
        let age = metadata.modified()?.elapsed().unwrap_or_default();
        // A folder is not ours, and must not keep the server from starting.
        if age >= age_min && !metadata.is_dir() {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}
