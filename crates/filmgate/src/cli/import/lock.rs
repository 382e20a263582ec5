//! Who imports into a folder: one process at a time, and never while a server puts the folder in order.
//!
//! A server's recovery takes photos without a row for what a crash left, and clears what is being staged. An import
//! beside it has both. So a server recovers only while nobody imports.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};

/// Held for as long as this lives; the kernel lets go of it for a process that was killed.
pub(crate) struct ImportLock {
    _file: File,
}

impl ImportLock {
    /// Takes it, or says who has it.
    pub(crate) fn take(data_dir: &Path) -> anyhow::Result<Self> {
        match Self::try_take(data_dir)? {
            Some(lock) => Ok(lock),
            None => bail!(
                "another import works on {}, or a server that just starts: wait until it is done",
                data_dir.display()
            ),
        }
    }

    /// Takes it if nobody has it.
    pub(crate) fn try_take(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = data_dir.join("filmgate.import.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let first = ImportLock::take(place.path()).unwrap();
        assert!(ImportLock::try_take(place.path()).unwrap().is_none());
        assert!(ImportLock::take(place.path()).is_err());
        drop(first);
        assert!(ImportLock::take(place.path()).is_ok());
    }
}
