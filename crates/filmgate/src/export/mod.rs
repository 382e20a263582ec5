//! Exports: photos with their tables, a manifest and a codebook, as one ZIP archive.
//!
//! **Promises** that the same rows and photos give the same bytes, under the same names (a key of one's own, or none);
//! that every photo is compared with its SHA-256 on its way out, and one that does not fit is left out and named; that
//! memory does not grow with what is exported; that with pseudonyms no id, name or free text of the catalog is in the
//! archive, and no metadata in its photos.
//! **Leaves** to others: who may ask, and where the archive goes.
//!
//! Rows are read as they are while the export goes on: what is deleted meanwhile is not in it, and what comes meanwhile
//! may be.

mod archive;
mod columns;
mod names;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use intake::FileRefusal;
use records::{Capture, Session};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use self::archive::{Archive, Spool};
use self::columns::{CAPTURES, GAPS, GapRow, PhotoRow, SESSIONS, SessionRow, Table, listed, object, readme};
pub use self::names::{KEY_BYTES_MIN, Key, Names};
use crate::app::App;
use crate::gaps::Ledger;

/// Rows read in one step.
const STEP: usize = 200;
/// Photos read ahead: a bucket answers slowly, and each waits in memory.
const READ_AHEAD: usize = 3;
/// Bytes read from the disk at once.
const PIECE_BYTES: usize = 256 * 1024;
/// How often a store that is away is asked again, each time after twice as long.
const TRIES: u32 = 6;
/// Captures with a problem that the report names; the manifest names all.
const NAMED_MAX: usize = 100;

/// What is exported.
#[derive(Clone, Debug)]
pub enum Scope {
    /// These sessions.
    Sessions(Vec<Uuid>),
    /// Every session of this user.
    User(i64),
    /// Everything.
    All,
}

/// What an export did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Sessions in it.
    pub sessions: u64,
    /// Captures in it, each a line of `captures.csv`.
    pub captures: u64,
    /// Photos in it.
    pub photos: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Photos that are left out, or could not be decoded.
    pub problems: u64,
    /// The first of these, as the archive calls them, each with what is wrong.
    pub named: Vec<(String, &'static str)>,
    /// Photos that are left out.
    pub left_out: u64,
}

/// Why an export ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Whoever read it left.
    #[error("whoever read the export left")]
    ReaderLeft,
    /// The catalog failed.
    #[error("the catalog: {0}")]
    Catalog(#[from] records::Error),
    /// The photos' store is away.
    #[error("the photo store: {0}")]
    Store(blobs::Error),
    /// A file for what waits could not be written.
    #[error("a file in the data folder: {0}")]
    Spool(#[from] io::Error),
}

/// A photo's bytes, or why there are none.
enum Photo {
    Whole(Bytes),
    LeftOut(&'static str),
    /// Its capture was deleted meanwhile.
    Gone,
}

/// Writes an archive of this to a reader; `tell` hears of each capture.
///
/// # Errors
/// What the reader has by then is no whole archive, and says so to every program that opens it.
pub async fn export(
    app: &App,
    scope: &Scope,
    names: &Names,
    reader: mpsc::Sender<Bytes>,
    mut tell: impl FnMut(&Report),
) -> Result<Report, ExportError> {
    let mut export = Export::begin(app, names, reader).await?;
    match scope {
        Scope::Sessions(ids) => {
            let mut ids = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            for id in ids {
                if let Some(session) = app.records.session(id).await? {
                    export.session(session, &mut tell).await?;
                }
            }
        }
        Scope::User(_) | Scope::All => {
            let user_id = if let Scope::User(id) = scope { Some(*id) } else { None };
            let mut after = Uuid::nil();
            loop {
                let sessions = app.records.sessions_by_id(user_id, after, STEP).await?;
                let Some(last) = sessions.last() else { break };
                after = last.id;
                for session in sessions {
                    export.session(session, &mut tell).await?;
                }
            }
        }
    }
    export.end(scope).await
}

/// An export under way.
struct Export<'a> {
    app: &'a App,
    names: &'a Names,
    archive: Archive,
    captures: (Table<PhotoRow>, Spool),
    sessions: (Table<SessionRow>, Spool),
    gaps: (Table<GapRow>, Spool),
    files: Spool,
    problems: Spool,
    report: Report,
}

impl<'a> Export<'a> {
    async fn begin(app: &'a App, names: &'a Names, reader: mpsc::Sender<Bytes>) -> Result<Self, ExportError> {
        let folder = app.config.data_dir.as_path();
        let mut export = Self {
            app,
            names,
            archive: Archive::new(reader, folder)?,
            captures: (Table::new(CAPTURES, names), Spool::new(folder)?),
            sessions: (Table::new(SESSIONS, names), Spool::new(folder)?),
            gaps: (Table::new(GAPS, names), Spool::new(folder)?),
            files: Spool::new(folder)?,
            problems: Spool::new(folder)?,
            report: Report::default(),
        };
        export.captures.1.write(export.captures.0.head().as_bytes()).await?;
        export.sessions.1.write(export.sessions.0.head().as_bytes()).await?;
        export.gaps.1.write(export.gaps.0.head().as_bytes()).await?;
        let tables = [
            ("captures.csv", export.captures.0.codebook()),
            ("sessions.csv", export.sessions.0.codebook()),
            ("gaps.csv", export.gaps.0.codebook()),
        ];
        let tables = tables.each_ref().map(|(name, columns)| (*name, columns.as_slice()));
        export.file("README.txt", readme(&tables, names.are_pseudonyms()).into()).await?;
        Ok(export)
    }

    /// A file of these bytes, with its line in the manifest.
    async fn file(&mut self, name: &str, content: Bytes) -> Result<(), ExportError> {
        let sha256: [u8; 32] = Sha256::digest(&content).into();
        list(&mut self.files, name, content.len() as u64, &sha256).await?;
        self.archive.bytes(name, content).await
    }

    async fn session(&mut self, session: Session, tell: &mut impl FnMut(&Report)) -> Result<(), ExportError> {
        let (captures_before, photos_before) = (self.report.captures, self.report.photos);
        let mut ledger = Ledger::default();
        let mut after = None;
        loop {
            let captures = self.app.records.captures_of_session_after(session.id, after, STEP).await?;
            let Some(last) = captures.last() else { break };
            after = Some((last.received_at, last.id));
            for capture in &captures {
                ledger.add(capture);
            }
            let (app, names) = (self.app, self.names);
            let reading = captures.into_iter().map(|capture| async move {
                let photo = read(app, &capture, names.are_pseudonyms()).await?;
                Ok::<_, ExportError>((capture, photo))
            });
            let mut photos = futures_util::stream::iter(reading).buffered(READ_AHEAD);
            while let Some(read) = photos.next().await {
                let (capture, photo) = read?;
                self.capture(session.clone(), capture, photo).await?;
                tell(&self.report);
            }
        }
        let deleted = self.app.records.deleted_of_session(session.id).await?;
        for gap in ledger.balance(&deleted).gaps {
            let line = self.gaps.0.line(&GapRow { session: session.id, gap }, self.names);
            self.gaps.1.write(line.as_bytes()).await?;
        }
        let gate = self.app.records.session_gate(session.id).await?;
        let row = SessionRow {
            session,
            settings: gate.and_then(|gate| gate.settings),
            captures: self.report.captures - captures_before,
            photos: self.report.photos - photos_before,
        };
        let line = self.sessions.0.line(&row, self.names);
        self.sessions.1.write(line.as_bytes()).await?;
        self.report.sessions += 1;
        Ok(())
    }

    async fn capture(&mut self, session: Session, capture: Capture, photo: Photo) -> Result<(), ExportError> {
        let (photo, mut problem) = match photo {
            Photo::Gone => return Ok(()),
            Photo::Whole(bytes) => (Some(bytes), ""),
            Photo::LeftOut(problem) => (None, problem),
        };
        if problem.is_empty() && capture.processing.quarantined_at.is_some() {
            problem = "undecodable";
        }
        let name = self.names.capture(capture.id);
        let mut row = PhotoRow {
            metadata: object(Some(&capture.metadata)),
            settings: object(capture.settings_snapshot.as_deref()),
            capture,
            session,
            file: None,
            problem,
        };
        self.report.captures += 1;
        if let Some(photo) = photo {
            let kind = imaging::ImageType::from_content_type(&row.capture.content_type);
            let extension = kind.map_or("bin", imaging::ImageType::extension);
            let path = format!("photos/{}/{name}.{extension}", self.names.session(row.session.id));
            row.file = Some((path.clone(), photo.len(), Sha256::digest(&photo).into()));
            self.report.photos += 1;
            self.report.bytes += photo.len() as u64;
            self.file(&path, photo).await?;
        } else {
            self.report.left_out += 1;
        }
        if !problem.is_empty() {
            let line = format!(",\n  {}", json!({ "capture": name, "problem": problem }));
            let is_first = self.problems.is_empty();
            self.problems.write(&line.as_bytes()[usize::from(is_first)..]).await?;
            self.report.problems += 1;
            if self.report.named.len() < NAMED_MAX {
                self.report.named.push((name, problem));
            }
        }
        let line = self.captures.0.line(&row, self.names);
        Ok(self.captures.1.write(line.as_bytes()).await?)
    }

    async fn end(self, scope: &Scope) -> Result<Report, ExportError> {
        let names = self.names;
        let codebook = json!({
            "captures.csv": self.captures.0.codebook(),
            "sessions.csv": self.sessions.0.codebook(),
            "gaps.csv": self.gaps.0.codebook(),
        });
        let Self { app, mut archive, captures, sessions, gaps, mut files, problems, report, .. } = self;
        for (name, table) in [("captures.csv", captures.1), ("sessions.csv", sessions.1), ("gaps.csv", gaps.1)] {
            let table = table.end().await?;
            list(&mut files, name, table.size_bytes, &table.sha256).await?;
            archive.spooled(name, table).await?;
        }
        let head = json!({
            "format": "filmgate-export/1",
            "made_by": concat!("filmgate ", env!("CARGO_PKG_VERSION")),
            "scope": match scope {
                Scope::Sessions(ids) => {
                    let mut ids: Vec<String> = ids.iter().map(|id| names.session(*id)).collect();
                    ids.sort_unstable();
                    ids.dedup();
                    json!({ "sessions": ids })
                }
                Scope::User(id) => json!({ "participant": names.participant(*id) }),
                Scope::All => json!("everything"),
            },
            "names": match names.fingerprint() {
                None => json!({ "kind": "as stored" }),
                Some(fingerprint) => json!({ "kind": "pseudonyms", "key_fingerprint": fingerprint }),
            },
            "totals": {
                "sessions": report.sessions, "captures": report.captures, "photos": report.photos,
                "photo_bytes": report.bytes, "left_out": report.left_out, "problems": report.problems,
            },
            "codebook": codebook,
        });
        let head = serde_json::to_string_pretty(&head).map_err(io::Error::other)?;
        let mut manifest = Spool::new(app.config.data_dir.as_path())?;
        // Files and problems may be many, and follow line by line.
        manifest.write(head.trim_end_matches("\n}").as_bytes()).await?;
        for (name, lines) in [("problems", problems), ("files", files)] {
            manifest.write(format!(",\n \"{name}\": [").as_bytes()).await?;
            lines.end().await?.copy_to(&mut manifest).await?;
            manifest.write(b"\n ]").await?;
        }
        manifest.write(b"\n}\n").await?;
        archive.spooled("manifest.json", manifest.end().await?).await?;
        archive.end().await?;
        Ok(report)
    }
}

/// A file's line in the manifest, after those before it.
async fn list(files: &mut Spool, name: &str, size_bytes: u64, sha256: &[u8; 32]) -> io::Result<()> {
    let line = format!(",\n  {}", listed(name, size_bytes, sha256));
    // The first has no line before it.
    let is_first = files.is_empty();
    files.write(&line.as_bytes()[usize::from(is_first)..]).await
}

/// A photo, compared with its checksum; with `is_bare`, without its metadata.
async fn read(app: &App, capture: &Capture, is_bare: bool) -> Result<Photo, ExportError> {
    let photo = match read_stored(app, capture.clone()).await? {
        Photo::Whole(photo) if is_bare => photo,
        read => return Ok(read),
    };
    Ok(match app.decoder.strip(photo.to_vec()).await {
        Ok(bare) => Photo::Whole(bare.into()),
        Err(error) => {
            tracing::warn!(capture_id = %capture.id, %error, "a photo's metadata could not be taken out; it is left out");
            Photo::LeftOut("not_stripped")
        }
    })
}

async fn read_stored(app: &App, mut capture: Capture) -> Result<Photo, ExportError> {
    let mut wait = Duration::from_millis(500);
    for tries_left in (0..TRIES).rev() {
        let error = match open_and_read(app, &capture).await {
            Ok(photo) => return Ok(Photo::Whole(photo)),
            Err(FileRefusal::Damaged) => return Ok(Photo::LeftOut("damaged")),
            Err(FileRefusal::Store(error)) => error,
        };
        match error {
            blobs::Error::NotFound | blobs::Error::NotShipped => {
                // Deleted, or another without metadata took its place.
                let Some(now) = app.records.capture(capture.id).await? else { return Ok(Photo::Gone) };
                if now.blob == capture.blob {
                    let is_missing = matches!(error, blobs::Error::NotFound);
                    return Ok(Photo::LeftOut(if is_missing { "missing" } else { "not_shipped" }));
                }
                capture = now;
            }
            blobs::Error::Overloaded | blobs::Error::Unavailable(_) if tries_left > 0 => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            error => return Err(ExportError::Store(error)),
        }
    }
    Ok(Photo::LeftOut("missing"))
}

async fn open_and_read(app: &App, capture: &Capture) -> Result<Bytes, FileRefusal> {
    let (mut file, size_bytes) = app.intake.open_photo(capture).await?;
    let mut photo = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0));
    loop {
        let (again, piece) = app.blobs.read_piece(file, PIECE_BYTES).await.map_err(FileRefusal::Store)?;
        if piece.is_empty() {
            break;
        }
        photo.extend_from_slice(&piece);
        file = again;
    }
    // What was checked is what goes out, also where the disk changed its mind in between.
    let is_same = <[u8; 32]>::from(Sha256::digest(&photo)) == capture.blob.sha256;
    if is_same { Ok(photo.into()) } else { Err(FileRefusal::Damaged) }
}
