//! Decoding in child processes.
//!
//! **Owns** the pool of children, what they and the server say to each other, what confines them, and the budget of
//! memory they share.
//!
//! **Promises**
//! - A photo that makes its decoder abort, hang, panic or take memory without end ends that decode alone; the next
//!   photo finds a new child.
//! - What photos are estimated to need stays within `memory_bytes_max` for all decodes together, and each child is held
//!   to its photo's part, with a slack of 16 MiB. A photo that could never fit is refused before it is decoded.
//! - A child has no files, no network, no other process and no memory that can be run, as far as the kernel can hold it
//!   to that ([`Decoder::protections`]); it leaves no core file; it never outlives the server, not even one that was
//!   killed.
//! - Whatever a child answers is judged as input: it cannot make the server panic, wait for ever, or take memory
//!   without bound.
//! - A future that is dropped frees its place and its memory, after its child is dead.
//!
//! **Leaves to others** what decoding is (`imaging`), when it is done and done again (`jobs`), where the bytes come
//! from. A child that is taken over can still lie about the photos it is shown until it is replaced; what it says is
//! checked for form, not for truth.

mod answer;
mod child;
mod death;
mod metrics;
mod pool;
mod process;
mod protocol;
mod spawner;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use imaging::{Derivative, DerivativeSize, Developed, Recipe};
use serde::{Deserialize, Serialize};

use pool::Pool;
use protocol::{Operation, Outcome};

/// How photos are decoded.
#[derive(Clone, Debug)]
pub struct DecoderOptions {
    /// The program whose `arguments` run [`child_main`].
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Child processes at once.
    pub processes_max: usize,
    /// Memory of all decodes at once, in bytes.
    pub memory_bytes_max: u64,
    /// Longest one decode may take.
    pub timeout: Duration,
    /// Added to the niceness of the children: uploads come first. From 19 on they get only what nobody else wants.
    pub niceness: i32,
    /// What is made of a photo.
    pub recipe: Recipe,
}

/// Why a photo was not decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The photo's own fault: the same bytes fail again. For a person.
    #[error("{0}")]
    Undecodable(String),
    /// This build has no decoder for it; nothing is wrong with the photo.
    #[error("{0}")]
    Unsupported(String),
    /// The child died, hung, or could not be started: perhaps the photo's fault, perhaps not.
    #[error("{0}")]
    Died(String),
}

impl From<imaging::DevelopError> for DecodeError {
    fn from(error: imaging::DevelopError) -> Self {
        match error {
            imaging::DevelopError::Structure(_) | imaging::DevelopError::Undecodable(_) => {
                Self::Undecodable(error.to_string())
            }
            imaging::DevelopError::Unsupported(_) => Self::Unsupported(error.to_string()),
        }
    }
}

/// Whether the kernel holds a child to something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// It does.
    Holds,
    /// To a part of it, and why not to all.
    Partly(String),
    /// It does not, and why.
    Absent(String),
}

impl fmt::Display for Protection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => write!(formatter, "holds"),
            Self::Partly(why) => write!(formatter, "holds in part ({})", answer::words(why)),
            Self::Absent(why) => write!(formatter, "is missing ({})", answer::words(why)),
        }
    }
}

/// What confines the children on this machine, as the first of them reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protections {
    /// No files, no network.
    pub landlock: Protection,
    /// No system call that decoding does not need.
    pub seccomp: Protection,
}

impl Protections {
    /// Whether nothing is missing. An older Landlock will do: what it does not know, seccomp denies.
    pub fn all_hold(&self) -> bool {
        self.seccomp == Protection::Holds && !matches!(self.landlock, Protection::Absent(_))
    }
}

impl fmt::Display for Protections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Landlock {}, seccomp {}", self.landlock, self.seccomp)
    }
}

/// A pool of child processes that decode. Cheap to clone; every clone is the same pool. When the last clone is gone, so
/// are the children.
#[derive(Clone)]
pub struct Decoder {
    pool: Arc<Pool>,
}

impl Decoder {
    /// A pool; children start when they are needed.
    pub fn new(options: DecoderOptions) -> Self {
        Self { pool: Arc::new(Pool::new(options)) }
    }

    /// Develops a photo.
    pub async fn develop(&self, photo: Vec<u8>) -> Result<Developed, DecodeError> {
        let recipe = &self.pool.options().recipe;
        let judge = |outcome, body: Vec<u8>| match outcome {
            Outcome::Developed(header) => answer::developed(header, &body, recipe),
            _ => Err(unasked()),
        };
        self.pool.ask(Operation::Develop, photo, judge).await
    }

    /// Only decodes a photo, to see that it can be.
    pub async fn verify(&self, photo: Vec<u8>) -> Result<(), DecodeError> {
        let judge = |outcome, _| match outcome {
            Outcome::Verified => Ok(()),
            _ => Err(unasked()),
        };
        self.pool.ask(Operation::Verify, photo, judge).await
    }

    /// The photo without its metadata, its compressed data untouched.
    pub async fn strip(&self, photo: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
        let format = imaging::sniff(&photo);
        let judge = |outcome, body: Vec<u8>| match outcome {
            Outcome::Stripped if imaging::sniff(&body) == format => Ok(body),
            _ => Err(unasked()),
        };
        self.pool.ask(Operation::Strip, photo, judge).await
    }

    /// What confines the children here; none before the first of them has started.
    pub fn protections(&self) -> Option<&Protections> {
        self.pool.protections()
    }

    /// Starts a child, if none is there, to see that it can be done and what confines it.
    pub async fn try_out(&self) -> Result<&Protections, DecodeError> {
        self.pool.warm_up().await?;
        self.pool.protections().ok_or_else(|| DecodeError::Died("the decoder did not say what confines it".to_owned()))
    }

    /// Adds the pool's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.pool.metrics.register(registry);
    }
}

fn unasked() -> std::io::Error {
    protocol::malformed("it answered what nobody asked")
}

/// What a child process runs until its standard input ends. Called before any thread is started.
pub fn child_main() -> std::process::ExitCode {
    child::run(child::Without::default())
}

/// As [`child_main`], with less to confine it: so a test sees each protection alone.
#[cfg(debug_assertions)]
#[doc(hidden)]
pub fn child_main_without(landlock: bool, seccomp: bool) -> std::process::ExitCode {
    child::run(child::Without { landlock, seccomp })
}
