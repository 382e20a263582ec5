//! `filmgate shadow`: whether Filmgate has what the app has, while nginx sends uploads to both.
//!
//! Owns reading both sides for a period and telling the differences; which capture is which is `compare.rs`. Promises
//! that it changes nothing, and that whatever it names as missing was looked for on the other side within the tolerance.

mod compare;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use host::{AppCaptureRow, Host};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use self::compare::{Compared, Counted, Seen, compare};
use super::import::report;
use super::{Common, app_rows, output};
use crate::app::App;

/// Rows asked for in one step.
const STEP: usize = 5_000;
/// Captures of a side, which are all in memory at once.
const CAPTURES_MAX: usize = 3_000_000;
/// Until then the newest may be on their way to one side.
const SETTLED: SignedDuration = SignedDuration::from_secs(60);
/// Of each list so many are told to people; all of them stand in the report for programs.
const TOLD: usize = 20;
const COLUMNS: &[&str] =
    &["session_id", "trigger", "minute", "app", "filmgate", "missing_in_filmgate", "missing_in_app"];

#[derive(Debug, Subcommand)]
pub(super) enum ShadowCommand {
    /// Compare the app's captures with Filmgate's, by session, trigger and minute; exit status 1 where they differ
    Report(ReportArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  filmgate shadow report --last 2h
  filmgate shadow report --from '2026-11-24 08:00' --until '2026-11-24 12:00' --report shadow.json

Times are UTC unless they say otherwise. docs/shadow.md says how nginx sends uploads to both.
Exit status 0 where both have the same, 1 where one lacks something, 2 where nobody knows.")]
pub(super) struct ReportArgs {
    /// Captures from then on, as in '2026-11-24 08:00'
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Captures before then [default: a minute ago, as later ones may be on their way]
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Instead of --from: so long before the end
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "1h", conflicts_with = "from")]
    last: SignedDuration,
    /// How far apart the two times of one photo may be
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "10s")]
    tolerance: SignedDuration,
    /// Show every minute, also where both have the same
    #[arg(long)]
    all: bool,
    /// Write the whole report there, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn time(text: &str) -> Result<Timestamp, String> {
    let text = text.trim().replacen(' ', "T", 1);
    let civil = |text: &str| TimeZone::UTC.to_timestamp(text.parse::<DateTime>()?);
    text.parse()
        .or_else(|_| civil(&text))
        .map_err(|_: jiff::Error| "a time is as 2026-11-24T08:00 or 2026-11-24T08:00:00Z".to_owned())
}

fn span(text: &str) -> Result<SignedDuration, String> {
    let seconds = planner::quantity::seconds(text).map_err(|error| error.to_string())?;
    SignedDuration::try_from_secs_f64(seconds)
        .ok()
        .filter(|span| !span.is_negative() && *span <= SignedDuration::from_hours(24 * 366))
        .ok_or_else(|| format!("'{text}' is no time between 0 and a year"))
}

#[derive(Debug, Serialize)]
struct Report {
    from: Timestamp,
    until: Timestamp,
    tolerance_ms: i128,
    /// How many captures of the period each has.
    app: u64,
    filmgate: u64,
    /// Pairs that only their times make one photo: the size as it was sent is known of one of them at most.
    paired_by_time: u64,
    /// Rows of the app's around this period whose time cannot be read: they are not compared.
    app_rows_without_time: u64,
    minutes: Vec<Counted>,
    missing_in_filmgate: Vec<Seen>,
    missing_in_app: Vec<Seen>,
}

pub(super) async fn run(command: ShadowCommand, common: &Common) -> anyhow::Result<ExitCode> {
    let ShadowCommand::Report(args) = command;
    let app = common.open().await?;
    let until = args.until.unwrap_or(app.now() - SETTLED);
    let from = args.from.map_or_else(|| until.checked_sub(args.last), Ok).context("--last reaches too far back")?;
    ensure!(from < until, "--from {from} is not before --until {until}");
    ensure!(
        !app.config.host.write_captures,
        "host.write_captures is on: what Filmgate takes in stands in the app's table by itself, and to compare the two says \
         nothing. In shadow mode it is off"
    );
    let file = args.report.as_deref().map(report::create).transpose()?;
    let database = app_rows::open(&app)?;
    let (around_from, around_until) = (from - args.tolerance, until + args.tolerance);
    let (theirs, without_time) = of_app(database.host(), around_from, around_until).await?;
    let ours = of_filmgate(&app, around_from, around_until).await?;
    let compared = compare(theirs, ours, (from, until), args.tolerance);
    let is_same = compared.missing_in_filmgate.is_empty() && compared.missing_in_app.is_empty();
    let report = Report::of(compared, (from, until), args.tolerance, without_time);
    if let Some(file) = file {
        report::write(file, &report)?;
    }
    if common.json {
        output::one(true, &report)?;
    } else {
        report.tell(args.all)?;
    }
    database.host().close().await;
    app.records.clone().close().await;
    Ok(ExitCode::from(u8::from(!is_same)))
}

/// The app's captures of a period, and how many rows have no time that can be read.
async fn of_app(host: &Host, from: Timestamp, until: Timestamp) -> anyhow::Result<(Vec<Seen>, u64)> {
    let mut seen = Vec::new();
    let (mut after, mut without_time) = (None::<String>, 0);
    // Times that are numbers are in no order with texts: then every row is looked at.
    let first = host.captures(None, 1).await.context("the app's captures cannot be read")?;
    let has_numbers =
        first.first().and_then(|row| row.timestamp.as_deref()).is_some_and(|it| it.parse::<f64>().is_ok());
    loop {
        let page = if has_numbers {
            host.captures(after.as_deref(), STEP).await
        } else {
            host.captures_between(from, until, after.as_deref(), STEP).await
        };
        let page = page.context("the app's captures cannot be read")?;
        let Some(last) = page.last() else { break };
        ensure!(after.as_ref() != Some(&last.id), "the app's rows come in no order: the key {} comes twice", last.id);
        after = Some(last.id.clone());
        for row in page {
            match row.time() {
                Some(time) if time >= from && time < until => seen.push(seen_in_app(row, time)),
                Some(_) => {}
                None => without_time += 1,
            }
        }
        in_memory(seen.len())?;
    }
    Ok((seen, without_time))
}

fn seen_in_app(row: AppCaptureRow, time: Timestamp) -> Seen {
    Seen {
        session: host::uuid_of(host::SESSIONS, &row.session_id),
        trigger: row.capture_trigger.as_deref().unwrap_or_default().trim().to_ascii_uppercase(),
        time,
        id: row.id,
        filename: row.filename,
        bytes: row.file_size_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        session_id: row.session_id,
    }
}

async fn of_filmgate(app: &App, from: Timestamp, until: Timestamp) -> anyhow::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    let mut keys: HashMap<Uuid, String> = HashMap::new();
    let mut after = None;
    loop {
        let page = app.records.captures_between(from, until, after, STEP).await?;
        let Some(last) = page.last() else { return Ok(seen) };
        after = Some((last.received_at, last.id));
        for capture in page {
            let session_id = if let Some(key) = keys.get(&capture.session_id) {
                key.clone()
            } else {
                let session = app.records.session(capture.session_id).await?;
                let key = session.map_or_else(|| capture.session_id.to_string(), |session| session.key());
                keys.entry(capture.session_id).or_insert(key).clone()
            };
            seen.push(Seen {
                session: capture.session_id,
                session_id,
                trigger: capture.trigger.to_ascii_uppercase(),
                time: capture.received_at,
                id: capture.id.to_string(),
                filename: capture.filename,
                bytes: capture.received_bytes,
            });
        }
        in_memory(seen.len())?;
    }
}

fn in_memory(captures: usize) -> anyhow::Result<()> {
    if captures > CAPTURES_MAX {
        bail!("more than {CAPTURES_MAX} captures: compare a shorter period");
    }
    Ok(())
}

impl Report {
    fn of(
        compared: Compared,
        (from, until): (Timestamp, Timestamp),
        tolerance: SignedDuration,
        app_rows_without_time: u64,
    ) -> Self {
        Self {
            from,
            until,
            tolerance_ms: tolerance.as_millis(),
            app: compared.minutes.iter().map(|minute| minute.app).sum(),
            filmgate: compared.minutes.iter().map(|minute| minute.filmgate).sum(),
            paired_by_time: compared.paired_by_time,
            app_rows_without_time,
            minutes: compared.minutes,
            missing_in_filmgate: compared.missing_in_filmgate,
            missing_in_app: compared.missing_in_app,
        }
    }

    fn tell(&self, all: bool) -> anyhow::Result<()> {
        let Self { from, until, app, filmgate, .. } = self;
        output::say(format_args!("from {from} until {until}: {app} captures in the app, {filmgate} in Filmgate"))?;
        let differ = |minute: &&Counted| all || minute.missing_in_filmgate + minute.missing_in_app > 0;
        let minutes: Vec<&Counted> = self.minutes.iter().filter(differ).collect();
        if !minutes.is_empty() {
            output::many(false, &minutes, COLUMNS)?;
        }
        missing("Filmgate has not", &self.missing_in_filmgate)?;
        missing("the app has not", &self.missing_in_app)?;
        if self.paired_by_time > 0 {
            let count = self.paired_by_time;
            output::say(format_args!(
                "{count} were compared by their times alone: one side does not know how large they were when they were sent"
            ))?;
        }
        if self.app_rows_without_time > 0 {
            let count = self.app_rows_without_time;
            output::say(format_args!(
                "{count} rows of the app's have no time that can be read, and were not compared"
            ))?;
        }
        let is_same = self.missing_in_filmgate.is_empty() && self.missing_in_app.is_empty();
        output::say(match (is_same, *app) {
            (true, 0) => "neither has a capture of this period: nothing was compared",
            (true, _) => "both have the same",
            (false, _) => "they differ",
        })
    }
}

fn missing(what: &str, missing: &[Seen]) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    output::say(format_args!("{} that {what}:", missing.len()))?;
    for seen in missing.iter().take(TOLD) {
        let Seen { id, session_id, trigger, time, filename, .. } = seen;
        output::say(format_args!("  {id} of session {session_id}, {trigger}, {time}: {filename}"))?;
    }
    if missing.len() > TOLD {
        output::say(format_args!("  and {} more; --report FILE names all of them", missing.len() - TOLD))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_unless_they_say_otherwise() {
        let expected: Timestamp = "2026-11-24T08:00:00Z".parse().unwrap();
        for text in ["2026-11-24 08:00", "2026-11-24T08:00:00", "2026-11-24T08:00:00Z", "2026-11-24T10:00:00+02:00"] {
            assert_eq!(time(text), Ok(expected), "{text}");
        }
        assert!(time("yesterday").is_err());
        assert_eq!(span("90min"), Ok(SignedDuration::from_mins(90)));
        assert!(span("-1h").is_err() && span("1e300h").is_err());
    }
}
