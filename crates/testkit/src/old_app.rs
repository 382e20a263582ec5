//! An app from before Filmgate: its tables, and its folder of uploads, as its own code has filled them.
//!
//! Its files are named by session and second, so that two frames of one second are one file: the later's. Its database
//! is SQLite in a file; PostgreSQL where the suite has one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::rig::postgres;
use crate::{matrix, photo};

/// Every so many captures, two have one second.
const SHARED_EVERY: u64 = 40;
const SESSIONS: u64 = 20;
/// Rows of one INSERT: a command's argument is no longer than 128 KB.
const STEP: usize = 200;

/// What the app's primary keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// 1, 2, 3.
    Integer,
    /// 36 characters; on PostgreSQL its own type.
    Uuid,
}

pub struct OldApp {
    folder: TempDir,
    keys: Keys,
    database: Database,
    /// Pairs of a row's key and that of the row whose photo overwrote its own.
    pub overwritten: BTreeMap<String, String>,
    /// Rows whose photo is there.
    pub whole: u64,
    rows: u64,
}

enum Database {
    Sqlite(PathBuf),
    Postgres { url: String, name: String },
}

/// A row of the app's as it is written, in SQL's words.
pub struct OldRow<'a> {
    pub number: u64,
    pub session: u64,
    pub filename: &'a str,
    pub bytes: u64,
    /// Seconds after the first.
    pub second: u64,
    pub trigger: &'a str,
}

impl OldApp {
    /// An app with this many captures, `rows` of them, every fortieth of which has lost its photo to the next.
    pub fn with(rows: u64, keys: Keys) -> Result<Self> {
        let mut app = Self::empty(keys)?;
        let mut values = Vec::new();
        let (mut lost, mut second) = (None, 0);
        for number in 1..=rows {
            let session = number / (rows / SESSIONS + 1) + 1;
            // The second of a pair is of the first's second, session and so name.
            let is_again = lost.is_some();
            second += u64::from(!is_again);
            let filename = app.old_name(session, second);
            let bytes = photo::commented(&photo::jpeg_bytes(photo::jpeg_bytes_min(), 1), number);
            fs::write(app.uploads().join(&filename), &bytes)?;
            values.push(app.row(&OldRow {
                number,
                session,
                filename: &filename,
                bytes: bytes.len() as u64,
                second,
                trigger: if is_again { "BUTTON_CLICK" } else { "INTERVAL" },
            }));
            if let Some(before) = lost.take() {
                app.overwritten.insert(app.key_name(before), app.key_name(number));
            }
            let next = (number + 1) / (rows / SESSIONS + 1) + 1;
            lost = (number % SHARED_EVERY == 0 && number < rows && next == session).then_some(number);
        }
        app.insert(&values)?;
        app.rows = rows;
        app.whole = rows - app.overwritten.len() as u64;
        Ok(app)
    }

    /// An app without a capture.
    pub fn empty(keys: Keys) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("uploads"))?;
        let database = match std::env::var(matrix::POSTGRES_URL) {
            Ok(url) => {
                let name = format!("old_{}", &crate::api::sha256(folder.path().as_os_str().as_encoded_bytes())[..20]);
                postgres::execute(&url, &format!("CREATE DATABASE {name}"))?;
                let (server, _) = url.rsplit_once('/').context("the URL names no database")?;
                Database::Postgres { url: format!("{server}/{name}"), name }
            }
            Err(_) => Database::Sqlite(folder.path().join("app.db")),
        };
        let app = Self { folder, keys, database, overwritten: BTreeMap::new(), whole: 0, rows: 0 };
        app.make_tables()?;
        Ok(app)
    }

    fn is_postgres(&self) -> bool {
        matches!(self.database, Database::Postgres { .. })
    }

    fn make_tables(&self) -> Result<()> {
        let (key, of, json) = match (self.keys, self.is_postgres()) {
            (Keys::Integer, true) => ("serial PRIMARY KEY", "integer", "json"),
            (Keys::Integer, false) => ("INTEGER NOT NULL PRIMARY KEY", "INTEGER", "JSON"),
            (Keys::Uuid, true) => ("uuid PRIMARY KEY", "uuid", "json"),
            (Keys::Uuid, false) => ("CHAR(36) NOT NULL PRIMARY KEY", "CHAR(36)", "JSON"),
        };
        self.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, username VARCHAR(80) NOT NULL)")?;
        self.execute(&format!(
            "CREATE TABLE camera_settings (id {key}, setting_name VARCHAR(100) NOT NULL, recording_mode VARCHAR(12) NOT \
             NULL, interval_seconds INTEGER, resolution VARCHAR(20) NOT NULL, capture_on_button_click BOOLEAN NOT NULL, \
             capture_on_message_send BOOLEAN NOT NULL, capture_on_question_start BOOLEAN NOT NULL, is_active BOOLEAN NOT \
             NULL, is_default BOOLEAN NOT NULL)"
        ))?;
        self.execute(&format!(
            "CREATE TABLE assessment_sessions (id {key}, user_id INTEGER NOT NULL REFERENCES users (id), \
             camera_settings_id {of} REFERENCES camera_settings (id))"
        ))?;
        self.execute(&format!(
            "CREATE TABLE camera_captures (id {key}, session_id {of} NOT NULL, filename VARCHAR(255) NOT NULL, \
             file_size_bytes INTEGER, capture_trigger VARCHAR(50) NOT NULL, timestamp TIMESTAMP NOT NULL, \
             assessment_id {of}, assessment_type VARCHAR(20), camera_settings_snapshot {json})"
        ))?;
        self.execute("INSERT INTO users (id, username) VALUES (1, 'ada'), (2, 'bob')")?;
        self.execute(&format!(
            "INSERT INTO camera_settings VALUES ({}, 'every second', 'INTERVAL', 1, '640x480', true, true, true, true, \
             true)",
            self.key(1)
        ))?;
        let sessions: Vec<String> = (1..=SESSIONS)
            .map(|session| format!("({}, {}, {})", self.key(session), session % 2 + 1, self.key(1)))
            .collect();
        self.execute(&format!("INSERT INTO assessment_sessions VALUES {}", sessions.join(", ")))
    }

    /// The folder that the app keeps its photos in.
    pub fn uploads(&self) -> PathBuf {
        self.folder.path().join("uploads")
    }

    /// Its database, as the app's own configuration names it.
    pub fn url(&self) -> String {
        match &self.database {
            Database::Sqlite(path) => format!("sqlite:///{}", path.display()),
            Database::Postgres { url, .. } => url.clone(),
        }
    }

    /// The file that its database is; none on PostgreSQL.
    pub fn database_file(&self) -> Option<&Path> {
        match &self.database {
            Database::Sqlite(path) => Some(path),
            Database::Postgres { .. } => None,
        }
    }

    /// How the app named the file of a capture.
    pub fn old_name(&self, session: u64, second: u64) -> String {
        // All in one day, which starts at eight.
        let (hour, rest) = (8 + second / 3600, second % 3600);
        format!("{}_20260301_{hour:02}{:02}{:02}.jpg", self.key_name(session), rest / 60, rest % 60)
    }

    /// The key of this number as texts have it.
    pub fn key_name(&self, number: u64) -> String {
        match self.keys {
            Keys::Integer => number.to_string(),
            // In the order of their numbers, as rows are found.
            Keys::Uuid => format!("5b1f0c9e-1d0e-4f0a-8a55-{number:012x}"),
        }
    }

    /// The same in SQL.
    pub fn key(&self, number: u64) -> String {
        match self.keys {
            Keys::Integer => number.to_string(),
            Keys::Uuid => format!("'{}'", self.key_name(number)),
        }
    }

    /// A row's values, in SQL.
    pub fn row(&self, row: &OldRow<'_>) -> String {
        let (hour, rest) = (8 + row.second / 3600, row.second % 3600);
        let time = format!("2026-03-01 {hour:02}:{:02}:{:02}.{:06}", rest / 60, rest % 60, row.number % 1_000_000);
        let (assessment, kind) = match row.number % 3 {
            0 => (self.key(row.number / 3 + 1), "PHQ"),
            1 => (self.key(row.number / 3 + 1), "LLM"),
            _ => ("NULL".to_owned(), "GENERAL"),
        };
        let OldRow { number, session, filename, bytes, trigger, .. } = row;
        format!(
            "({}, {}, '{}', {bytes}, '{trigger}', '{time}', {assessment}, '{kind}', '{{\"setting_name\": \"every \
             second\", \"interval_seconds\": 1}}')",
            self.key(*number),
            self.key(*session),
            filename.replace('\'', "''"),
        )
    }

    /// Rows, as [`row`](Self::row) gives them.
    pub fn insert(&self, rows: &[String]) -> Result<()> {
        for rows in rows.chunks(STEP) {
            self.execute(&format!("INSERT INTO camera_captures VALUES {}", rows.join(", ")))?;
        }
        Ok(())
    }

    /// A row with its file: number, session, seconds after the first.
    pub fn add(&self, number: u64, session: u64, second: u64, filename: &str, photo: &[u8]) -> Result<()> {
        fs::write(self.uploads().join(filename), photo)?;
        let bytes = photo.len() as u64;
        self.insert(&[self.row(&OldRow { number, session, filename, bytes, second, trigger: "INTERVAL" })])
    }

    pub fn execute(&self, sql: &str) -> Result<()> {
        match &self.database {
            Database::Sqlite(path) => {
                let link = Connection::open(path)?;
                link.pragma_update(None, "synchronous", "OFF")?;
                link.execute_batch(sql).with_context(|| sql.to_owned())
            }
            Database::Postgres { url, .. } => postgres::execute(url, sql).map(|_| ()),
        }
    }

    /// Every file of the uploads: its name, its bytes' SHA-256, and when it was changed.
    pub fn files(&self) -> Result<BTreeMap<String, (String, std::time::SystemTime)>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(self.uploads())? {
            let entry = entry?;
            let (name, modified) = (entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.modified()?);
            if entry.file_type()?.is_file() {
                files.insert(name, (crate::api::sha256(&fs::read(entry.path())?), modified));
            }
        }
        Ok(files)
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Drop for OldApp {
    fn drop(&mut self) {
        if let (Database::Postgres { name, .. }, Ok(url)) = (&self.database, std::env::var(matrix::POSTGRES_URL)) {
            // Left over, it goes with the cluster.
            if let Err(error) = postgres::execute(&url, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")) {
                eprintln!("left behind: database {name}: {error:#}");
            }
        }
    }
}
