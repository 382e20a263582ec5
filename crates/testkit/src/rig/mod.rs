//! What the fault rigs share: how one is started, what it needs, what it counts, and how it ends.
//!
//! A rig ends with 0 where the promise held, 1 where it did not (or where a control that must fail did not fail), 2 for
//! a wrong command line, and 77 where it cannot run here: never in silence, always with the command that mends it.

pub mod args;
pub mod bucket;
pub mod callgrind;
pub mod catalog;
pub mod cleanup;
pub mod clients;
pub mod crash;
pub mod drip;
pub mod engine;
pub mod garage;
pub mod inject;
pub mod judge;
pub mod load;
pub mod loopfs;
pub mod mariadb;
pub mod netns;
pub mod nginx;
pub mod order;
pub mod picture;
pub mod postgres;
pub mod queue;
pub mod redis;
pub mod rows;
pub mod stats;
pub mod store;
pub mod trace;
pub mod usage;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use anyhow::{Context, Result, ensure};

pub use args::{Args, Opt};

/// Something without which a rig cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Root,
    LoopDevice,
    /// A filesystem that the kernel must know.
    Filesystem(&'static str),
    /// A program, and the Debian package it comes in.
    Program(&'static str, &'static str),
    /// `strace`, and the right to use it.
    Strace,
    /// PostgreSQL's server and its `psql`.
    Postgres,
    Garage,
}

impl Need {
    /// `None` where it is there, else what is missing and the command that gives it.
    pub fn missing(self) -> Option<String> {
        let missing = |is_there: bool, text: String| (!is_there).then_some(text);
        match self {
            Self::Root => {
                missing(rustix::process::geteuid().is_root(), "root rights; run it again with: sudo".to_owned())
            }
            Self::LoopDevice => missing(
                Path::new("/dev/loop-control").exists() && run("losetup", &["--find"]).is_ok(),
                "a free loop device; get one with: modprobe loop (in a container: run it privileged)".to_owned(),
            ),
            Self::Filesystem(name) => missing(
                std::fs::read_to_string("/proc/filesystems")
                    .is_ok_and(|known| known.lines().any(|line| line.split_whitespace().last() == Some(name))),
                format!("the filesystem {name}; get it with: modprobe {name}"),
            ),
            Self::Program(name, package) => {
                missing(program(name).is_some(), format!("the program {name}; get it with: apt-get install {package}"))
            }
            Self::Postgres => missing(
                ["initdb", "postgres", "psql"].iter().all(|name| postgres::binary(name).is_ok()),
                "PostgreSQL; get it with: apt-get install postgresql".to_owned(),
            ),
            Self::Garage => missing(
                garage::binary().is_some(),
                "Garage; get it with: ./scripts/test --scale (which builds it once), or name one in FILMGATE_TEST_GARAGE"
                    .to_owned(),
            ),
            Self::Strace => Self::Program("strace", "strace").missing().or_else(|| {
                missing(
                    run("strace", &["-f", "-o", "/dev/null", "true"]).is_ok(),
                    "the right to trace processes; get it with: sysctl kernel.yama.ptrace_scope=0 (in a container: \
                     --cap-add SYS_PTRACE)"
                        .to_owned(),
                )
            }),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => out.write_str("root"),
            Self::LoopDevice => out.write_str("a loop device"),
            Self::Filesystem(name) => write!(out, "the filesystem {name}"),
            Self::Program(name, _) => out.write_str(name),
            Self::Strace => out.write_str("strace"),
            Self::Postgres => out.write_str("PostgreSQL"),
            Self::Garage => out.write_str("Garage"),
        }
    }
}

/// What a rig is, for its help and its start.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub name: &'static str,
    /// What it does and what its result means.
    pub text: &'static str,
    pub options: &'static [Opt],
    /// What it needs, given its command line.
    pub needs: fn(&Args) -> Vec<Need>,
}

/// What a rig works with: its command line, the server's binary, and the settings for the server.
#[derive(Clone, Debug)]
pub struct Rig {
    pub args: Args,
    pub binary: PathBuf,
    pub envs: Vec<(String, String)>,
    pub seed: u64,
}

impl Rig {
    /// A server of this rig's binary with this rig's settings.
    pub fn server(&self) -> crate::ServerBuilder {
        crate::Server::of(&self.binary).envs(&self.envs)
    }
}

/// Why a rig cannot judge here, found out only while it ran: it ends with 77, as where it lacks a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotRun(pub String);

impl fmt::Display for CannotRun {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for CannotRun {}

/// Runs a rig from command line to exit status. `run` says whether the promise held.
pub fn main(about: &About, run: impl FnOnce(&Rig) -> Result<bool>) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        let needs = (about.needs)(&Args::parse(about.options, Vec::new()).unwrap_or_default());
        println!("Needs {}, and a built server.\n", list(&needs));
        println!("{}: {}\n\n{}", about.name, about.text, args::describe(about.options));
        println!("Ends with 0: held; 1: broken; 2: wrong command line; 77: cannot run here.");
        return ExitCode::SUCCESS;
    }
    match prepare(about, words) {
        Err(Refusal::Usage(error)) => {
            eprintln!("{}: {error:#}", about.name);
            ExitCode::from(2)
        }
        Err(Refusal::Missing(what)) => {
            println!("{}: not run, it lacks {what}", about.name);
            ExitCode::from(77)
        }
        Ok(rig) => match run(&rig) {
            Ok(true) => {
                println!("{}: held", about.name);
                ExitCode::SUCCESS
            }
            Ok(false) => {
                println!("{}: BROKEN", about.name);
                ExitCode::FAILURE
            }
            Err(error) if error.is::<CannotRun>() => {
                println!("{}: not run: {error}", about.name);
                ExitCode::from(77)
            }
            Err(error) => {
                println!("{}: BROKEN: {error:#}", about.name);
                ExitCode::FAILURE
            }
        },
    }
}

enum Refusal {
    Usage(anyhow::Error),
    Missing(String),
}

fn prepare(about: &About, words: Vec<String>) -> Result<Rig, Refusal> {
    let args = Args::parse(about.options, words).map_err(Refusal::Usage)?;
    let envs = args.envs().map_err(Refusal::Usage)?;
    let seed = args.number("seed").map_err(Refusal::Usage)?;
    let needs = (about.needs)(&args);
    println!("{}: needs {}, and a built server", about.name, list(&needs));
    let binary =
        args.binary().and_then(|path| path.canonicalize().ok()).filter(|path| path.is_file()).ok_or_else(|| {
            Refusal::Missing(
                "the server; get it with: cargo build --release, then --bin target/release/filmgate".into(),
            )
        })?;
    if let Some(what) = needs.into_iter().find_map(Need::missing) {
        return Err(Refusal::Missing(what));
    }
    cleanup::on_signals().map_err(Refusal::Usage)?;
    crate::process::raise_descriptor_limit();
    Ok(Rig { args, binary, envs, seed })
}

fn list(needs: &[Need]) -> String {
    if needs.is_empty() {
        return "nothing but this machine".to_owned();
    }
    needs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How many faults of each kind were injected.
#[derive(Clone, Debug, Default)]
pub struct Faults(BTreeMap<String, u64>);

impl Faults {
    pub fn count(&mut self, kind: &str) {
        self.add(kind, 1);
    }

    pub fn add(&mut self, kind: &str, count: u64) {
        *self.0.entry(kind.to_owned()).or_default() += count;
    }

    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return out.write_str("injected: nothing");
        }
        let kinds: Vec<String> = self.0.iter().map(|(kind, count)| format!("{count} x {kind}")).collect();
        write!(out, "injected: {}", kinds.join(", "))
    }
}

/// How many failed checks are printed: one mistake can fail every photo.
const PRINTED: usize = 20;

/// One question after the other, each answered aloud; the rig held if all did.
#[derive(Debug, Default)]
pub struct Checks {
    pub passed: u64,
    pub failed: Vec<String>,
}

impl Checks {
    /// Notes one answer, and prints it where it is no.
    pub fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if holds {
            self.passed += 1;
        } else {
            let what = what();
            if self.failed.len() < PRINTED {
                println!("  FAILED: {what}");
            } else if self.failed.len() == PRINTED {
                println!("  … further ones are only counted");
            }
            self.failed.push(what);
        }
    }

    pub fn held(&self) -> bool {
        self.failed.is_empty() && self.passed > 0
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "checks: {} held, {} failed", self.passed, self.failed.len())
    }
}

/// Where a program is, also where an administrator's folders are not on the path.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Runs a program to its end; its output where it succeeded.
pub fn run(name: &str, args: &[&str]) -> Result<Output> {
    let file = program(name).with_context(|| format!("no program {name}"))?;
    let output =
        Command::new(file).args(args).stdin(Stdio::null()).output().with_context(|| format!("running {name}"))?;
    ensure!(
        output.status.success(),
        "{name} {}: {}: {}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output)
}
