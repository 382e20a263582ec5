//! Captures of another program, taken over: recorded with their own times, settings and ids.
//!
//! Promises that a capture that is here already, or was and is deleted, is not recorded again, however often and by how
//! many it is tried; and that the blobs of those recorded are the ones that were published for them.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::captures::insert_capture;
use crate::db::{Db, ToValue, values};
use crate::sessions::hold_gate;
use crate::{NewCapture, Records, Result};

/// A capture to take over.
#[derive(Clone, Debug)]
pub struct OldCapture {
    /// Its session, which must be registered.
    pub session_id: Uuid,
    /// Itself, its bytes already durable.
    pub capture: NewCapture,
    /// Its filename where another capture has that of `capture`.
    pub filename_otherwise: String,
    /// The settings it was taken under: JSON.
    pub settings_snapshot: Option<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenOver {
    /// It is recorded, and whether its filename is `filename_otherwise`.
    Recorded {
        /// Another capture has the one that was wanted.
        renamed: bool,
    },
    /// It was here before.
    There,
    /// It was here, and was deleted.
    Deleted,
    /// Its session is not registered.
    NoSession,
}

/// What of some ids and filenames is known.
#[derive(Clone, Debug, Default)]
pub struct KnownCaptures {
    /// Ids of captures that are here.
    pub there: HashSet<Uuid>,
    /// Ids of captures that were deleted.
    pub deleted: HashSet<Uuid>,
    /// Filenames in use, and whose.
    pub filenames: HashMap<String, Uuid>,
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

fn take_over(db: &Db<'_>, old: &OldCapture) -> Result<TakenOver> {
    let new = &old.capture;
    let key: Option<String> =
        db.optional("SELECT blob_key FROM captures WHERE id = ?", &values![new.id], |row| row.get(0))?;
    if let Some(key) = key {
        // By an earlier run of this very request whose commit was in doubt: then its bytes are ours, and must stay.
        let is_own = key == new.blob.key;
        return Ok(if is_own { TakenOver::Recorded { renamed: false } } else { TakenOver::There });
    }
    if db.scalar("SELECT EXISTS (SELECT 1 FROM tombstones WHERE capture_id = ?)", &values![new.id])? {
        return Ok(TakenOver::Deleted);
    }
    let Some(gate) = hold_gate(db, old.session_id)? else { return Ok(TakenOver::NoSession) };
    let renamed: bool =
        db.scalar("SELECT EXISTS (SELECT 1 FROM captures WHERE filename = ?)", &values![new.filename])?;
    let snapshot = old.settings_snapshot.as_deref();
    if renamed {
        let other = NewCapture { filename: old.filename_otherwise.clone(), ..new.clone() };
        insert_capture(db, &gate.session, snapshot, &other)?;
    } else {
        insert_capture(db, &gate.session, snapshot, new)?;
    }
    Ok(TakenOver::Recorded { renamed })
}

impl Records {
    /// Records captures of another program with the tasks that process them, all in one transaction; what became of
    /// each. No settings gate them, as they were gated when they were taken, an ended session takes them, and nobody is
    /// told: they are no news.
    pub async fn take_over(&self, old: Vec<OldCapture>) -> Result<Vec<TakenOver>> {
        let outcome = self
            .engine
            .write_again(move |db| old.iter().map(|old| take_over(db, old)).collect::<Result<Vec<_>>>())
            .await;
        self.tell_task_changes();
        outcome
    }

    /// Which of these ids and filenames are known.
    pub async fn known_captures(&self, ids: Vec<Uuid>, filenames: Vec<String>) -> Result<KnownCaptures> {
        self.engine
            .read(move |db| {
                let mut known = KnownCaptures::default();
                if !ids.is_empty() {
                    let values: Vec<_> = ids.iter().map(ToValue::to_value).collect();
                    let these = |column: &str, table: &str| {
                        format!("SELECT {column} FROM {table} WHERE {column} IN ({})", marks(ids.len()))
                    };
                    known.there.extend(db.all(&these("id", "captures"), &values, |row| row.get::<Uuid>(0))?);
                    known
                        .deleted
                        .extend(db.all(&these("capture_id", "tombstones"), &values, |row| row.get::<Uuid>(0))?);
                }
                if !filenames.is_empty() {
                    let values: Vec<_> = filenames.iter().map(ToValue::to_value).collect();
                    let sql =
                        format!("SELECT filename, id FROM captures WHERE filename IN ({})", marks(filenames.len()));
                    known.filenames.extend(db.all(&sql, &values, |row| Ok((row.get(0)?, row.get(1)?)))?);
                }
                Ok(known)
            })
            .await
    }
}
