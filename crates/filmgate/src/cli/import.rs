//! `filmgate import`: takes over the photos and rows that the app has from before.
//!
//! Owns the order of work: all names first (`names.rs`), so that it is known which rows share a file; then row by row,
//! files opened below the uploads folder and nowhere else (`uploads.rs`), photos checked, published and recorded by
//! `intake`; a report of whatever does not fit (`report.rs`). Promises that the app's table and files are only read,
//! that an import begun again goes on where it was (a row's capture has an id made of the row, and what is there is not
//! read again), and that every row and file that was not taken over is named.

mod lock;
mod names;
pub(super) mod report;
mod uploads;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use futures_util::StreamExt;
use host::{AppCaptureRow, Host};
use intake::OldPhoto;
use jiff::Timestamp;
use records::{AssessmentType, KnownCaptures, TakenOver};
use serde_json::json;
use tokio::sync::watch;
use uuid::Uuid;

pub(super) use lock::ImportLock;
use names::{Names, Place};
use report::{Report, Row};
use uploads::{Found, Uploads};

use super::progress::Progress;
use super::{Common, app_rows, output};
use crate::app::{App, FolderLock};
use crate::app_database::AppDatabase;

/// Rows asked for in one step, and recorded in one transaction.
const STEP: usize = 256;
/// The exit status of programs that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  filmgate import --uploads /srv/app/uploads --dry-run
  filmgate import --uploads /srv/app/uploads --report import.json

The app's table is read by host.database_url, its folder is only read. Ctrl-C ends after
the photos that are on their way; run it again to go on. docs/import.md says what becomes
of each row. Exit status 0 where every row's photo is in Filmgate, 1 where some are not and
the report names them, 130 after Ctrl-C.")]
pub(super) struct ImportArgs {
    /// The app's folder of uploads [default: host.uploads_dir]
    #[arg(long, value_name = "DIR")]
    uploads: Option<PathBuf>,
    /// Look at every row and file, and import nothing
    #[arg(long)]
    dry_run: bool,
    /// Write the whole report there, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(super) async fn run(args: ImportArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let app = common.open().await?;
    let folder = args.uploads.clone().unwrap_or_else(|| app.config.host.uploads_dir.clone());
    ensure!(
        !folder.as_os_str().is_empty(),
        "which folder has the app's photos? Say --uploads DIR, or set host.uploads_dir"
    );
    let uploads = Uploads::open(&folder, &app.config.data_dir)?;
    let report_file = args.report.as_deref().map(report::create).transpose()?;
    let database = app_rows::open(&app)?;
    // One at a time; and a server that starts meanwhile does not take what is on its way for litter.
    let lock = ImportLock::take(&app.config.data_dir)?;
    let mut importer = Importer {
        sessions: HashMap::new(),
        report: Report { dry_run: args.dry_run, ..Report::default() },
        stop: stop_signal()?,
        uploads: Arc::new(uploads),
        host: database.host().clone(),
        database,
        app,
    };
    if !args.dry_run {
        importer.recover().await?;
    }
    importer.everything(common.json).await?;
    drop(lock);
    let Importer { report, app, host, .. } = importer;
    if let Some(file) = report_file {
        report::write(file, &report)?;
    }
    if common.json {
        output::one(true, &report)?;
    } else {
        output::say(report.words())?;
    }
    host.close().await;
    app.records.clone().close().await;
    Ok(match (report.interrupted, report.is_whole()) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, is_whole) => ExitCode::from(u8::from(!is_whole)),
    })
}

/// Becomes true at Ctrl-C, or where somebody asks the process to end.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // Nobody may listen any more: then it has ended by itself.
        tell.send(true).ok();
    });
    Ok(told)
}

struct Importer {
    app: App,
    host: Host,
    database: AppDatabase,
    uploads: Arc<Uploads>,
    /// Sessions of the app's by their key there, as far as they were asked for: Filmgate's id, where there is one.
    sessions: HashMap<String, Option<Uuid>>,
    report: Report,
    stop: watch::Receiver<bool>,
}

/// A row that is to be taken over, and its file.
struct Candidate {
    row: Row,
    noted_bytes: Option<i64>,
    photo: OldPhoto,
    found: Found,
}

impl Importer {
    /// Where no server does it: what an import that was killed published and did not record is set aside.
    async fn recover(&mut self) -> anyhow::Result<()> {
        if FolderLock::is_held(&self.app.config.data_dir) {
            return Ok(());
        }
        let _owner = FolderLock::take(&self.app.config.data_dir)?;
        let recovered = self.app.intake.recover().await.map_err(|error| anyhow::anyhow!("recovery failed: {error}"))?;
        self.report.set_aside = recovered.files_quarantined;
        Ok(())
    }

    async fn everything(&mut self, is_quiet: bool) -> anyhow::Result<()> {
        let there_are = self.host.count_captures(None, None).await?;
        let mut names = Names::default();
        let progress = Progress::new(there_are, "names read", is_quiet);
        let mut pages = Pages::default();
        while let Some(rows) = pages.next(&self.host).await? {
            for row in &rows {
                names.add(&self.uploads.relative(&row.filename), row.time());
            }
            progress.tell(pages.rows, there_are, "");
            if *self.stop.borrow() {
                self.report.interrupted = true;
                return Ok(());
            }
        }
        drop(progress);
        ensure!(
            pages.rows >= there_are,
            "the app's table has {there_are} captures, and in the order of their keys only {} are found: their keys are \
             written in more than one way, and some rows would be left behind. Nothing was imported",
            pages.rows
        );

        let total = pages.rows;
        let progress =
            Progress::new(total, if self.report.dry_run { "rows looked at" } else { "rows imported" }, is_quiet);
        let mut pages = Pages::default();
        while let Some(rows) = pages.next(&self.host).await? {
            self.page(rows, &mut names).await?;
            let more = format!("{} new, {} were here", self.report.imported, self.report.already_there);
            progress.tell(pages.rows, total, &more);
            if *self.stop.borrow() {
                self.report.interrupted = true;
                break;
            }
        }
        drop(progress);
        self.report.name_keepers(&names);
        if !self.report.interrupted {
            let uploads = self.uploads.clone();
            let (names, files) = tokio::task::spawn_blocking(move || {
                let files = uploads.walk(|name| names.has(name));
                (names, files)
            })
            .await?;
            drop(names);
            self.report.files_without_row = files?;
        }
        Ok(())
    }

    /// One step of rows: what is here already is not read, the rest is taken over together.
    async fn page(&mut self, rows: Vec<AppCaptureRow>, names: &mut Names) -> anyhow::Result<()> {
        let rows: Vec<(Uuid, AppCaptureRow)> = rows.into_iter().map(|row| (capture_id(&row), row)).collect();
        let ids = rows.iter().map(|(id, _)| *id).collect();
        let filenames = rows.iter().map(|(_, row)| row.filename.clone()).filter(|name| is_storable(name)).collect();
        let known = self.app.records.known_captures(ids, filenames).await?;
        let mut candidates = Vec::new();
        for (id, row) in rows {
            self.report.rows += 1;
            let name = self.uploads.relative(&row.filename);
            // Asked of every row, also of one that is here: it counts them.
            let place = names.place(&name, &row.id);
            if known.deleted.contains(&id) {
                self.report.deleted_here += 1;
            } else if known.there.contains(&id) || is_own(&known, &row) {
                self.report.already_there += 1;
            } else if let Place::Overwritten(of) = place {
                self.report.overwritten(Row::of(&row), of);
            } else if let Some(candidate) = self.candidate(id, row, name).await? {
                candidates.push(candidate);
            }
        }
        if self.report.dry_run { self.look(candidates).await } else { self.take_over(candidates, &known).await }
    }

    /// The row with its session and its open file, or a line of the report.
    async fn candidate(&mut self, id: Uuid, row: AppCaptureRow, name: String) -> anyhow::Result<Option<Candidate>> {
        let Some(session_id) = self.session(&row.session_id).await? else {
            self.report.rows_of_unknown_sessions.push(Row::of(&row));
            return Ok(None);
        };
        let uploads = self.uploads.clone();
        let opened = tokio::task::spawn_blocking(move || uploads.file(&name)).await?;
        let found = match opened? {
            Ok(found) => found,
            Err(uploads::NoFile::Missing) => {
                self.report.rows_without_file.push(Row::of(&row));
                return Ok(None);
            }
            Err(uploads::NoFile::Unusable(why)) => {
                self.report.unusable(Row::of(&row), "file_unusable", why);
                return Ok(None);
            }
        };
        let received_at = row.time().unwrap_or(found.modified);
        let photo = OldPhoto {
            id,
            session_id,
            filename: is_safe(&row.filename).then(|| row.filename.clone()),
            received_at,
            trigger: plain_text(row.capture_trigger.as_deref().unwrap_or("unknown")),
            assessment_type: assessment_type(row.assessment_type.as_deref()),
            assessment_id: row.assessment_id.as_deref().map(plain_text),
            settings_snapshot: row.camera_settings_snapshot.as_deref().map(as_json),
            metadata: json!({ "imported": { "id": row.id, "filename": plain_text(&row.filename), "timestamp": row.timestamp } }),
        };
        Ok(Some(Candidate { noted_bytes: row.file_size_bytes, row: Row::of(&row), photo, found }))
    }

    async fn session(&mut self, key: &str) -> anyhow::Result<Option<Uuid>> {
        if let Some(known) = self.sessions.get(key) {
            return Ok(*known);
        }
        let found = if self.report.dry_run {
            self.host.session(key).await?.map(|session| session.id)
        } else {
            app_rows::see_session(&self.database, key).await?
        };
        self.sessions.insert(key.to_owned(), found);
        Ok(found)
    }

    async fn look(&mut self, candidates: Vec<Candidate>) -> anyhow::Result<()> {
        for candidate in candidates {
            self.report.note_size(&candidate.row, candidate.noted_bytes, candidate.found.bytes);
            match self.app.intake.look_at(candidate.found.file).await? {
                Ok(_) => self.report.imported += 1,
                Err(why) => self.report.unusable(candidate.row, why.code(), &why.to_string()),
            }
        }
        Ok(())
    }

    async fn take_over(&mut self, candidates: Vec<Candidate>, known: &KnownCaptures) -> anyhow::Result<()> {
        let at_once = self.app.config.ingest.disk_workers;
        let intake = &self.app.intake;
        let works = candidates.into_iter().map(async |candidate| {
            let Candidate { row, noted_bytes, photo, found } = candidate;
            (row, noted_bytes, found.bytes, intake.make_ready(photo, found.file).await)
        });
        let mut done = futures_util::stream::iter(works).buffer_unordered(at_once);
        let (mut rows, mut ready, mut failed) = (HashMap::new(), Vec::new(), None);
        while let Some((row, noted, bytes, outcome)) = done.next().await {
            match outcome {
                Ok(Ok(photo)) => {
                    self.report.note_size(&row, noted, bytes);
                    rows.insert(photo.id(), (row, photo.filename_otherwise().to_owned()));
                    ready.push(photo);
                }
                Ok(Err(why)) => self.report.unusable(row, why.code(), &why.to_string()),
                // The others are on their way and are ended first: what is published must have its row.
                Err(refusal) => failed = failed.or(Some(refusal)),
            }
        }
        drop(done);
        if !ready.is_empty() {
            for (id, taken) in self.app.intake.take_over(ready).await? {
                let Some((row, otherwise)) = rows.remove(&id) else { continue };
                match taken {
                    TakenOver::Recorded { renamed } => {
                        self.report.imported += 1;
                        let is_taken = known.filenames.get(&row.filename).is_some_and(|owner| *owner != id);
                        if renamed || is_taken || !is_safe(&row.filename) {
                            self.report.renamed(row, otherwise);
                        }
                    }
                    TakenOver::There => self.report.already_there += 1,
                    TakenOver::Deleted => self.report.deleted_here += 1,
                    TakenOver::NoSession => self.report.rows_of_unknown_sessions.push(row),
                }
            }
        }
        match failed {
            Some(refusal) => bail!("{refusal}; {} rows were imported, run it again to go on", self.report.imported),
            None => Ok(()),
        }
    }
}

/// The app's rows in the order of their keys.
#[derive(Default)]
struct Pages {
    after: Option<String>,
    rows: u64,
}

impl Pages {
    async fn next(&mut self, host: &Host) -> anyhow::Result<Option<Vec<AppCaptureRow>>> {
        let rows = host.captures(self.after.as_deref(), STEP).await.context("the app's captures cannot be read")?;
        let Some(last) = rows.last() else { return Ok(None) };
        ensure!(
            self.after.as_ref() != Some(&last.id),
            "the app's rows come in no order: the key {} comes twice",
            last.id
        );
        self.after = Some(last.id.clone());
        self.rows += rows.len() as u64;
        Ok(Some(rows))
    }
}

/// The id of a row's capture: the row's own where that is a UUID, else a `UUIDv7` of its time, made of its key; always
/// the same, so that a row is recognised.
fn capture_id(row: &AppCaptureRow) -> Uuid {
    if let Ok(own) = Uuid::try_parse(&row.id) {
        return own;
    }
    let time = row.time().unwrap_or(Timestamp::UNIX_EPOCH);
    let milliseconds = u64::try_from(time.as_millisecond()).unwrap_or(0).to_be_bytes();
    let mut bytes = host::uuid_of(host::CAPTURES, &row.id).into_bytes();
    bytes[..6].copy_from_slice(&milliseconds[2..]);
    uuid::Builder::from_custom_bytes(bytes).with_version(uuid::Version::SortRand).into_uuid()
}

/// Whether Filmgate itself wrote this row into the app's table: its files are named by their ids.
fn is_own(known: &KnownCaptures, row: &AppCaptureRow) -> bool {
    let owner = known.filenames.get(&row.filename);
    owner.is_some_and(|id| row.filename.split_once('.').is_some_and(|(stem, _)| stem == id.to_string()))
}

/// A filename that is one part of a URL's path, a header and every system's files, whatever stands in it.
fn is_safe(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    (1..=255).contains(&name.len()) && !name.starts_with('.') && name.chars().all(is_plain)
}

/// Whether a catalog can be asked for it at all.
fn is_storable(name: &str) -> bool {
    !name.is_empty() && !name.contains('\0')
}

fn plain_text(text: &str) -> String {
    text.replace('\0', "")
}

/// JSON as it is; anything else as a text in JSON.
fn as_json(text: &str) -> String {
    let text = plain_text(text);
    if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() { text } else { json!(text).to_string() }
}

/// As enums are written by their names, their values, or with their class in front.
fn assessment_type(word: Option<&str>) -> AssessmentType {
    let word = word.unwrap_or_default();
    match word.rsplit('.').next().unwrap_or(word).trim().to_ascii_uppercase().as_str() {
        "PHQ" => AssessmentType::Phq,
        "LLM" => AssessmentType::Llm,
        _ => AssessmentType::General,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, timestamp: &str) -> AppCaptureRow {
        AppCaptureRow { id: id.to_owned(), timestamp: Some(timestamp.to_owned()), ..AppCaptureRow::default() }
    }

    #[test]
    fn a_row_has_one_id_for_ever() {
        let uuid = "5b1f0c9e-1d0e-4f0a-8a55-6f1c1d2e3f40";
        assert_eq!(capture_id(&row(uuid, "2026-11-24 08:00:00")).to_string(), uuid);
        let numbered = capture_id(&row("42", "2026-11-24 08:00:00.25"));
        assert_eq!(numbered.get_version_num(), 7);
        let (seconds, nanos) = numbered.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_795_507_200, 250_000_000), "sorted among those of its time");
        assert_eq!(numbered, capture_id(&row("42", "2026-11-24 08:00:00.25")));
        assert_ne!(numbered, capture_id(&row("43", "2026-11-24 08:00:00.25")));
        // Kept in catalogs: it may never change.
        assert_eq!(numbered.to_string(), "01a20c91-a0fa-74f7-90e2-560baabd3274");
    }

    #[test]
    fn filenames_that_are_kept_are_harmless() {
        for name in ["5b1f_20261124_080000.jpg", "a.png", "A-1.JPEG"] {
            assert!(is_safe(name), "{name}");
        }
        for name in ["", ".hidden", "a/b.jpg", "..", "a b.jpg", "a\"b.jpg", "a\0.jpg", "ä.jpg", &"x".repeat(256)] {
            assert!(!is_safe(name), "{name}");
        }
    }

    #[test]
    fn whatever_an_app_wrote_is_kept_as_json() {
        assert_eq!(as_json("{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(as_json("None"), "\"None\"");
        for (word, wanted) in [
            ("PHQ", AssessmentType::Phq),
            ("CaptureType.LLM", AssessmentType::Llm),
            ("llm", AssessmentType::Llm),
            ("", AssessmentType::General),
        ] {
            assert_eq!(assessment_type(Some(word)), wanted, "{word}");
        }
    }
}
