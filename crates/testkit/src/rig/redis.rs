//! A real Redis, with its own port and folder, that can lose everything.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::cleanup::{Folder, Undo, guarded};
use super::{Need, program};
use crate::process;

/// What a rig needs that starts one.
pub const NEED: Need = Need::Program("redis-server", "redis-server");
/// How long it may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A running Redis that keeps nothing on disk. Dropped, it is killed.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    undo: Option<Undo>,
    port: u16,
    home: Folder,
}

impl Redis {
    pub fn start() -> Result<Self> {
        let home = Folder::new()?;
        // Free now; whoever takes it before Redis does makes the rig fail loudly.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (child, undo) = spawn(port, &home)?;
        let mut redis = Self { child, undo: Some(undo), port, home };
        redis.wait()?;
        Ok(redis)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Sends one command and reads the first line of its answer.
    pub fn ask(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Sends one command whose answer is a text of one line.
    pub fn ask_text(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut reader = BufReader::new(stream);
        let (mut length, mut text) = (String::new(), String::new());
        reader.read_line(&mut length)?;
        ensure!(length.starts_with('$'), "{command}: {length}");
        reader.read_line(&mut text)?;
        Ok(text.trim_end().to_owned())
    }

    /// Everything in it is gone.
    pub fn flush_all(&self) -> Result<()> {
        let answer = self.ask("FLUSHALL")?;
        ensure!(answer == "+OK", "FLUSHALL: {answer}");
        Ok(())
    }

    /// How many keys it holds.
    pub fn keys(&self) -> Result<u64> {
        self.ask("DBSIZE")?.trim_start_matches(':').parse().context("DBSIZE")
    }

    /// Ends it at once (`kill -9`): everything in it is gone, and nobody answers.
    pub fn kill(&mut self) {
        process::signal(self.child.id(), Signal::KILL);
        // Killed, it ends; a wait that fails finds it ended already.
        drop(self.child.wait());
    }

    /// Stops it in the middle of whatever it does: it is there, and answers nobody. [`go_on`](Self::go_on) ends that.
    pub fn pause(&self) {
        process::signal(self.child.id(), Signal::STOP);
    }

    pub fn go_on(&self) {
        process::signal(self.child.id(), Signal::CONT);
    }

    /// Starts it again, empty, on the same port.
    pub fn start_again(&mut self) -> Result<()> {
        drop(self.undo.take());
        let (child, undo) = spawn(self.port, &self.home)?;
        (self.child, self.undo) = (child, Some(undo));
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        while self.ask("PING").ok().as_deref() != Some("+PONG") {
            if let Ok(Some(status)) = self.child.try_wait() {
                bail!("redis-server ended: {status}");
            }
            ensure!(Instant::now() < end, "redis-server does not answer on port {}", self.port);
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

fn spawn(port: u16, home: &Folder) -> Result<(Child, Undo)> {
    let file = program("redis-server").context("no redis-server")?;
    let log = File::options().create(true).append(true).open(home.path().join("redis.log"))?;
    let mut command = Command::new(file);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]);
    command.arg(home.path()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    guarded(|| {
        let child = command.spawn().context("starting redis-server")?;
        let pid = child.id();
        Ok((child, move || process::signal(pid, Signal::KILL)))
    })
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        drop(self.undo.take());
    }
}
