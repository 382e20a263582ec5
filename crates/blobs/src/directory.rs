//! Directory fsyncs, shared: photos renamed into one directory while an fsync runs wait for the next one together.

use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// The fsyncs of many directories.
#[derive(Default)]
pub(crate) struct Directories {
    by_path: Mutex<HashMap<String, Arc<Directory>>>,
}

#[derive(Default)]
struct Directory {
    state: Mutex<State>,
    done: Condvar,
}

/// Fsyncs are counted from 1. One that started after a rename covers it; one already running may not.
#[derive(Default)]
struct State {
    started: u64,
    completed: u64,
    running: bool,
    failed: bool,
}

/// Why a directory is not known to be durable.
pub(crate) enum FsyncError {
    /// The directory could not be opened (no descriptor left, say): nothing is lost by trying again.
    NotTried(Error),
    /// An fsync failed. Final.
    Failed,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Directories {
    /// Makes every rename into the directory that happened before this call durable, by an fsync that begins after
    /// it. A failure is final for the directory: the kernel forgets the pages it could not write.
    pub(crate) fn fsync(
        &self,
        name: &str,
        open: impl Fn() -> Result<File>,
        observe: impl Fn(std::time::Duration),
    ) -> Result<(), FsyncError> {
        let directory = {
            let mut by_path = lock(&self.by_path);
            // Folders are by minute: a handful is in use, the rest is history.
            if by_path.len() > 64 {
                by_path.retain(|_, directory| Arc::strong_count(directory) > 1 || lock(&directory.state).failed);
            }
            by_path.entry(name.to_owned()).or_default().clone()
        };
        let mut state = lock(&directory.state);
        let needed = state.started + 1;
        loop {
            if state.failed {
                return Err(FsyncError::Failed);
            }
            if state.completed >= needed {
                return Ok(());
            }
            if state.running {
                state = directory.done.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.running = true;
            state.started += 1;
            let this = state.started;
            drop(state);
            let opened = open();
            let began = std::time::Instant::now();
            let outcome = opened.map(|directory| directory.sync_all());
            observe(began.elapsed());
            state = lock(&directory.state);
            state.running = false;
            let outcome = match outcome {
                Ok(Ok(())) => {
                    state.completed = this;
                    Ok(())
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "fsync of a directory failed");
                    state.failed = true;
                    Err(FsyncError::Failed)
                }
                Err(error) => Err(FsyncError::NotTried(error)),
            };
            directory.done.notify_all();
            outcome?;
        }
    }
}

/// Makes a private folder with whatever is missing above it. If `durable`, it survives a power cut with every folder
/// above it: an fsync of its own parent alone would leave the ones higher up to be lost with everything in them. Those
/// that were there count too, because an earlier start may have died between making and fsyncing them.
pub fn create_folder(path: &Path, durable: bool) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    if durable {
        for parent in path.ancestors().skip(1) {
            match File::open(parent) {
                Ok(parent) => parent.sync_all()?,
                // Whoever made a folder that we may not even list has long made it durable.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Directories, FsyncError, lock};
    use crate::Error;
    use std::collections::HashSet;
    use std::fs::File;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, Mutex};

    #[test]
    fn each_waits_for_an_fsync_that_began_after_its_rename() {
        const THREADS: usize = 16;
        const ROUNDS: usize = 50;
        let folder = tempfile::tempdir().unwrap();
        let directories = Directories::default();
        // What was renamed when an fsync began is durable when it has ended.
        let (renamed, durable) = (Mutex::new(HashSet::new()), Mutex::new(HashSet::new()));
        let (fsyncs, too_early) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let together = Barrier::new(THREADS);
        std::thread::scope(|threads| {
            for thread in 0..THREADS {
                let (directories, renamed, durable, fsyncs, too_early, together, folder) =
                    (&directories, &renamed, &durable, &fsyncs, &too_early, &together, &folder);
                threads.spawn(move || {
                    for round in 0..ROUNDS {
                        together.wait();
                        lock(renamed).insert((thread, round));
                        let covered = Mutex::new(HashSet::new());
                        let open = || {
                            lock(&covered).clone_from(&*lock(renamed));
                            Ok(File::open(folder.path())?)
                        };
                        let observe = |_| {
                            fsyncs.fetch_add(1, Ordering::Relaxed);
                            lock(durable).extend(lock(&covered).iter().copied());
                        };
                        let outcome = directories.fsync("folder", open, observe);
                        // Counted and not asserted: the others would wait for a thread that panicked.
                        if outcome.is_err() || !lock(durable).contains(&(thread, round)) {
                            too_early.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(too_early.into_inner(), 0, "answered before their fsync");
        let fsyncs = fsyncs.into_inner();
        assert!(fsyncs < THREADS * ROUNDS, "{fsyncs} fsyncs for {} renames", THREADS * ROUNDS);
    }

    #[test]
    fn one_that_could_not_begin_is_tried_again_and_one_that_failed_never() {
        let folder = tempfile::tempdir().unwrap();
        let directories = Directories::default();
        let outcome = directories.fsync("folder", || Err(Error::Overloaded), |_| ());
        assert!(matches!(outcome, Err(FsyncError::NotTried(Error::Overloaded))));
        let good = || Ok(File::open(folder.path())?);
        assert!(directories.fsync("folder", good, |_| ()).is_ok());
        // A pipe is what an fsync fails on.
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = || Ok(File::from(std::os::fd::OwnedFd::from(reader.try_clone()?)));
        assert!(matches!(directories.fsync("folder", pipe, |_| ()), Err(FsyncError::Failed)));
        assert!(matches!(directories.fsync("folder", good, |_| ()), Err(FsyncError::Failed)));
        // However many folders come after it.
        for other in 0..200 {
            assert!(directories.fsync(&other.to_string(), good, |_| ()).is_ok());
        }
        assert!(matches!(directories.fsync("folder", good, |_| ()), Err(FsyncError::Failed)));
    }
}
