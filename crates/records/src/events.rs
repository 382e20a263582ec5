//! Events out: recorded as deliveries in the transaction of what they tell of, so that none is lost and none is told
//! of what did not happen.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::{Db, values};
use crate::tasks::{self, NewTask, TaskKind};
use crate::{Result, uuid_at};

/// What happened to a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It is durable and recorded.
    Stored,
    /// Its derivatives are there.
    Processed,
    /// It could not be processed and is in quarantine.
    Failed,
    /// It was deleted.
    Deleted,
    /// It belongs to an assessment from now on.
    Linked,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Stored, Self::Processed, Self::Failed, Self::Deleted, Self::Linked];

    /// The word in configuration and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "capture.stored",
            Self::Processed => "capture.processed",
            Self::Failed => "capture.failed",
            Self::Deleted => "capture.deleted",
            Self::Linked => "capture.linked",
        }
    }

    /// The kind of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Who hears of which events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSink {
    /// Its name in the configuration.
    pub name: String,
    /// What it hears of.
    pub kinds: Vec<EventKind>,
}

/// Records a delivery to each sink that hears of this. Opaque ids only: neither user nor metadata go out.
pub(crate) fn emit(
    db: &Db<'_>,
    sinks: &[EventSink],
    kind: EventKind,
    capture_id: Uuid,
    more: Value,
    now: Timestamp,
) -> Result<()> {
    if !sinks.iter().any(|sink| sink.kinds.contains(&kind)) {
        return Ok(());
    }
    let Some((session_id, mut data)) = describe(db, capture_id)? else { return Ok(()) };
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    let payload = json!({ "type": kind.as_str(), "timestamp": now.to_string(), "data": data }).to_string();
    for sink in sinks.iter().filter(|sink| sink.kinds.contains(&kind)) {
        let delivery = NewTask {
            id: uuid_at(now),
            kind: TaskKind::Deliver,
            capture_id: Some(capture_id),
            session_id: Some(session_id),
            user_id: None,
            sink: Some(&sink.name),
            payload: Some(&payload),
            priority: 0,
            created_at: now,
            available_at: None,
        };
        tasks::insert(db, &delivery)?;
    }
    Ok(())
}

/// Tells that a capture was linked to the assessment that this JSON names.
pub(crate) fn linked(db: &Db<'_>, sinks: &[EventSink], id: Uuid, assessment: &str, now: Timestamp) -> Result<()> {
    let assessment_id = serde_json::from_str(assessment).unwrap_or(Value::Null);
    emit(db, sinks, EventKind::Linked, id, json!({ "assessment_id": assessment_id }), now)
}

fn describe(db: &Db<'_>, capture_id: Uuid) -> Result<Option<(Uuid, Value)>> {
    db.optional(
        "SELECT session_id, filename, capture_trigger, assessment_type, content_type, size_bytes, sha256, received_at
         FROM captures WHERE id = ?",
        &values![capture_id],
        |row| {
            let session_id: Uuid = row.get(0)?;
            let sha256: [u8; 32] = row.get(6)?;
            Ok((
                session_id,
                json!({
                    "capture_id": capture_id,
                    "session_id": session_id,
                    "filename": row.get::<String>(1)?,
                    "trigger": row.get::<String>(2)?,
                    "assessment_type": row.get::<String>(3)?,
                    "content_type": row.get::<String>(4)?,
                    "size_bytes": row.get::<i64>(5)?,
                    "sha256": hex::encode(sha256),
                    "received_at": crate::users::timestamp(row.get(7)?).to_string(),
                }),
            ))
        },
    )
}
