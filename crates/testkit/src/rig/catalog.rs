//! The server's catalog seen from outside, read-only: what its rows say of tasks and derivatives.
//!
//! The schema is read as it is documented (`records/src/migrations`), by a connection of the rig's own: what the
//! server would say of itself is asked elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags};

/// Longer than any write of the server's.
const BUSY_LIMIT: Duration = Duration::from_secs(20);

fn path(data: &Path) -> std::path::PathBuf {
    data.join("catalog.sqlite")
}

/// An open catalog.
#[derive(Debug)]
pub struct Catalog(Connection);

/// A capture by its row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    pub filename: String,
    pub blob_key: String,
    pub sha256: String,
}

/// A derivative by its row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Derivative {
    pub blob_key: String,
    pub capture_id: String,
    pub offset_bytes: u64,
    pub size_bytes: u64,
    pub sha256: String,
}

/// A task that is being run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub task_id: String,
    pub capture_id: String,
    pub fence: i64,
    pub worker: String,
}

impl Catalog {
    pub fn open(data: &Path) -> Result<Self> {
        let db = Connection::open_with_flags(path(data), OpenFlags::SQLITE_OPEN_READ_ONLY)
            .with_context(|| format!("opening the catalog in {}", data.display()))?;
        db.busy_timeout(BUSY_LIMIT)?;
        Ok(Self(db))
    }

    /// The one number that this query gives; 0 for NULL.
    pub fn number(&self, sql: &str) -> Result<i64> {
        let number: Option<i64> = self.0.query_row(sql, [], |row| row.get(0)).with_context(|| sql.to_owned())?;
        Ok(number.unwrap_or(0))
    }

    /// How many tasks that process captures are in which state.
    pub fn states(&self) -> Result<BTreeMap<String, i64>> {
        let mut statement =
            self.0.prepare_cached("SELECT state, count(*) FROM tasks WHERE kind = 'process' GROUP BY 1")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Tasks that process captures and have succeeded.
    pub fn succeeded(&self) -> Result<u64> {
        let count = self.number("SELECT count(*) FROM tasks WHERE kind = 'process' AND state = 'SUCCESS'")?;
        Ok(u64::try_from(count)?)
    }

    /// Every capture.
    pub fn captures(&self) -> Result<Vec<Stored>> {
        let mut statement = self.0.prepare_cached("SELECT filename, blob_key, lower(hex(sha256)) FROM captures")?;
        let stored =
            |row: &rusqlite::Row<'_>| Ok(Stored { filename: row.get(0)?, blob_key: row.get(1)?, sha256: row.get(2)? });
        let rows = statement.query_map([], stored)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Every derivative, by its blob and its place there.
    pub fn derivatives(&self) -> Result<Vec<Derivative>> {
        let mut statement = self.0.prepare_cached(
            "SELECT blob_key, lower(hex(capture_id)), offset_bytes, size_bytes, lower(hex(sha256)) FROM derivatives
             ORDER BY 1, 3",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Derivative {
                blob_key: row.get(0)?,
                capture_id: row.get(1)?,
                offset_bytes: row.get(2)?,
                size_bytes: row.get(3)?,
                sha256: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The captures being processed by workers whose name begins so.
    pub fn held_by(&self, prefix: &str) -> Result<Vec<Held>> {
        let mut statement = self.0.prepare_cached(
            "SELECT lower(hex(id)), lower(hex(capture_id)), fence, worker FROM tasks
             WHERE kind = 'process' AND state = 'STARTED' AND worker LIKE ? || '%'",
        )?;
        let rows = statement.query_map([prefix], |row| {
            Ok(Held { task_id: row.get(0)?, capture_id: row.get(1)?, fence: row.get(2)?, worker: row.get(3)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Each task that processes a capture, and the capture's filename, by the task's id.
    pub fn filenames_by_task(&self) -> Result<BTreeMap<String, String>> {
        let mut statement = self.0.prepare_cached(
            "SELECT lower(hex(tasks.id)), filename FROM tasks JOIN captures ON captures.id = capture_id
             WHERE kind = 'process'",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What processing has left of each capture: everything that one who lost its task could still change.
    pub fn effects(&self) -> Result<Vec<String>> {
        let mut statement = self.0.prepare_cached(
            "SELECT concat_ws(' ', hex(captures.id), processed_count, processed_at, sharpness, brightness,
                              perceptual_hash, hex(placeholder), failure, quarantined_at, state, fence, attempts)
             FROM captures JOIN tasks ON capture_id = captures.id WHERE kind = 'process' ORDER BY captures.id",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Changes the catalog behind the server's back, for controls; how many rows.
pub fn tamper(data: &Path, sql: &str) -> Result<usize> {
    let db = Connection::open_with_flags(path(data), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.busy_timeout(BUSY_LIMIT)?;
    Ok(db.execute(sql, [])?)
}

/// Holds the server's catalog as a program that was stopped in the middle of a write, until what this gives is dropped.
pub fn hold(data: &Path) -> Result<Connection> {
    let db = Connection::open(path(data))?;
    db.execute_batch("BEGIN IMMEDIATE")?;
    Ok(db)
}

/// Whether somebody holds the catalog's only place for writing, as one does who was stopped in the middle of a write.
pub fn is_locked(data: &Path) -> Result<bool> {
    let db = Connection::open_with_flags(path(data), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.busy_timeout(Duration::from_secs(2))?;
    match db.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        Ok(()) => Ok(false),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
