//! What an import did, and every row and file that did not fit.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use host::AppCaptureRow;
use serde::Serialize;

use super::names::Names;

/// Of each kind, so many are told to people; all of them stand in the report for programs.
const TOLD: usize = 20;

/// A row of the app's, as it stands there.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) session_id: String,
    pub(super) timestamp: Option<String>,
    pub(super) filename: String,
}

impl Row {
    pub(super) fn of(row: &AppCaptureRow) -> Self {
        Self {
            id: row.id.clone(),
            session_id: row.session_id.clone(),
            timestamp: row.timestamp.clone(),
            filename: row.filename.clone(),
        }
    }
}

/// A row whose photo another row's has overwritten.
#[derive(Debug, Serialize)]
pub(super) struct Overwritten {
    #[serde(flatten)]
    row: Row,
    /// The row that has the file: the newest.
    kept_by: Option<String>,
    #[serde(skip)]
    of: u128,
}

#[derive(Debug, Serialize)]
pub(super) struct Unusable {
    #[serde(flatten)]
    row: Row,
    code: &'static str,
    reason: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Renamed {
    #[serde(flatten)]
    row: Row,
    new_filename: String,
}

#[derive(Debug, Serialize)]
pub(super) struct OtherSize {
    #[serde(flatten)]
    row: Row,
    noted_bytes: i64,
    file_bytes: u64,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) dry_run: bool,
    /// It was ended before the last row.
    pub(super) interrupted: bool,
    /// Rows looked at.
    pub(super) rows: u64,
    /// Photos taken over in this run, or that would be.
    pub(super) imported: u64,
    /// Rows whose photo was here before: by an earlier run, or because Filmgate itself took it.
    pub(super) already_there: u64,
    /// Rows whose photo was here and was deleted.
    pub(super) deleted_here: u64,
    /// Photos that an import before this one left without a row, set aside.
    pub(super) set_aside: u64,
    pub(super) overwritten: Vec<Overwritten>,
    pub(super) rows_without_file: Vec<Row>,
    pub(super) files_without_row: Vec<String>,
    pub(super) unusable_files: Vec<Unusable>,
    pub(super) rows_of_unknown_sessions: Vec<Row>,
    pub(super) renamed: Vec<Renamed>,
    pub(super) of_other_size: Vec<OtherSize>,
}

impl Report {
    pub(super) fn overwritten(&mut self, row: Row, of: u128) {
        self.overwritten.push(Overwritten { row, kept_by: None, of });
    }

    /// Once all rows were looked at: who has the file.
    pub(super) fn name_keepers(&mut self, names: &Names) {
        for overwritten in &mut self.overwritten {
            overwritten.kept_by = names.keeper(overwritten.of).map(str::to_owned);
        }
    }

    pub(super) fn unusable(&mut self, row: Row, code: &'static str, reason: &str) {
        // What follows is advice to whoever uploads.
        let reason = reason.split("; ").next().unwrap_or(reason).to_owned();
        self.unusable_files.push(Unusable { row, code, reason });
    }

    pub(super) fn renamed(&mut self, row: Row, new_filename: String) {
        self.renamed.push(Renamed { row, new_filename });
    }

    /// A file that is not as large as its row says may be another row's.
    pub(super) fn note_size(&mut self, row: &Row, noted: Option<i64>, file_bytes: u64) {
        if let Some(noted_bytes) = noted
            && u64::try_from(noted_bytes).ok() != Some(file_bytes)
        {
            self.of_other_size.push(OtherSize { row: row.clone(), noted_bytes, file_bytes });
        }
    }

    /// Whether every row's photo is here, or was and is deleted.
    pub(super) fn is_whole(&self) -> bool {
        self.overwritten.is_empty()
            && self.rows_without_file.is_empty()
            && self.unusable_files.is_empty()
            && self.rows_of_unknown_sessions.is_empty()
    }

    pub(super) fn words(&self) -> String {
        let verb = if self.dry_run { "photos would be imported" } else { "photos imported" };
        let mut lines = vec![format!("{} rows of the app's looked at, {} {verb}", self.rows, self.imported)];
        let mut count = |count: u64, what: &str| {
            if count > 0 {
                lines.push(format!("{count} {what}"));
            }
        };
        count(self.already_there, "were here already");
        count(self.deleted_here, "were here and were deleted: they stay deleted");
        count(self.set_aside, "photos that an earlier import left without a row are set aside in .quarantine");
        let named = |row: &Row| {
            format!("row {} of session {}, {}", row.id, row.session_id, row.timestamp.as_deref().unwrap_or("no time"))
        };
        list(
            &mut lines,
            "rows whose photo the app overwrote: it named files by second and session; their photo is lost, and the newest row has the file",
            &self.overwritten,
            |it| {
                format!(
                    "{}: {} now holds the photo of row {}",
                    named(&it.row),
                    it.row.filename,
                    it.kept_by.as_deref().unwrap_or("?")
                )
            },
        );
        list(&mut lines, "rows without a file", &self.rows_without_file, |it| {
            format!("{}: {}", named(it), it.filename)
        });
        list(&mut lines, "files that are no whole photo, left where they are", &self.unusable_files, |it| {
            format!("{}: {}: {}", named(&it.row), it.row.filename, it.reason)
        });
        list(&mut lines, "rows of sessions that the app does not know", &self.rows_of_unknown_sessions, |it| {
            format!("{}: {}", named(it), it.filename)
        });
        list(&mut lines, "files without a row, left where they are", &self.files_without_row, Clone::clone);
        list(
            &mut lines,
            "photos imported under another filename, as theirs is in use or none for a URL",
            &self.renamed,
            |it| format!("{}: {} is {} here", named(&it.row), it.row.filename, it.new_filename),
        );
        list(
            &mut lines,
            "files that are not as large as their row says: perhaps another row's photo",
            &self.of_other_size,
            |it| {
                format!(
                    "{}: {} has {} bytes, and {} are noted",
                    named(&it.row),
                    it.row.filename,
                    it.file_bytes,
                    it.noted_bytes
                )
            },
        );
        lines.push(match (self.interrupted, self.is_whole()) {
            (true, _) => "interrupted: run it again to go on".to_owned(),
            (false, true) if self.dry_run => "every row would be imported".to_owned(),
            (false, true) => "every row of the app's is imported".to_owned(),
            (false, false) => "the rows named above are not imported; --report FILE names all of them".to_owned(),
        });
        lines.join("\n")
    }
}

fn list<T>(lines: &mut Vec<String>, what: &str, items: &[T], word: impl Fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    lines.push(format!("{} {what}:", items.len()));
    lines.extend(items.iter().take(TOLD).map(|item| format!("  {}", word(item))));
    if items.len() > TOLD {
        lines.push(format!("  and {} more", items.len() - TOLD));
    }
}

/// Before the work: a report that cannot be written is better known now.
pub(in crate::cli) fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("--report: cannot write {}", path.display()))
}

pub(in crate::cli) fn write(mut file: File, report: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).context("--report: cannot be written")
}
