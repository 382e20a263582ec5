//! A program that runs beside the server: a database, a store, a proxy. Started on a port of its own, ended in any way,
//! and started again.
//!
//! It owns the process with all its descendants, and its log. Dropped, it is killed; a signal kills it too.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::cleanup::{Undo, guarded};
use crate::process;

/// Where engines listen that nobody else has to reach.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long one may take until it answers.
pub const START_LIMIT: Duration = Duration::from_secs(60);

/// A port that is free now; whoever takes it before the engine does makes the engine's start fail loudly.
pub fn free_port(address: IpAddr) -> Result<u16> {
    let listener = TcpListener::bind((address, 0)).with_context(|| format!("no free port on {address}"))?;
    Ok(listener.local_addr()?.port())
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    name: String,
    child: Child,
    undo: Option<Undo>,
    log: PathBuf,
}

impl Engine {
    /// Starts it; what it says is appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log).context("opening an engine's log")?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let (child, undo) = guarded(|| {
            let child = command.spawn().with_context(|| format!("starting {name}"))?;
            let pid = child.id();
            Ok((child, move || process::kill_tree(pid)))
        })?;
        Ok(Self { name: name.to_owned(), child, undo: Some(undo), log: log.to_owned() })
    }

    /// Returns once it answers.
    pub fn wait_until(&mut self, limit: Duration, mut answers: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + limit;
        while !answers() {
            if let Ok(Some(status)) = self.child.try_wait() {
                bail!("{} ended: {status}; its log ends:\n{}", self.name, self.log_tail(20));
            }
            if Instant::now() > end {
                bail!("{} does not answer after {limit:?}; its log ends:\n{}", self.name, self.log_tail(20));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal, and its descendants none.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Asks it to end by this signal, and waits.
    pub fn end(&mut self, signal: Signal, limit: Duration) -> Result<ExitStatus> {
        self.signal(signal);
        match process::wait(&mut self.child, limit) {
            Some(status) => Ok(status),
            None => bail!("{} still runs {limit:?} after {signal:?}; its log ends:\n{}", self.name, self.log_tail(20)),
        }
    }

    /// Ends it and all its descendants at once (`kill -9`), and returns once they are gone.
    pub fn kill(&mut self) {
        if !self.is_running() {
            return;
        }
        let members = process::tree(self.pid());
        process::kill_tree(self.pid());
        if process::wait(&mut self.child, Duration::from_secs(10)).is_none() {
            eprintln!("{} did not end 10 s after kill -9 (stuck in the kernel?)", self.name);
        }
        // A descendant that still holds the engine's port or memory would make its next start fail.
        let end = Instant::now() + Duration::from_secs(10);
        while members.iter().any(|pid| process::rss_kb(*pid).is_some()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn log_tail(&self, lines: usize) -> String {
        let text = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
        drop(self.undo.take());
    }
}
