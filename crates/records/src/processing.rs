//! What processing made of a capture: its derivatives, its quality signs, or why it failed.

use crate::db::{Db, Row, values};
use jiff::Timestamp;
use uuid::Uuid;

use crate::events::{self, EventKind, EventSink};
use crate::{Error, Records, Result, StoredBlob, Task, tasks};

/// What a task's success changes.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Nothing beyond the task.
    None,
    /// Its capture was processed.
    Processed(Box<Processed>),
    /// Its capture is whole as far as can be seen, but nothing here can decode it.
    Unsupported {
        /// Why, for a person.
        reason: String,
    },
    /// The sweep is done; the next one comes at this time.
    NextSweep {
        /// When.
        at: Timestamp,
    },
}

/// What was made of a capture's photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Processed {
    /// Width in pixels, upright.
    pub width_px: u32,
    /// Height in pixels, upright.
    pub height_px: u32,
    /// The camera's clock, by Exif.
    pub taken_at: Option<String>,
    /// `ThumbHash`.
    pub placeholder: Vec<u8>,
    /// The larger, the sharper.
    pub sharpness: f64,
    /// 0 to 1.
    pub brightness: f64,
    /// 64 bits; near-duplicates differ in few.
    pub perceptual_hash: u64,
    /// Most differing bits of a near-duplicate.
    pub near_duplicate_bits_max: u32,
    /// Pictures made of it, their bytes already durable.
    pub derivatives: Vec<Derivative>,
    /// The photo without metadata, already durable, that takes the original's place.
    pub replacement: Option<StoredBlob>,
}

/// A picture made of a photo, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivative {
    /// `thumb` or `preview`.
    pub size: String,
    /// Its true type.
    pub content_type: String,
    /// Key in the store of derivatives: those of one run share a blob.
    pub blob_key: String,
    /// Where in that blob it begins.
    pub offset_bytes: u64,
    /// Its bytes.
    pub size_bytes: u64,
    /// Its width in pixels.
    pub width_px: u32,
    /// Its height in pixels.
    pub height_px: u32,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// Which store bytes lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Photos as uploaded, or without their metadata.
    Originals,
    /// What processing made of them.
    Derivatives,
}

impl Store {
    /// The word in SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Originals => "originals",
            Self::Derivatives => "derivatives",
        }
    }
}

const DERIVATIVE_COLUMNS: &str = "size, content_type, blob_key, offset_bytes, size_bytes, width_px, height_px, sha256";

fn derivative_from(row: &Row<'_>) -> Result<Derivative> {
    Ok(Derivative {
        size: row.get(0)?,
        content_type: row.get(1)?,
        blob_key: row.get(2)?,
        offset_bytes: row.get(3)?,
        size_bytes: row.get(4)?,
        width_px: row.get(5)?,
        height_px: row.get(6)?,
        sha256: row.get(7)?,
    })
}

fn capture_of(task: &Task) -> Result<Uuid> {
    task.capture_id.ok_or_else(|| Error::Conflict("the task names no capture".to_owned()))
}

/// The one place where processing takes effect.
pub(crate) fn take_effect(
    db: &Db<'_>,
    sinks: &[EventSink],
    task: &Task,
    processed: &Processed,
    now: Timestamp,
) -> Result<()> {
    let id = capture_of(task)?;
    // A dead letter run again may have been processed in part before: what it made then gives way.
    doom_derivatives(db, id, now)?;
    db.execute("DELETE FROM derivatives WHERE capture_id = ?", &values![id])?;
    for derivative in &processed.derivatives {
        db.execute(
            &format!("INSERT INTO derivatives (capture_id, {DERIVATIVE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            &values![
                id,
                derivative.size,
                derivative.content_type,
                derivative.blob_key,
                derivative.offset_bytes,
                derivative.size_bytes,
                derivative.width_px,
                derivative.height_px,
                derivative.sha256,
            ],
        )?;
    }
    // Bytes in use are never to be removed, whatever was thought of their key before.
    db.execute(
        "DELETE FROM doomed_blobs WHERE store = 'derivatives'
         AND blob_key IN (SELECT blob_key FROM derivatives WHERE capture_id = ?)",
        &values![id],
    )?;
    if let Some(blob) = &processed.replacement {
        replace_original(db, id, blob, now)?;
    }
    db.execute(
        "UPDATE captures SET processed_count = processed_count + 1, processed_at = ?2, upright_width_px = ?3,
                             upright_height_px = ?4, taken_at = ?5, placeholder = ?6, sharpness = ?7, brightness = ?8,
                             perceptual_hash = ?9, failure = NULL, quarantined_at = NULL WHERE id = ?1",
        &values![
            id,
            now.as_microsecond(),
            processed.width_px,
            processed.height_px,
            processed.taken_at,
            processed.placeholder,
            processed.sharpness,
            processed.brightness,
            processed.perceptual_hash.cast_signed(),
        ],
    )?;
    compare_neighbours(db, id, processed.near_duplicate_bits_max)?;
    let derivatives: Vec<_> = processed
        .derivatives
        .iter()
        .map(|derivative| {
            serde_json::json!({
                "size": derivative.size,
                "content_type": derivative.content_type,
                "width_px": derivative.width_px,
                "height_px": derivative.height_px,
                "size_bytes": derivative.size_bytes,
            })
        })
        .collect();
    let more = serde_json::json!({
        "width_px": processed.width_px,
        "height_px": processed.height_px,
        "taken_at": processed.taken_at,
        "sharpness": processed.sharpness,
        "brightness": processed.brightness,
        "near_duplicate_of": near_duplicate_of(db, id)?,
        "derivatives": derivatives,
    });
    events::emit(db, sinks, EventKind::Processed, id, more, now)
}

fn replace_original(db: &Db<'_>, id: Uuid, blob: &StoredBlob, now: Timestamp) -> Result<()> {
    let (old, sha256): (String, [u8; 32]) =
        db.one("SELECT blob_key, sha256 FROM captures WHERE id = ?", &values![id], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if old == blob.key {
        return Ok(());
    }
    doom(db, Store::Originals, &old, now)?;
    db.execute(
        "UPDATE captures SET blob_key = ?2, blob_format = ?3, size_bytes = ?4, sha256 = ?5,
                             received_sha256 = coalesce(received_sha256, ?6) WHERE id = ?1",
        &values![id, blob.key, blob.format, blob.size_bytes, blob.sha256, sha256],
    )?;
    Ok(())
}

/// Nothing can decode it here: the task is done, and says so.
pub(crate) fn unsupported(db: &Db<'_>, sinks: &[EventSink], task: &Task, reason: &str, now: Timestamp) -> Result<()> {
    let id = capture_of(task)?;
    db.execute(
        "UPDATE captures SET processed_count = processed_count + 1, processed_at = ?2, failure = ?3 WHERE id = ?1",
        &values![id, now.as_microsecond(), reason],
    )?;
    events::emit(
        db,
        sinks,
        EventKind::Processed,
        id,
        serde_json::json!({ "unsupported": reason, "derivatives": [] }),
        now,
    )
}

/// The capture's photo is in quarantine from now on: kept, and not shown.
pub(crate) fn failed(db: &Db<'_>, sinks: &[EventSink], task: &Task, error: &str, now: Timestamp) -> Result<()> {
    let id = capture_of(task)?;
    let changed = db.execute(
        "UPDATE captures SET failure = ?2, quarantined_at = ?3 WHERE id = ?1",
        &values![id, error, now.as_microsecond()],
    )?;
    if changed == 0 {
        return Ok(());
    }
    events::emit(db, sinks, EventKind::Failed, id, serde_json::json!({ "error": error }), now)
}

/// Out of quarantine, for another run.
pub(crate) fn begin_anew(db: &Db<'_>, capture_id: Uuid) -> Result<()> {
    let there =
        db.execute("UPDATE captures SET failure = NULL, quarantined_at = NULL WHERE id = ?", &values![capture_id])?;
    if there == 0 {
        return Err(Error::Conflict("the task's capture was deleted".to_owned()));
    }
    Ok(())
}

/// Frames of one session are compared in the order in which they were taken, whichever was processed first.
fn compare_neighbours(db: &Db<'_>, id: Uuid, bits_max: u32) -> Result<()> {
    let previous: Option<Uuid> = neighbour(db, id, "<", "DESC")?;
    compare(db, id, previous, bits_max)?;
    if let Some(next) = neighbour(db, id, ">", "ASC")? {
        compare(db, next, Some(id), bits_max)?;
    }
    Ok(())
}

fn neighbour(db: &Db<'_>, id: Uuid, side: &str, order: &str) -> Result<Option<Uuid>> {
    db.optional(&neighbour_sql(side, order), &values![id], |row| row.get(0))
}

/// What it is compared with stands in the statement as single values: joined to, PostgreSQL would read and sort the
/// whole session.
pub(crate) fn neighbour_sql(side: &str, order: &str) -> String {
    format!(
        "SELECT id FROM captures WHERE session_id = (SELECT session_id FROM captures WHERE id = ?1)
         AND (received_at, id) {side} ((SELECT received_at FROM captures WHERE id = ?1), ?1)
         ORDER BY received_at {order}, id {order} LIMIT 1"
    )
}

fn compare(db: &Db<'_>, id: Uuid, previous: Option<Uuid>, bits_max: u32) -> Result<()> {
    let hash = |id: Uuid| -> Result<Option<i64>> {
        // Gone: deleted while the other was processed.
        Ok(db.optional("SELECT perceptual_hash FROM captures WHERE id = ?", &values![id], |row| row.get(0))?.flatten())
    };
    let near = match (hash(id)?, previous.map(hash).transpose()?.flatten()) {
        (Some(this), Some(other)) => (this ^ other).count_ones() <= bits_max,
        _ => false,
    };
    db.execute("UPDATE captures SET near_duplicate_of = ?2 WHERE id = ?1", &values![id, previous.filter(|_| near)])?;
    Ok(())
}

fn near_duplicate_of(db: &Db<'_>, id: Uuid) -> Result<Option<Uuid>> {
    db.one("SELECT near_duplicate_of FROM captures WHERE id = ?", &values![id], |row| row.get(0))
}

/// Notes bytes that are to be removed, because no row names them any more.
pub(crate) fn doom(db: &Db<'_>, store: Store, key: &str, now: Timestamp) -> Result<()> {
    db.execute(
        "INSERT INTO doomed_blobs (store, blob_key, doomed_at) VALUES (?, ?, ?)
         ON CONFLICT (store, blob_key) DO NOTHING",
        &values![store.as_str(), key, now.as_microsecond()],
    )?;
    Ok(())
}

/// Notes a capture's derivatives as to be removed.
pub(crate) fn doom_derivatives(db: &Db<'_>, capture_id: Uuid, now: Timestamp) -> Result<()> {
    db.execute(
        "INSERT INTO doomed_blobs (store, blob_key, doomed_at)
         SELECT DISTINCT 'derivatives', blob_key, CAST(?2 AS BIGINT) FROM derivatives WHERE capture_id = ?1
         ON CONFLICT (store, blob_key) DO NOTHING",
        &values![capture_id, now.as_microsecond()],
    )?;
    Ok(())
}

impl Records {
    /// The pictures made of a capture's photo.
    pub async fn derivatives(&self, capture_id: Uuid) -> Result<Vec<Derivative>> {
        self.engine
            .read(move |db| {
                db.all(
                    &format!(
                        "SELECT {DERIVATIVE_COLUMNS} FROM derivatives WHERE capture_id = ? ORDER BY size, content_type"
                    ),
                    &values![capture_id],
                    derivative_from,
                )
            })
            .await
    }

    /// The pictures made of each of these captures, in their order.
    pub async fn derivatives_of(&self, capture_ids: Vec<Uuid>) -> Result<Vec<Vec<Derivative>>> {
        self.engine
            .read(move |db| {
                capture_ids
                    .iter()
                    .map(|id| {
                        db.all(&format!(
                    "SELECT {DERIVATIVE_COLUMNS} FROM derivatives WHERE capture_id = ? ORDER BY size, content_type"
                ), &values![id], derivative_from)
                    })
                    .collect()
            })
            .await
    }

    /// The keys of derivatives in use below a folder of their store.
    pub async fn derivative_keys_in(&self, folder: String) -> Result<Vec<String>> {
        self.engine
            .read(move |db| {
                // As in blob_keys_in.
                db.all(
                    "SELECT DISTINCT blob_key FROM derivatives WHERE blob_key > ?1 || '/' AND blob_key < ?1 || '0'",
                    &values![folder],
                    |row| row.get(0),
                )
            })
            .await
    }

    /// Whether the task that processes this capture is being run under this fence.
    pub async fn is_processing(&self, capture_id: Uuid, fence: i64) -> Result<bool> {
        self.engine
            .read(move |db| {
                db.one(
                    "SELECT EXISTS (SELECT 1 FROM tasks
                         WHERE capture_id = ? AND fence = ? AND kind = 'process' AND state = 'STARTED')",
                    &values![capture_id, fence],
                    |row| row.get(0),
                )
            })
            .await
    }

    /// Bytes that are still to be removed, those after `after` in their store.
    pub async fn doomed_blobs(&self, store: Store, after: String, limit: usize) -> Result<Vec<String>> {
        self.engine
            .read(move |db| {
                db.all(
                    "SELECT blob_key FROM doomed_blobs WHERE store = ? AND blob_key > ? ORDER BY blob_key LIMIT ?",
                    &values![store.as_str(), after, limit],
                    |row| row.get(0),
                )
            })
            .await
    }

    /// These bytes are gone.
    pub async fn forget_doomed(&self, store: Store, keys: Vec<String>) -> Result<()> {
        self.engine
            .write(move |db| {
                for key in &keys {
                    db.execute(
                        "DELETE FROM doomed_blobs WHERE store = ? AND blob_key = ?",
                        &values![store.as_str(), key],
                    )?;
                }
                Ok(())
            })
            .await
    }

    /// How often processing took effect, in all: the number of captures processed, where each was processed once.
    pub async fn count_effects(&self) -> Result<u64> {
        self.engine
            .read(|db| {
                db.one("SELECT CAST(coalesce(sum(processed_count), 0) AS BIGINT) FROM captures", &[], |row| row.get(0))
            })
            .await
    }

    /// Derivatives in the order of their blobs and offsets, those after the given ones: all in steps, for checks.
    pub async fn derivatives_by_key(
        &self,
        (after_key, after_offset_bytes): (String, Option<u64>),
        limit: usize,
    ) -> Result<Vec<(Uuid, Derivative)>> {
        let after_offset_bytes = after_offset_bytes.map_or(-1, |offset| i64::try_from(offset).unwrap_or(i64::MAX));
        self.engine
            .read(move |db| {
                db.all(
                    &format!(
                        "SELECT {DERIVATIVE_COLUMNS}, capture_id FROM derivatives
                     WHERE (blob_key, offset_bytes) > (?, ?) ORDER BY blob_key, offset_bytes LIMIT ?"
                    ),
                    &values![after_key, after_offset_bytes, limit],
                    |row| Ok((row.get(8)?, derivative_from(row)?)),
                )
            })
            .await
    }

    /// These are a capture's bytes now; for a copy of a catalog whose original has changed them meanwhile.
    pub async fn set_blob(&self, capture_id: Uuid, blob: StoredBlob, received_sha256: Option<[u8; 32]>) -> Result<()> {
        self.engine
            .write_again(move |db| {
                db.execute(
                    "UPDATE captures SET blob_key = ?2, blob_format = ?3, size_bytes = ?4, sha256 = ?5,
                                         received_sha256 = ?6 WHERE id = ?1",
                    &values![capture_id, blob.key, blob.format, blob.size_bytes, blob.sha256, received_sha256],
                )?;
                Ok(())
            })
            .await
    }

    /// A capture's derivatives are not there: they are forgotten, and made again.
    pub async fn lose_derivatives(&self, capture_id: Uuid, now: Timestamp) -> Result<()> {
        self.change_tasks(move |db| {
            doom_derivatives(db, capture_id, now)?;
            db.execute("DELETE FROM derivatives WHERE capture_id = ?", &values![capture_id])?;
            tasks::process_again(db, capture_id, now)
        })
        .await
    }

    /// A derivative is lost or damaged: its capture is processed once more, whether or not its task is still known.
    /// What there is stays until then.
    pub async fn rederive(&self, capture_id: Uuid, now: Timestamp) -> Result<()> {
        self.change_tasks(move |db| tasks::process_again(db, capture_id, now)).await
    }
}
