//! Instructions of a process in user space, counted by `valgrind --tool=callgrind`.
//!
//! A server is counted in parts: [`Counted::take`] has the running server write down what it has executed since the last
//! time and begin anew, so that neither its start nor its end is in any figure. What valgrind runs is a processor of its own
//! making: without the instructions for SHA, and one thread at a time. Of system calls only what leads to them is counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Need, program, run};
use crate::server::{Server, ServerBuilder};

/// Everything that makes counting possible.
pub const NEED: Need = Need::Program("valgrind", "valgrind");

/// How often the same is counted of a server.
const BATCHES: u32 = 7;
/// How long a server may take to start: valgrind reads its debug information first.
const START_LIMIT: Duration = Duration::from_secs(180);
/// How long a server may take to write down what it has counted.
const WRITE_LIMIT: Duration = Duration::from_secs(20);

/// A running server whose instructions are counted.
#[derive(Debug)]
pub struct Counted {
    server: Server,
    folder: PathBuf,
    parts: u32,
}

impl Counted {
    /// Starts it; what valgrind leaves, its pipes too, comes into `folder`.
    pub fn start(builder: ServerBuilder, folder: &Path) -> Result<Self> {
        let words = [
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            // Else the thread that ran last goes on for as long as it likes, and others spin while they wait for it.
            "--fair-sched=try".to_owned(),
            format!("--vgdb-prefix={}", pipes(folder)),
            format!("--callgrind-out-file={}", out(folder).display()),
        ];
        let server = builder.wrapper(words).start_limit(START_LIMIT).start()?;
        Ok(Self { server, folder: folder.to_owned(), parts: 0 })
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Instructions since the last call of this, or since the start.
    pub fn take(&mut self) -> Result<u64> {
        let pid = format!("--pid={}", self.server.pid());
        run("vgdb", &[&format!("--vgdb-prefix={}", pipes(&self.folder)), &pid, "dump"])?;
        self.parts += 1;
        let part = self.folder.join(format!("server.out.{}", self.parts));
        let end = Instant::now() + WRITE_LIMIT;
        loop {
            // Its last line says the sum, so a part half written has none.
            match total(&part) {
                Ok(instructions) => return Ok(instructions),
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// What one call of `work` costs: the least of several batches of so many. What comes by the clock (a look at the queue, a
    /// gauge) or now and then (a checkpoint) comes into some batches and not into others, and would move any other figure.
    pub fn cost(&mut self, times: u64, mut work: impl FnMut(&Server) -> Result<()>) -> Result<u64> {
        let mut least = u64::MAX;
        for batch in 0..=BATCHES {
            for _ in 0..times {
                work(&self.server)?;
            }
            let instructions = self.take()?;
            // The first ones open connections, fill caches and count for nothing.
            if batch > 0 {
                least = least.min(instructions);
            }
        }
        Ok(least / times)
    }

    pub fn end(mut self) -> Result<()> {
        self.server.terminate(WRITE_LIMIT).map(drop)
    }
}

fn out(folder: &Path) -> PathBuf {
    folder.join("server.out")
}

fn pipes(folder: &Path) -> String {
    folder.join("vgdb").display().to_string()
}

/// What one repetition costs in a program that is told how many to do: of many less that of a third as many.
pub fn cost_of_program(folder: &Path, times: u64, words: impl Fn(u64) -> Vec<String>) -> Result<u64> {
    let (few, many) = (count(folder, &words(times))?, count(folder, &words(3 * times))?);
    let more = many.checked_sub(few).context("three times the work took fewer instructions")?;
    Ok(more / (2 * times))
}

/// All instructions of a program, from its beginning to its end.
fn count(folder: &Path, words: &[String]) -> Result<u64> {
    let file = folder.join("program.out");
    let output = Command::new(program("valgrind").context("no valgrind")?)
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", file.display())])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .context("running valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} under valgrind: {}: {said}", words.join(" "), output.status);
    total(&file)
}

fn total(file: &Path) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    match text.lines().rev().find_map(|line| line.strip_prefix("totals: ")) {
        Some(number) => Ok(number.trim().parse()?),
        None => bail!("{} says no sum", file.display()),
    }
}

/// The version of the valgrind that counts.
pub fn version() -> Result<String> {
    let output = run("valgrind", &["--version"])?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(text.strip_prefix("valgrind-").unwrap_or(&text).to_owned())
}
