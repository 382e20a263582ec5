//! `filmgate config`

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::{Common, output};
use crate::config::{ConfigProblems, Problem, Report, ReportLine, example_toml, report};

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say what is wrong with the configuration, and where; exit status 0 where it is right, 1 where not
    Check,
    /// Show every setting in force and where it comes from; secrets are not shown
    Show,
    /// Print a commented example with every setting and its default
    Example,
}

/// What `check` finds, for programs.
#[derive(Serialize)]
struct Checked {
    right: bool,
    problems: Vec<ProblemView>,
}

#[derive(Serialize)]
struct ProblemView {
    place: String,
    what: String,
    allowed: Option<String>,
    hint: Option<String>,
}

impl From<&Problem> for ProblemView {
    fn from(problem: &Problem) -> Self {
        Self {
            place: problem.place.to_string(),
            what: problem.what.clone(),
            allowed: problem.allowed.clone(),
            hint: problem.hint.clone(),
        }
    }
}

/// One setting in force, for programs.
#[derive(Serialize)]
struct SettingView {
    key: &'static str,
    value: serde_json::Value,
    source: String,
}

impl SettingView {
    fn of(line: &ReportLine) -> anyhow::Result<Self> {
        let table: toml::Table = toml::from_str(&format!("value = {}", line.value))?;
        let value = serde_json::to_value(&table["value"])?;
        Ok(Self { key: line.key, value, source: line.source.to_string() })
    }
}

pub(super) fn run(command: ConfigCommand, common: &Common) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check => check(common),
        ConfigCommand::Show => show(&report(&common.load(Vec::new())?), common.json),
        ConfigCommand::Example => output::say(example_toml().trim_end()).map(|()| ExitCode::SUCCESS),
    }
}

fn check(common: &Common) -> anyhow::Result<ExitCode> {
    let problems = match common.load(Vec::new()) {
        Ok(_) => None,
        Err(error) => Some(error.downcast::<ConfigProblems>()?),
    };
    if common.json {
        let problems: Vec<ProblemView> = problems.iter().flatten().map(Into::into).collect();
        output::one(true, &Checked { right: problems.is_empty(), problems })?;
    } else {
        match &problems {
            Some(problems) => output::say(problems)?,
            None => output::say("the configuration is right")?,
        }
    }
    Ok(ExitCode::from(u8::from(problems.is_some())))
}

fn show(report: &Report, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        let settings: Vec<SettingView> = report.lines.iter().map(SettingView::of).collect::<Result<_, _>>()?;
        output::many(true, &settings, &[])?;
    } else {
        output::say(report.to_string().trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
