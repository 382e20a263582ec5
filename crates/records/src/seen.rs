//! Captures as they are counted beside another program's.

use jiff::Timestamp;
use uuid::Uuid;

use crate::db::values;
use crate::{Records, Result};

/// A capture as far as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCapture {
    /// Its session.
    pub session_id: Uuid,
    /// Why it was taken.
    pub trigger: String,
    /// When it was received.
    pub received_at: Timestamp,
    /// Its filename.
    pub filename: String,
    /// Its id.
    pub id: Uuid,
    /// Bytes of the photo as it was sent; none where it was replaced by one without metadata.
    pub received_bytes: Option<u64>,
}

impl Records {
    /// Captures received at or after `from` and before `until`, oldest first, those after `after`: their session,
    /// trigger, time, filename, id and size.
    pub async fn captures_between(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<SeenCapture>> {
        self.engine
            .read(move |db| {
                let (time, id) = after.unwrap_or((from, Uuid::nil()));
                db.all(
                    "SELECT session_id, capture_trigger, received_at, filename, id,
                            CASE WHEN received_sha256 IS NULL THEN size_bytes END
                     FROM captures
                     WHERE (received_at, id) > (?1, ?2) AND received_at < ?3 ORDER BY received_at, id LIMIT ?4",
                    &values![time.as_microsecond(), id, until.as_microsecond(), limit],
                    |row| {
                        Ok(SeenCapture {
                            session_id: row.get(0)?,
                            trigger: row.get(1)?,
                            received_at: crate::users::timestamp(row.get(2)?),
                            filename: row.get(3)?,
                            id: row.get(4)?,
                            received_bytes: row.get(5)?,
                        })
                    },
                )
            })
            .await
    }
}
