//! Deleting captures: the tombstones they leave, and when those are forgotten.

use jiff::Timestamp;
use uuid::Uuid;

use crate::captures::{COLUMNS, capture_from};
use crate::db::{Db, values};
use crate::events::{self, EventKind, EventSink};
use crate::{Capture, Records, Result, Store, processing, tasks};

fn bury(db: &Db<'_>, sinks: &[EventSink], capture: &Capture, reason: &str, now: Timestamp) -> Result<()> {
    events::emit(db, sinks, EventKind::Deleted, capture.id, serde_json::json!({ "reason": reason }), now)?;
    tasks::revoke_of_capture(db, capture.id, now)?;
    processing::doom_derivatives(db, capture.id, now)?;
    processing::doom(db, Store::Originals, &capture.blob.key, now)?;
    db.execute("UPDATE captures SET near_duplicate_of = NULL WHERE near_duplicate_of = ?", &values![capture.id])?;
    db.execute("DELETE FROM captures WHERE id = ?", &values![capture.id])?;
    db.execute("INSERT INTO tombstones (capture_id, session_id, filename, blob_key, reason, deleted_at) VALUES (?, ?, ?, ?, ?, ?)", &values![capture.id, capture.session_id, capture.filename, capture.blob.key, reason, now.as_microsecond()])?;
    Ok(())
}

impl Records {
    /// Deletes a capture's row and leaves a tombstone; what was deleted, so that its bytes can go too.
    pub async fn delete_capture(&self, id: Uuid, reason: String, now: Timestamp) -> Result<Capture> {
        let sinks = self.sinks.clone();
        self.change_tasks(move |db| {
            let session_id = db.scalar("SELECT session_id FROM captures WHERE id = ?", &values![id])?;
            db.hold_session(session_id)?;
            let capture = format!("SELECT {COLUMNS} FROM captures WHERE id = ?{}", db.for_update());
            let capture = db.one(&capture, &values![id], capture_from)?;
            bury(db, &sinks, &capture, &reason, now)?;
            Ok(capture)
        })
        .await
    }

    /// Deletes the rows of a session's captures that belong to no assessment; those deleted.
    pub async fn delete_unlinked_captures(
        &self,
        session_id: Uuid,
        reason: String,
        now: Timestamp,
    ) -> Result<Vec<Capture>> {
        let sinks = self.sinks.clone();
        self.change_tasks(move |db| {
            db.hold_session(session_id)?;
            let unlinked = format!(
                "SELECT {COLUMNS} FROM captures WHERE session_id = ? AND assessment_id IS NULL{}",
                db.for_update()
            );
            let captures = db.all(&unlinked, &values![session_id], capture_from)?;
            for capture in &captures {
                bury(db, &sinks, capture, &reason, now)?;
            }
            Ok(captures)
        })
        .await
    }

    /// When the captures of a session came that were deleted since, as far as their tombstones are kept.
    pub async fn deleted_of_session(&self, session_id: Uuid) -> Result<Vec<Timestamp>> {
        let ids: Vec<Uuid> = self
            .engine
            .read(move |db| {
                // Without an index: whoever asks is a person, and tombstones are few and forgotten.
                let sql = "SELECT capture_id FROM tombstones WHERE session_id = ? ORDER BY capture_id";
                db.all(sql, &values![session_id], |row| row.get(0))
            })
            .await?;
        let time_of = |id: &Uuid| {
            let (seconds, nanos) = id.get_timestamp()?.to_unix();
            Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
        };
        Ok(ids.iter().filter_map(time_of).collect())
    }

    /// Whether a capture was deleted.
    pub async fn is_tombstone(&self, capture_id: Uuid) -> Result<bool> {
        self.engine
            .read(move |db| {
                db.one("SELECT EXISTS (SELECT 1 FROM tombstones WHERE capture_id = ?)", &values![capture_id], |row| {
                    row.get(0)
                })
            })
            .await
    }

    /// Keys whose blobs were to be deleted, those after `after`; of captures deleted before `deleted_before` where it
    /// says so.
    pub async fn buried_blob_keys(
        &self,
        after: String,
        deleted_before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.engine
            .read(move |db| {
                let before = deleted_before.map_or(i64::MAX, Timestamp::as_microsecond);
                db.all(
                    "SELECT blob_key FROM tombstones WHERE blob_key > ? AND deleted_at < ? ORDER BY blob_key LIMIT ?",
                    &values![after, before, limit],
                    |row| row.get(0),
                )
            })
            .await
    }

    /// Whether a tombstone says that the blob of this key was to be deleted.
    pub async fn blob_is_buried(&self, blob_key: String) -> Result<bool> {
        self.engine
            .read(move |db| {
                db.one(
                    "SELECT EXISTS (SELECT 1 FROM tombstones WHERE blob_key = ?1)
                             OR EXISTS (SELECT 1 FROM doomed_blobs WHERE store = 'originals' AND blob_key = ?1)",
                    &values![blob_key],
                    |row| row.get(0),
                )
            })
            .await
    }

    /// Forgets tombstones and idempotency keys older than `before`; how many of each. In steps: uploads wait behind a
    /// write.
    pub async fn forget_before(&self, before: Timestamp) -> Result<(usize, usize)> {
        let tombstones = [
            "SELECT min(deleted_at) FROM tombstones",
            "DELETE FROM tombstones WHERE capture_id IN (
                 SELECT capture_id FROM tombstones WHERE deleted_at < ? LIMIT ?)",
        ];
        let keys = [
            "SELECT min(created_at) FROM idempotency_keys",
            "DELETE FROM idempotency_keys WHERE (user_id, key) IN (
                 SELECT user_id, key FROM idempotency_keys WHERE created_at < ? LIMIT ?)",
        ];
        Ok((self.forget_in_steps(tombstones, before).await?, self.forget_in_steps(keys, before).await?))
    }

    /// The oldest is looked at first: mostly nothing is old enough, and an index tells that at once, whatever the table's
    /// size and whatever plan the engine would take for the deletion.
    async fn forget_in_steps(&self, [oldest, delete]: [&'static str; 2], before: Timestamp) -> Result<usize> {
        const STEP: usize = 1_000;
        let before = before.as_microsecond();
        let mut forgotten = 0;
        loop {
            let oldest: Option<i64> = self.engine.read(move |db| db.scalar(oldest, &[])).await?;
            if oldest.is_none_or(|oldest| oldest >= before) {
                return Ok(forgotten);
            }
            forgotten += self.engine.write_again(move |db: &Db<'_>| db.execute(delete, &values![before, STEP])).await?;
        }
    }
}
