//! Directory fsyncs, shared: photos renamed into one directory while an fsync runs wait for the next one together.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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
    NotTried(io::Error),
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
        path: &Path,
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
            let opened = File::open(path);
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
