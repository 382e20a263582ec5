//! The server as tests see it: a program that is started on a free port, prints who may sign in, and can be ended in
//! any way.
//!
//! It owns the process (with all its descendants), its log, and its data folder where the test named none. What is
//! dropped is killed; where a test panics, the end of the server's log is printed first.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::api::Api;
use crate::demo::{Demo, Person};
use crate::matrix;
use crate::process;
use crate::rig::cleanup;
use crate::s3::S3Server;
use crate::worker::Worker;

/// What `filmgate fsck` said.
#[derive(Clone, Debug)]
pub struct Fsck {
    pub status: ExitStatus,
    pub output: String,
}

impl Fsck {
    pub fn is_clean(&self) -> bool {
        self.status.success()
    }
}

/// The folder of a server whose test named none, and what the engines hold for it.
#[derive(Debug)]
struct Home(cleanup::Folder);

impl Home {
    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        matrix::forget(&self.data());
    }
}

/// How a server is to be started.
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    binary: PathBuf,
    data: Option<PathBuf>,
    log: Option<PathBuf>,
    owned: Option<Arc<Home>>,
    args: Vec<OsString>,
    envs: Vec<(String, String)>,
    wrapper: Vec<OsString>,
    listen: String,
    start_limit: Duration,
    s3: Option<Arc<S3Server>>,
}

impl ServerBuilder {
    /// Another binary on the same folder with the same settings, as at an upgrade.
    #[must_use]
    pub fn binary(mut self, file: &Path) -> Self {
        file.clone_into(&mut self.binary);
        self
    }

    /// Where it listens; without this, on a free port of this machine alone.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    /// The folder it keeps everything in; without this, one that is removed with the last handle.
    #[must_use]
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// Where its log goes; without this, beside the data folder.
    #[must_use]
    pub fn log(mut self, file: &Path) -> Self {
        self.log = Some(file.to_owned());
        self
    }

    /// One more argument after those of `demo`.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Several settings at once, as rigs take them from their command line.
    #[must_use]
    pub fn envs(mut self, pairs: &[(String, String)]) -> Self {
        self.envs.extend_from_slice(pairs);
        self
    }

    /// Turns every fsync off: the documented weaker mode, which a rig must tell from the strong one.
    #[must_use]
    pub fn relaxed(self) -> Self {
        self.env("FILMGATE__INGEST__DURABILITY", "relaxed")
    }

    /// Runs the server under another program, such as `["prlimit", "--nofile=64"]`.
    #[must_use]
    pub fn wrapper<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, words: I) -> Self {
        self.wrapper = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// How long the server may take until it listens.
    #[must_use]
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.start_limit = limit;
        self
    }

    /// Where `FILMGATE_TEST_BLOBS` says `s3s` (and not `s3`, a real one: [`matrix`]): photos in an S3 of the server's own, unless the test says where they are.
    fn add_other_store(&mut self) -> Result<()> {
        let wanted = std::env::var("FILMGATE_TEST_BLOBS").unwrap_or_default();
        ensure!(
            ["", "folder", "s3", "s3s"].contains(&&*wanted),
            "FILMGATE_TEST_BLOBS is folder, s3s or s3, not {wanted}"
        );
        if wanted == "s3s" && self.s3.is_none() && !self.envs.iter().any(|(name, _)| name == "FILMGATE__BLOBS__URL") {
            let s3 = S3Server::start()?;
            self.envs.extend(s3.envs());
            self.s3 = Some(Arc::new(s3));
        }
        Ok(())
    }

    /// Starts it, and returns once it listens.
    pub fn start(mut self) -> Result<Server> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        self.add_other_store()?;
        if self.owned.is_none() && (self.data.is_none() || self.log.is_none()) {
            self.owned = Some(Arc::new(Home(cleanup::Folder::new()?)));
        }
        let home = self.owned.as_ref().map(|home| home.0.path().to_owned()).unwrap_or_default();
        let data = self.data.get_or_insert_with(|| home.join("data")).clone();
        let log = self
            .log
            .clone()
            .unwrap_or_else(|| home.join(format!("server-{}.log", COUNT.fetch_add(1, Ordering::Relaxed))));

        let mut words = self.wrapper.clone();
        words.push(self.binary.clone().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["demo", "--listen", &self.listen, "--json", "--data"]).arg(&data);
        // What the test itself sets comes last, and so counts.
        command
            .args(&self.args)
            .envs(matrix::envs_beside(&data, &self.envs)?)
            .envs(self.envs.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::options().create(true).append(true).open(&log).context("opening the server's log")?);

        let began = Instant::now();
        let (mut child, undo) = cleanup::guarded(|| {
            let child = command.spawn().with_context(|| format!("starting {}", words[0].to_string_lossy()))?;
            let pid = child.id();
            Ok((child, move || process::kill_tree(pid)))
        })?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut server = Server {
            builder: self,
            child,
            undo: Some(undo),
            pid: 0,
            demo: None,
            data,
            log,
            lines: Mutex::new(lines),
            start_time: Duration::ZERO,
        };
        let first = server.lines().recv_timeout(server.builder.start_limit);
        let line = match first {
            Ok(line) => line,
            Err(error) => {
                let why = match error {
                    mpsc::RecvTimeoutError::Timeout => "was silent for too long",
                    mpsc::RecvTimeoutError::Disconnected => "ended before it listened",
                };
                let tail = server.log_tail(30);
                server.kill();
                bail!("the server {why}; its log ends:\n{tail}");
            }
        };
        server.start_time = began.elapsed();
        server.demo = Some(Demo::parse(&line)?);
        server.pid = process::running(server.child.id(), &server.builder.binary).unwrap_or(server.child.id());
        Ok(server)
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    builder: ServerBuilder,
    child: Child,
    undo: Option<cleanup::Undo>,
    pid: u32,
    demo: Option<Demo>,
    data: PathBuf,
    log: PathBuf,
    lines: Mutex<mpsc::Receiver<String>>,
    start_time: Duration,
}

impl Server {
    /// A server of this binary.
    pub fn of(binary: impl Into<PathBuf>) -> ServerBuilder {
        ServerBuilder {
            binary: binary.into(),
            data: None,
            log: None,
            owned: None,
            args: Vec::new(),
            envs: Vec::new(),
            wrapper: Vec::new(),
            listen: "127.0.0.1:0".to_owned(),
            start_limit: Duration::from_secs(30),
            s3: None,
        }
    }

    /// A server of the binary that the environment names in `FILMGATE_BIN`.
    pub fn from_env() -> Result<ServerBuilder> {
        let binary = std::env::var_os("FILMGATE_BIN").context("FILMGATE_BIN names no binary")?;
        Ok(Self::of(binary))
    }

    /// Starts it again, on the same folder with the same settings, after it ended.
    pub fn start_again(&self) -> Result<Self> {
        self.builder.clone().data(&self.data).start()
    }

    /// As it was to be started, for a start with other settings on the same folder.
    pub fn builder(&self) -> ServerBuilder {
        self.builder.clone().data(&self.data)
    }

    pub fn demo(&self) -> &Demo {
        self.demo.as_ref().expect("set before the server is handed out")
    }

    pub fn address(&self) -> SocketAddr {
        self.demo().address
    }

    /// A client signed in as the demo's participant, on their session.
    pub fn participant(&self) -> Api {
        self.api(&self.demo().participant)
    }

    pub fn api(&self, person: &Person) -> Api {
        Api::new(self.address(), &person.cookie, &person.session_id)
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What tells a command beside it where its photos are.
    pub fn photo_envs(&self) -> Vec<(String, String)> {
        let is_of_photos = |(name, _): &&(String, String)| name.starts_with("FILMGATE__BLOBS__");
        self.builder.envs.iter().filter(is_of_photos).cloned().collect()
    }

    /// The S3 that its photos are in, where they are in one of its own.
    pub fn s3(&self) -> Option<&S3Server> {
        self.builder.s3.as_deref()
    }

    /// The folders that its photos and staging files are in, on this machine's disk whatever the store is.
    pub fn store_folders(&self) -> Vec<PathBuf> {
        let bucket = self.s3().map(|s3| s3.object(""));
        std::iter::once(self.data.join("blobs")).chain(bucket).collect()
    }

    /// The folder that published photos are in.
    pub fn photo_folder(&self) -> PathBuf {
        self.store_folders().pop().unwrap_or_default()
    }

    /// The program it runs.
    pub fn binary(&self) -> &Path {
        &self.builder.binary
    }

    /// The server's own process, also where a wrapper stands before it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How long it took until it listened.
    pub fn start_time(&self) -> Duration {
        self.start_time
    }

    pub fn rss_kb(&self) -> u64 {
        process::rss_kb(self.pid).unwrap_or(0)
    }

    pub fn cpu_ms(&self) -> u64 {
        process::cpu_ms(self.pid).unwrap_or(0)
    }

    /// Lines that it printed after the first; the contract knows none.
    pub fn further_output(&self) -> Vec<String> {
        self.lines().try_iter().collect()
    }

    fn lines(&self) -> MutexGuard<'_, mpsc::Receiver<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, as an administrator does, and waits.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        process::signal(self.pid, Signal::TERM);
        match process::wait(&mut self.child, limit) {
            Some(status) => Ok(status),
            None => bail!("still running {limit:?} after SIGTERM; its log ends:\n{}", self.log_tail(20)),
        }
    }

    /// Ends it and all its descendants at once (`kill -9`).
    pub fn kill(&mut self) {
        process::kill_tree(self.child.id());
        self.reap();
    }

    /// Ends the server's own process at once and leaves its descendants to notice.
    pub fn kill_alone(&mut self) {
        process::signal(self.pid, Signal::KILL);
        self.reap();
    }

    fn reap(&mut self) {
        if process::wait(&mut self.child, Duration::from_secs(10)).is_none() {
            eprintln!("the server did not end 10 s after kill -9 (stuck in the kernel?)");
        }
    }

    /// Starts a worker on the server's folder with its settings; it outlives the server.
    pub fn start_worker(&self) -> Result<Worker> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let log = self.log.with_file_name(format!("worker-{}.log", COUNT.fetch_add(1, Ordering::Relaxed)));
        Worker::start(&self.builder.binary, &self.data, &self.builder.envs, &log)
    }

    /// Runs `filmgate fsck` on the server's folder.
    pub fn fsck(&self, deep: bool) -> Result<Fsck> {
        fsck(&self.builder.binary, &self.data, &self.builder.envs, deep)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
        drop(self.undo.take());
        if thread::panicking() {
            eprintln!("--- the end of the server's log ---\n{}\n---", self.log_tail(60));
        }
    }
}

/// Runs `filmgate fsck` on a folder.
pub fn fsck(binary: &Path, data: &Path, envs: &[(String, String)], deep: bool) -> Result<Fsck> {
    let mut command = Command::new(binary);
    command
        .arg("fsck")
        .arg("--data")
        .arg(data)
        .envs(matrix::envs_beside(data, envs)?)
        .envs(envs.iter().map(|(name, value)| (name, value)));
    if deep {
        command.arg("--deep");
    }
    let output = command.stdin(Stdio::null()).output().context("running fsck")?;
    ensure!(output.status.code().is_some(), "fsck was ended by a signal: {}", output.status);
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Fsck { status: output.status, output: text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_start_is_an_error_with_its_log() {
        let error = Server::of("/bin/false").start_limit(Duration::from_secs(5)).start().unwrap_err();
        assert!(error.to_string().contains("ended before it listened"), "{error}");
    }
}
