//! `filmgate worker` as tests see it: a process beside the server, that can be stopped, woken and ended in any way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::matrix;
use crate::process;
use crate::rig::cleanup;

/// How long a worker may take until it says that it works.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running worker. Dropped, it is killed with its children.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    undo: Option<cleanup::Undo>,
    log: PathBuf,
}

impl Worker {
    /// Starts one on a folder, and returns once it works. Its log is made anew.
    pub fn start(binary: &Path, data: &Path, envs: &[(String, String)], log: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command
            .arg("worker")
            .arg("--data")
            .arg(data)
            .envs(matrix::envs_beside(data, envs)?)
            .envs(envs.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(log).context("opening the worker's log")?);
        let (child, undo) = cleanup::guarded(|| {
            let child = command.spawn().context("starting a worker")?;
            let pid = child.id();
            Ok((child, move || process::kill_tree(pid)))
        })?;
        let mut worker = Self { child, undo: Some(undo), log: log.to_owned() };
        let end = Instant::now() + START_LIMIT;
        while !worker.log().contains("working") {
            if !worker.is_running() || Instant::now() > end {
                worker.kill();
                bail!("the worker did not begin to work; its log:\n{}", worker.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(worker)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and waits.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        process::signal(self.pid(), Signal::TERM);
        match process::wait(&mut self.child, limit) {
            Some(status) => Ok(status),
            None => bail!("the worker still runs {limit:?} after SIGTERM; its log:\n{}", self.log()),
        }
    }

    /// Ends it and all its descendants at once (`kill -9`).
    pub fn kill(&mut self) {
        process::kill_tree(self.pid());
        self.reap();
    }

    /// Ends its own process at once and leaves its descendants to notice.
    pub fn kill_alone(&mut self) {
        process::signal(self.pid(), Signal::KILL);
        self.reap();
    }

    fn reap(&mut self) {
        if process::wait(&mut self.child, Duration::from_secs(10)).is_none() {
            eprintln!("the worker did not end 10 s after kill -9 (stuck in the kernel?)");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
        drop(self.undo.take());
    }
}
