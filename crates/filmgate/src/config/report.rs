//! Every setting with its value and where it is from.
//!
//! Owns the table of `filmgate config show`. Secrets are `"***"` in it. Leaves printing to the
//! command.

use std::collections::BTreeMap;
use std::fmt;

use super::declare::KEYS;
use super::problems::Source;
use super::settings::Config;

/// Where the values that are not defaults came from, by dotted key.
pub(super) type Sources = BTreeMap<&'static str, Source>;

/// The effective settings, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One for each key.
    pub lines: Vec<ReportLine>,
}

/// One setting as it is in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportLine {
    /// The dotted key.
    pub key: &'static str,
    /// Its value as TOML, a secret as `"***"`.
    pub value: String,
    /// Where it is from.
    pub source: Source,
}

/// The effective settings of a configuration.
pub fn report(config: &Config) -> Report {
    let lines = KEYS.iter().map(|key| ReportLine {
        key: key.dotted,
        value: key.toml(config),
        source: config.sources.get(key.dotted).cloned().unwrap_or(Source::Default),
    });
    Report { lines: lines.collect() }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<String> = self.lines.iter().map(|line| format!("{} = {}", line.key, line.value)).collect();
        let width = settings.iter().map(|setting| setting.chars().count()).max().unwrap_or_default().min(70);
        for (setting, line) in settings.iter().zip(&self.lines) {
            writeln!(f, "{setting:width$}  # {}", line.source)?;
        }
        Ok(())
    }
}
