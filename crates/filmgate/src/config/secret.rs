//! Values that must not be seen.
//!
//! Owns [`Secret`]. Promises that neither a log line nor the report can show one by accident: whoever
//! needs the text has to ask for it by [`Secret::expose`].

use std::fmt;

use super::problems::Mistake;
use super::values::{Setting, Shape};

/// A text that is never printed: not by `Debug`, not by `Display`, not by the report.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Not set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "" } else { "***" })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl Setting for Secret {
    type Default = &'static str;
    const SHAPE: Shape = Shape::Text;
    const SECRET: bool = true;

    fn from_default(default: &'static str) -> Self {
        Self(default.to_owned())
    }

    fn read(texts: &[String]) -> Result<Self, Vec<Mistake>> {
        Ok(Self(texts.concat()))
    }

    fn show(&self) -> Vec<String> {
        vec![self.to_string()]
    }
}

impl Setting for Vec<Secret> {
    type Default = Self;
    const SHAPE: Shape = Shape::List;
    const SECRET: bool = true;

    fn from_default(default: Self) -> Self {
        default
    }

    fn read(texts: &[String]) -> Result<Self, Vec<Mistake>> {
        Ok(texts.iter().cloned().map(Secret).collect())
    }

    fn show(&self) -> Vec<String> {
        self.iter().map(Secret::to_string).collect()
    }
}
