//! What must not outlive a rig: servers, mounts, loop devices, folders.
//!
//! Whoever makes such a thing undoes it in its own `Drop`, which covers every return and every panic. A signal runs no
//! `Drop`, so each also leaves here the action that undoes it; [`on_signals`] runs those, the youngest first.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::{process, thread};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

type Action = Box<dyn FnMut() + Send>;

struct Registry {
    next: u64,
    actions: Vec<(u64, Action)>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { next: 0, actions: Vec::new() });

/// Stands for one action left for a signal; dropped by its owner once the thing is undone.
#[derive(Debug)]
pub struct Undo(u64);

impl Drop for Undo {
    fn drop(&mut self) {
        let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
        registry.actions.retain(|(id, _)| *id != self.0);
    }
}

/// Makes something and leaves the action that undoes it, in one step no signal can come between. `make` must not itself
/// call this.
pub fn guarded<T, U: FnMut() + Send + 'static>(make: impl FnOnce() -> Result<(T, U)>) -> Result<(T, Undo)> {
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let (made, undo) = make()?;
    let id = registry.next;
    registry.next += 1;
    registry.actions.push((id, Box::new(undo)));
    Ok((made, Undo(id)))
}

/// From now on SIGINT, SIGTERM and SIGHUP undo everything and end the process with 128 + the signal.
pub fn on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("taking over signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            eprintln!("signal {signal}: tidying up");
            // The lock is never given back: what others would still make now, they do not make.
            let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some((_, mut action)) = registry.actions.pop() {
                action();
            }
            process::exit(128 + signal);
        }
    });
    Ok(())
}

/// A folder that is removed with its handle, or by a signal.
#[derive(Debug)]
pub struct Folder {
    dir: TempDir,
    _undo: Undo,
}

impl Folder {
    pub fn new() -> Result<Self> {
        let (dir, undo) = guarded(|| {
            let dir = tempfile::Builder::new()
                .prefix(&format!("filmgate-rig-{}-", process::id()))
                .tempdir()
                .context("making a temporary folder")?;
            let path = dir.path().to_owned();
            Ok((dir, move || {
                if let Err(error) = std::fs::remove_dir_all(&path) {
                    eprintln!("left behind: {}: {error}", path.display());
                }
            }))
        })?;
        Ok(Self { dir, _undo: undo })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}
