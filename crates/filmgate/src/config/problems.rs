//! Saying what is wrong.
//!
//! Owns the form of every message: where, what, what is allowed, what to write instead. Promises
//! that no secret gets into one: a [`Mistake`] carries the offending value apart from its words, and
//! it is left out here, in one place, for secrets and for anything that may hold a password.

use std::fmt;
use std::path::PathBuf;

use super::declare::Key;
use super::settings::Config;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The file; line and column count from 1, line 0 is the file as a whole.
    File {
        /// As it was named.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A flag of the command line.
    Flag {
        /// The dotted key it sets.
        key: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag { key } => write!(f, "flag {key}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Source,
    /// What is wrong, with the key's name.
    pub what: String,
    /// What would be right.
    pub allowed: Option<String>,
    /// What to do, or what was probably meant.
    pub hint: Option<String>,
}

impl Problem {
    /// A mistake in the value of `key`, found at `place`.
    pub(super) fn in_value(key: &Key, place: Source, mistake: Mistake) -> Self {
        let shown = mistake.value.filter(|value| !key.secret && !value.contains('@'));
        let what = match shown {
            Some(value) if value.is_empty() => format!("{}: is empty", key.dotted),
            Some(value) => format!("{}: `{}` {}", key.dotted, shorten(&value), mistake.what),
            None => format!("{}: {}", key.dotted, mistake.what),
        };
        let hint = match mistake.hint {
            Some(Hint::Words(words)) => words,
            Some(Hint::Value(text)) if mistake.item.is_some() => format!("write {text}"),
            Some(Hint::Value(text)) => format!("write {}", assign(key, &place, &[text])),
            None => {
                let default = (key.show)(&Config::default());
                format!("the default is {}", assign(key, &place, &default))
            }
        };
        Self { place, what, allowed: (key.allowed)(), hint: Some(hint) }
    }
}

/// A setting as it would be written at `place`.
fn assign(key: &Key, place: &Source, texts: &[String]) -> String {
    match place {
        Source::Environment { .. } => format!("{}={}", key.variable(), texts.join(",")),
        Source::Flag { .. } => format!("{}={}", key.dotted, texts.join(",")),
        Source::File { .. } | Source::Default => format!("{} = {}", key.name, key.shape.toml(texts)),
    }
}

/// The first line of a value, and not a page of it.
fn shorten(value: &str) -> String {
    let first: String = value.lines().next().unwrap_or_default().chars().take(60).collect();
    let more = if first.len() < value.len() { "…" } else { "" };
    let visible = first.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    visible.chain(more.chars()).collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        if let Some(allowed) = &self.allowed {
            write!(f, "\n    allowed: {allowed}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n    hint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration: at least one thing, in the order of the file, then
/// the environment, then the flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblems(Vec<Problem>);

impl ConfigProblems {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        Self(problems)
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigProblems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 problem in the configuration")?,
            count => write!(f, "{count} problems in the configuration")?,
        }
        self.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl std::error::Error for ConfigProblems {}

/// What is wrong with a value, before it is known where it stands.
#[derive(Debug)]
pub(super) struct Mistake {
    value: Option<String>,
    what: String,
    hint: Option<Hint>,
    item: Option<usize>,
}

#[derive(Debug)]
enum Hint {
    Words(String),
    Value(String),
}

impl Mistake {
    /// Reads as "`value` what".
    pub(super) fn value(value: impl Into<String>, what: impl Into<String>) -> Self {
        Self { value: Some(value.into()), ..Self::plain(what) }
    }

    /// Says all by itself. The words must not hold any part of a value that may be secret.
    pub(super) fn plain(what: impl Into<String>) -> Self {
        Self { value: None, what: what.into(), hint: None, item: None }
    }

    /// Says the same without the value, which is a secret, or what to write instead of it.
    pub(super) fn unquoted(self) -> Self {
        let hint = self.hint.filter(|hint| matches!(hint, Hint::Words(_)));
        let what = if self.value.is_some() { format!("what it says {}", self.what) } else { self.what };
        Self { value: None, what, hint, ..self }
    }

    /// The value to write instead.
    pub(super) fn instead(self, text: impl Into<String>) -> Self {
        Self { hint: Some(Hint::Value(text.into())), ..self }
    }

    /// What to do.
    pub(super) fn hint(self, words: impl Into<String>) -> Self {
        Self { hint: Some(Hint::Words(words.into())), ..self }
    }

    /// It is this item of a list.
    pub(super) fn at_item(self, index: usize) -> Self {
        Self { item: Some(index), ..self }
    }

    pub(super) fn item(&self) -> Option<usize> {
        self.item
    }
}
