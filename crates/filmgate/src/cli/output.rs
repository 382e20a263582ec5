//! What commands print: a table for people, JSON for programs.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use serde::Serialize;

/// Prints a text and a line break. A reader who left, as `head` does, has read enough.
pub(super) fn say(text: impl Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// Prints one thing: as JSON, or as `name: value` lines.
pub(super) fn one(json: bool, thing: &impl Serialize) -> anyhow::Result<()> {
    if json {
        return say(serde_json::to_string(thing)?);
    }
    let serde_json::Value::Object(members) = serde_json::to_value(thing)? else { return Ok(()) };
    let width = members.keys().map(String::len).max().unwrap_or_default();
    for (name, value) in members {
        say(format_args!("{name:width$}  {}", plain(&value)))?;
    }
    Ok(())
}

/// Prints many things: as JSON lines, or as a table.
pub(super) fn many(json: bool, things: &[impl Serialize], columns: &[&str]) -> anyhow::Result<()> {
    if json {
        for thing in things {
            say(serde_json::to_string(thing)?)?;
        }
        return Ok(());
    }
    let rows: Vec<serde_json::Value> = things.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| plain(&row[*column])).collect()).collect();
    let width = |index: usize| {
        cells.iter().map(|row| row[index].chars().count()).chain([columns[index].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |values: Vec<&str>| {
        let padded: Vec<String> = values.iter().zip(&widths).map(|(value, width)| format!("{value:width$}")).collect();
        say(padded.join("  ").trim_end())
    };
    line(columns.to_vec())?;
    cells.iter().try_for_each(|row| line(row.iter().map(String::as_str).collect()))
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
