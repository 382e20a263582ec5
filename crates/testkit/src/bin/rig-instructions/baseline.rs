//! The committed figures, what they are of, and whether a new one is too far from its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::rig::{callgrind, run};

/// What instruction counts depend on besides our code. Where one of these differs, two counts say nothing of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground(BTreeMap<String, String>);

impl Ground {
    /// Of this machine, and of the compiler that made this program.
    pub fn of(program: &Path) -> Result<Self> {
        let libc = run("getconf", &["GNU_LIBC_VERSION"]).map(|output| output.stdout).unwrap_or_default();
        // valgrind offers a program the vectors that the processor has, and libraries choose their code by that.
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let vectors = if processor.split_whitespace().any(|flag| flag == "avx2") { "avx2" } else { "no avx2" };
        Ok(Self(BTreeMap::from([
            ("architecture".to_owned(), std::env::consts::ARCH.to_owned()),
            ("libc".to_owned(), String::from_utf8_lossy(&libc).trim().to_owned()),
            ("rustc".to_owned(), compiler(program)?),
            ("valgrind".to_owned(), callgrind::version()?),
            ("vectors".to_owned(), vectors.to_owned()),
        ])))
    }

    /// What differs here from what these were.
    pub fn differences(&self, here: &Self) -> Vec<String> {
        let names = self.0.keys().chain(here.0.keys()).collect::<std::collections::BTreeSet<_>>();
        let text = |ground: &Self, name: &String| ground.0.get(name).cloned().unwrap_or_else(|| "unknown".to_owned());
        names
            .into_iter()
            .map(|name| (name, text(self, name), text(here, name)))
            .filter(|(_, theirs, ours)| theirs != ours)
            .map(|(name, theirs, ours)| format!("{name} was {theirs} and is {ours}"))
            .collect()
    }
}

/// As rustc writes its name into what it makes: the one on the path may be another by now.
fn compiler(program: &Path) -> Result<String> {
    const MARK: &[u8] = b"rustc version ";
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    let after = bytes.windows(MARK.len()).position(|window| window == MARK).map(|at| &bytes[at + MARK.len()..]);
    let after = after.with_context(|| format!("{} does not say which rustc made it", program.display()))?;
    let version: Vec<u8> = after.iter().copied().take(60).take_while(|byte| *byte != b')' && *byte != 0).collect();
    Ok(format!("{})", String::from_utf8_lossy(&version)))
}

/// One thing that was counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
    /// How far it may lie from the baseline, where that does not say otherwise.
    pub tolerance_percent: f64,
}

/// A figure beside its baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distance {
    pub baseline: f64,
    pub percent: f64,
    pub tolerance_percent: f64,
}

impl Distance {
    pub fn is_within(&self) -> bool {
        self.percent.abs() <= self.tolerance_percent
    }
}

/// The committed file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baseline {
    pub ground: Ground,
    /// Value and tolerance of each.
    figures: BTreeMap<String, (f64, f64)>,
}

impl Baseline {
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("reading the baseline {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("the baseline {}", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let all: Value = serde_json::from_str(text)?;
        let ground = all["ground"].as_object().context("no ground")?.iter();
        let ground = ground.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let figures = all["figures"].as_object().context("no figures")?.iter().map(|(name, figure)| {
            let number = |key: &str| figure[key].as_f64().with_context(|| format!("{name}: no {key}"));
            let (value, tolerance) = (number("value")?, number("tolerance_percent")?);
            ensure!(value > 0.0 && tolerance >= 0.0, "{name}: nothing can be compared with {figure}");
            Ok((name.clone(), (value, tolerance)))
        });
        Ok(Self { ground: Ground(ground.collect()), figures: figures.collect::<Result<_>>()? })
    }

    /// `None` for what the baseline does not know.
    pub fn distance(&self, figure: &Figure) -> Option<Distance> {
        let (baseline, tolerance_percent) = *self.figures.get(figure.name)?;
        Some(Distance { baseline, percent: (figure.value / baseline - 1.0) * 100.0, tolerance_percent })
    }

    /// What it knows and nobody counted.
    pub fn not_among(&self, figures: &[Figure]) -> Vec<String> {
        self.figures.keys().filter(|name| figures.iter().all(|figure| figure.name != **name)).cloned().collect()
    }

    /// These figures as a baseline; a tolerance that somebody had set stays.
    pub fn renewed(&self, ground: Ground, figures: &[Figure]) -> Self {
        let tolerance =
            |figure: &Figure| self.figures.get(figure.name).map_or(figure.tolerance_percent, |(_, old)| *old);
        let figures = figures.iter().map(|figure| (figure.name.to_owned(), (figure.value, tolerance(figure))));
        Self { ground, figures: figures.collect() }
    }

    /// As it is committed: a figure a line, so that a change shows what it changed.
    pub fn text(&self) -> String {
        let mut text = "{\n  \"ground\": {\n".to_owned();
        let comma = |at: usize, of: usize| if at + 1 < of { "," } else { "" };
        // Writing to a String cannot fail.
        for (at, (name, value)) in self.ground.0.iter().enumerate() {
            writeln!(text, "    \"{name}\": {}{}", Value::from(value.as_str()), comma(at, self.ground.0.len())).ok();
        }
        text.push_str("  },\n  \"figures\": {\n");
        for (at, (name, (value, tolerance))) in self.figures.iter().enumerate() {
            let comma = comma(at, self.figures.len());
            writeln!(text, "    \"{name}\": {{\"value\": {value}, \"tolerance_percent\": {tolerance}}}{comma}").ok();
        }
        text.push_str("  }\n}\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &'static str, value: f64) -> Figure {
        Figure { name, value, tolerance_percent: 3.0 }
    }

    fn ground(rustc: &str) -> Ground {
        Ground(BTreeMap::from([("rustc".to_owned(), rustc.to_owned())]))
    }

    #[test]
    fn what_is_written_is_read_again_and_keeps_its_tolerances() {
        let figures = [figure("upload_instructions", 6_280_000.0), figure("upload_syncs", 3.02)];
        let first = Baseline::default().renewed(ground("1.95"), &figures);
        assert_eq!(Baseline::parse(&first.text()).unwrap(), first);
        let wider = first.text().replace("3.02, \"tolerance_percent\": 3", "3.02, \"tolerance_percent\": 7");
        let again = Baseline::parse(&wider).unwrap().renewed(ground("1.96"), &figures);
        assert!((again.distance(&figures[1]).unwrap().tolerance_percent - 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_tenth_more_or_less_is_noticed_and_a_little_is_not() {
        let baseline = Baseline::default().renewed(Ground::default(), &[figure("a_instructions", 1000.0)]);
        for (value, within) in [(1000.0, true), (1029.0, true), (971.0, true), (1100.0, false), (900.0, false)] {
            assert_eq!(baseline.distance(&figure("a_instructions", value)).unwrap().is_within(), within, "{value}");
        }
        assert_eq!(baseline.distance(&figure("b_instructions", 1.0)), None);
        assert_eq!(baseline.not_among(&[figure("b_instructions", 1.0)]), ["a_instructions"]);
    }

    #[test]
    fn another_compiler_is_named() {
        assert!(ground("1.95").differences(&ground("1.95")).is_empty());
        assert_eq!(ground("1.95").differences(&ground("1.96")), ["rustc was 1.95 and is 1.96"]);
    }

    #[test]
    fn a_broken_file_is_no_baseline() {
        for text in ["", "{}", "{\"ground\": {}, \"figures\": {\"a\": {\"value\": 0, \"tolerance_percent\": 3}}}"] {
            assert!(Baseline::parse(text).is_err(), "{text}");
        }
    }
}
