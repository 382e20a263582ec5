//! Where every setting comes from.
//!
//! **Owns** the list of settings, their defaults, limits and documentation, and the order in which
//! their sources win: flag, then environment, then file, then default.
//!
//! **Promises** that a [`Config`] is whole and valid: nothing outside has to check a limit again.
//! When it cannot be, [`ConfigProblems`] names every mistake at once, where it stands, what is
//! allowed and what to write instead. No secret is ever printed, not even a misspelt one.
//!
//! **Leaves to others** the command line (it hands over dotted keys and texts), printing, opening
//! what the paths point at, and whatever an administrator changes while the server runs.
//!
//! To add a setting, add it to `settings.rs`; nothing else has to know:
//!
//! | file | what it holds |
//! |---|---|
//! | `settings.rs` | every key: name, type, default, limits, documentation |
//! | `declare.rs` | the macro that makes structs, defaults and the list of keys of it |
//! | `values.rs` | the types a setting can have, and how each is read and shown |
//! | `secret.rs` | a value that is never shown |
//! | `rules.rs` | what a text must look like: addresses, origins, stores |
//! | `layers.rs`, `file.rs` | flags, environment and file, laid over the defaults |
//! | `check.rs` | what must hold between two settings |
//! | `problems.rs`, `suggest.rs` | saying what is wrong, and what was probably meant |
//! | `resolved.rs` | what follows from settings: paths, durations, who is trusted |
//! | `example.rs`, `report.rs` | all settings as a file, and as a table with their sources |

#[macro_use]
mod declare;
mod bucket;
mod check;
mod example;
mod file;
mod layers;
mod problems;
mod report;
mod resolved;
mod rules;
mod secret;
mod settings;
mod suggest;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;

pub use declare::{KEYS, Key, Section, number_of};
pub use example::example_toml;
pub use layers::process_environment;
pub use problems::{ConfigProblems, Problem, Source};
pub use report::{Report, ReportLine, report};
pub use secret::Secret;
pub use settings::{
    Api, Blobs, Config, Durability, Flask, Forward, Host, Identity, Ingest, Jobs, Jwt, Log, LogFormat, Mode, Original,
    Provider, Records, SECTIONS, ServeFrom, Server, SessionProtection, Verify,
};
pub(crate) use values::group_digits;

/// Read when no file is named and it exists, in the working directory.
pub const DEFAULT_FILE: &str = "filmgate.toml";

impl Config {
    /// Lays flags over environment over file over defaults.
    ///
    /// A `file` that is named must exist; without one, [`DEFAULT_FILE`] is read if it is there.
    /// `flags` are dotted keys (`server.listen`) with their text; the last of two equal ones wins.
    /// `env` may be the whole environment: only `FILMGATE__…` counts. See [`process_environment`].
    pub fn load(
        file: Option<&Path>,
        flags: &[(&str, String)],
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigProblems> {
        let mut layers = layers::Layers::default();
        file::apply(&mut layers, file.unwrap_or(Path::new(DEFAULT_FILE)), file.is_some());
        layers.environment(env);
        layers.flags(flags);
        layers.finish()
    }
}
