//! `strace` on a running server: watching its calls, and making chosen ones fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::cleanup::{Undo, guarded};
use super::program;
use super::trace::{Call, parse};
use crate::process;

/// How long strace may take to hold every thread, or to let go.
const LIMIT: Duration = Duration::from_secs(20);

/// An strace that holds a process until it is detached or dropped.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    log: PathBuf,
    undo: Option<Undo>,
}

/// Which calls fail, and how.
#[derive(Clone, Debug)]
pub struct Injection<'a> {
    /// As `strace -e trace=` names them.
    pub calls: &'a str,
    /// `EIO`, `ENOSPC`, …
    pub error: &'a str,
    /// Only calls on these paths; on every path where there are none.
    pub paths: &'a [PathBuf],
}

impl Tracer {
    /// Attaches to a process and all its threads, with these further arguments.
    fn attach(pid: u32, log: &Path, words: &[String]) -> Result<Self> {
        let strace = program("strace").context("no strace")?;
        let mut command = Command::new(strace);
        command.args(["-f", "-y", "-tt", "-q", "-o"]).arg(log).args(words).args(["-p", &pid.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (child, undo) = guarded(|| {
            let child = command.spawn().context("starting strace")?;
            let tracer = child.id();
            Ok((child, move || process::signal(tracer, Signal::TERM)))
        })?;
        let mut tracer = Self { child, log: log.to_owned(), undo: Some(undo) };
        let end = Instant::now() + LIMIT;
        while !holds_all(tracer.child.id(), pid) {
            if let Ok(Some(status)) = tracer.child.try_wait() {
                bail!("strace ended at once: {status}");
            }
            if Instant::now() > end {
                bail!("strace did not hold process {pid} within {LIMIT:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(tracer)
    }

    /// Watches all calls of a process from now on.
    pub fn watch(pid: u32, log: &Path) -> Result<Self> {
        Self::attach(pid, log, &[])
    }

    /// Makes calls of a process fail from now on.
    pub fn inject(pid: u32, log: &Path, injection: &Injection<'_>) -> Result<Self> {
        let Injection { calls, error, paths } = injection;
        let mut words =
            vec!["-e".to_owned(), format!("trace={calls}"), "-e".to_owned(), format!("inject={calls}:error={error}")];
        for path in *paths {
            words.push("-P".to_owned());
            words.push(path.to_string_lossy().into_owned());
        }
        Self::attach(pid, log, &words)
    }

    /// Lets the process go, and returns what was seen.
    pub fn detach(mut self) -> Result<Vec<Call>> {
        self.end();
        let log = fs::read(&self.log).context("reading the trace")?;
        Ok(parse(&String::from_utf8_lossy(&log)))
    }

    fn end(&mut self) {
        process::signal(self.child.id(), Signal::TERM);
        if process::wait(&mut self.child, LIMIT).is_none() {
            process::signal(self.child.id(), Signal::KILL);
            drop(self.child.wait());
        }
        drop(self.undo.take());
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if self.undo.is_some() {
            self.end();
        }
    }
}

/// Whether every thread of the process is traced by this tracer.
fn holds_all(tracer: u32, pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let wanted = format!("TracerPid:\t{tracer}");
    tasks.flatten().all(|task| {
        fs::read_to_string(task.path().join("status")).is_ok_and(|text| text.lines().any(|line| line == wanted))
    })
}

/// The files under a folder that a process holds open: where an upload half sent is being staged.
pub fn open_under(pid: u32, folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|path| path.starts_with(folder) && path.as_path() != folder)
        .collect()
}
