//! Captures: recorded with their tasks and idempotency key in one transaction, listed, linked, deleted.

use crate::db::{Conditions, Db, Row, ToValue, values};
use jiff::Timestamp;
use uuid::Uuid;

use crate::events::{self, EventKind};
use crate::request::RequestError;
use crate::sessions::hold_gate;
use crate::tasks::{self, NewTask, TaskKind};
use crate::users::timestamp;
use crate::{Cursor, Error, Page, Records, Result, Session, SessionGate};

/// What a capture belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssessmentType {
    /// An answer of the questionnaire.
    Phq,
    /// A conversation with the language model.
    Llm,
    /// Neither.
    General,
}

impl AssessmentType {
    /// The word in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phq => "PHQ",
            Self::Llm => "LLM",
            Self::General => "GENERAL",
        }
    }
}

/// Where a capture's bytes lie, and what they must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Key in the blob store.
    pub key: String,
    /// How the bytes are stored: `plain`.
    pub format: String,
    /// How many bytes the photo has.
    pub size_bytes: u64,
    /// SHA-256 of the photo.
    pub sha256: [u8; 32],
}

/// A capture to record.
#[derive(Clone, Debug)]
pub struct NewCapture {
    /// Its id, a `UUIDv7`.
    pub id: Uuid,
    /// The id of the task that processes it.
    pub task_id: Uuid,
    /// When its task is run: 0 first.
    pub task_priority: u32,
    /// Unique; also the last part of its URL.
    pub filename: String,
    /// Its bytes.
    pub blob: StoredBlob,
    /// True type, by the bytes.
    pub content_type: String,
    /// Width in pixels, as stored (not turned upright).
    pub width_px: u32,
    /// Height in pixels, as stored.
    pub height_px: u32,
    /// Why the frame was taken.
    pub trigger: String,
    /// What it belongs to.
    pub assessment_type: AssessmentType,
    /// Which one, as a JSON scalar.
    pub assessment_id: Option<String>,
    /// The client's clock, as sent.
    pub captured_at: Option<String>,
    /// When the server received it.
    pub received_at: Timestamp,
    /// Everything the client said of it: a JSON object.
    pub metadata: String,
}

/// A capture as stored.
#[derive(Clone, Debug)]
pub struct Capture {
    /// Its id, a `UUIDv7`.
    pub id: Uuid,
    /// Its session.
    pub session_id: Uuid,
    /// Unique; also the last part of its URL.
    pub filename: String,
    /// Its bytes.
    pub blob: StoredBlob,
    /// True type, by the bytes.
    pub content_type: String,
    /// Width in pixels, as stored.
    pub width_px: u32,
    /// Height in pixels, as stored.
    pub height_px: u32,
    /// Why the frame was taken.
    pub trigger: String,
    /// What it belongs to.
    pub assessment_type: AssessmentType,
    /// Which one, as a JSON scalar.
    pub assessment_id: Option<String>,
    /// The client's clock, as sent.
    pub captured_at: Option<String>,
    /// When the server received it.
    pub received_at: Timestamp,
    /// The settings that the final gate used, as JSON.
    pub settings_snapshot: Option<String>,
    /// Everything the client said of it: a JSON object.
    pub metadata: String,
    /// What processing made of it.
    pub processing: Processing,
}

/// What processing made of a capture, or why it did not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Processing {
    /// How often processing took effect: 1 once it is done.
    pub count: u32,
    /// When it was processed last.
    pub processed_at: Option<Timestamp>,
    /// Width in pixels, upright.
    pub width_px: Option<u32>,
    /// Height in pixels, upright.
    pub height_px: Option<u32>,
    /// The camera's clock, by Exif.
    pub taken_at: Option<String>,
    /// `ThumbHash`.
    pub placeholder: Option<Vec<u8>>,
    /// The larger, the sharper.
    pub sharpness: Option<f64>,
    /// 0 to 1.
    pub brightness: Option<f64>,
    /// 64 bits; near-duplicates differ in few.
    pub perceptual_hash: Option<u64>,
    /// The frame before it in its session, where that is nearly the same.
    pub near_duplicate_of: Option<Uuid>,
    /// SHA-256 of the photo as it was received, where it was replaced by one without metadata.
    pub received_sha256: Option<[u8; 32]>,
    /// Why it could not be processed, for a person.
    pub failure: Option<String>,
    /// Since when its photo is in quarantine: kept, and not shown.
    pub quarantined_at: Option<Timestamp>,
}

/// Which captures to list.
#[derive(Clone, Debug, Default)]
pub struct CaptureFilter {
    /// Of this session.
    pub session_id: Option<Uuid>,
    /// At least this sharp.
    pub sharpness_min: Option<f64>,
    /// At most this sharp.
    pub sharpness_max: Option<f64>,
    /// At least this bright.
    pub brightness_min: Option<f64>,
    /// At most this bright.
    pub brightness_max: Option<f64>,
    /// Nearly the same as the frame before it, or not.
    pub is_near_duplicate: Option<bool>,
    /// In quarantine, or not.
    pub is_quarantined: Option<bool>,
    /// Processed, or not.
    pub is_processed: Option<bool>,
}

/// The answer to a request with an idempotency key, kept so that a retry gets the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Whose key it is.
    pub user_id: i64,
    /// The key, as sent.
    pub key: String,
    /// SHA-256 over the request's parsed parts.
    pub digest: [u8; 32],
    /// The answer, as JSON.
    pub answer: String,
}

/// Everything one request records.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What the final gate saw; if the catalog has changed since, nothing is recorded.
    pub gate: SessionGate,
    /// The captures, their bytes already durable.
    pub captures: Vec<NewCapture>,
    /// The key to keep with them.
    pub idempotency: Option<IdempotencyRecord>,
    /// When the request was answered.
    pub now: Timestamp,
}

/// What recording did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The rows are there.
    Stored,
    /// Another request with this key was first; nothing of this one was recorded.
    KeyTaken(IdempotencyRecord),
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The session, its owner, its end or its settings are no longer what the gate saw: gate again.
    #[error("the session changed while its captures were on their way")]
    GateChanged,
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] Error),
}

impl RequestError for RecordingError {
    fn of_catalog(&self) -> Option<&Error> {
        match self {
            Self::Catalog(error) => Some(error),
            Self::GateChanged => None,
        }
    }
}

/// What linking captures to an assessment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkOutcome {
    /// Captures that now belong to the assessment.
    pub updated: usize,
    /// Captures that belonged to one already, and stay as they are.
    pub already_linked: usize,
}

pub(crate) const COLUMNS: &str = "id, session_id, filename, blob_key, blob_format, size_bytes, sha256, content_type, width_px, \
     height_px, capture_trigger, assessment_type, assessment_id, captured_at, received_at, settings_snapshot, metadata, processed_count, processed_at, upright_width_px, \
     upright_height_px, taken_at, placeholder, sharpness, brightness, perceptual_hash, near_duplicate_of, \
     received_sha256, failure, quarantined_at";
const NEW_COLUMNS: &str = "id, session_id, filename, blob_key, blob_format, size_bytes, sha256, content_type, width_px, \
     height_px, capture_trigger, assessment_type, assessment_id, captured_at, received_at, settings_snapshot, metadata";
/// The first column after those of a capture.
const NEXT_COLUMN: usize = 30;

pub(crate) fn capture_from(row: &Row<'_>) -> Result<Capture> {
    Ok(Capture {
        id: row.get(0)?,
        session_id: row.get(1)?,
        filename: row.get(2)?,
        blob: StoredBlob { key: row.get(3)?, format: row.get(4)?, size_bytes: row.get(5)?, sha256: row.get(6)? },
        content_type: row.get(7)?,
        width_px: row.get(8)?,
        height_px: row.get(9)?,
        trigger: row.get(10)?,
        assessment_type: match row.get::<&str>(11)? {
            "PHQ" => AssessmentType::Phq,
            "LLM" => AssessmentType::Llm,
            _ => AssessmentType::General,
        },
        assessment_id: row.get(12)?,
        captured_at: row.get(13)?,
        received_at: timestamp(row.get(14)?),
        settings_snapshot: row.get(15)?,
        metadata: row.get(16)?,
        processing: Processing {
            count: row.get(17)?,
            processed_at: row.get::<Option<i64>>(18)?.map(timestamp),
            width_px: row.get(19)?,
            height_px: row.get(20)?,
            taken_at: row.get(21)?,
            placeholder: row.get(22)?,
            sharpness: row.get(23)?,
            brightness: row.get(24)?,
            perceptual_hash: row.get::<Option<i64>>(25)?.map(i64::cast_unsigned),
            near_duplicate_of: row.get(26)?,
            received_sha256: row.get(27)?,
            failure: row.get(28)?,
            quarantined_at: row.get::<Option<i64>>(29)?.map(timestamp),
        },
    })
}

fn cursor_of(capture: &Capture) -> Cursor {
    Cursor { time_us: capture.received_at.as_microsecond(), id: capture.id }
}

fn idempotency_record(db: &Db<'_>, user_id: i64, key: &str) -> Result<Option<IdempotencyRecord>> {
    db.optional(
        "SELECT digest, answer FROM idempotency_keys WHERE user_id = ? AND key = ?",
        &values![user_id, key],
        |row| Ok(IdempotencyRecord { user_id, key: key.to_owned(), digest: row.get(0)?, answer: row.get(1)? }),
    )
}

pub(crate) fn insert_capture(
    db: &Db<'_>,
    session: &Session,
    snapshot: Option<&str>,
    capture: &NewCapture,
) -> Result<()> {
    db.execute(
        &format!("INSERT INTO captures ({NEW_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        &values![
            capture.id,
            session.id,
            capture.filename,
            capture.blob.key,
            capture.blob.format,
            capture.blob.size_bytes,
            capture.blob.sha256,
            capture.content_type,
            capture.width_px,
            capture.height_px,
            capture.trigger,
            capture.assessment_type.as_str(),
            capture.assessment_id,
            capture.captured_at,
            capture.received_at.as_microsecond(),
            snapshot,
            capture.metadata,
        ],
    )?;
    let task = NewTask {
        id: capture.task_id,
        kind: TaskKind::Process,
        capture_id: Some(capture.id),
        session_id: Some(session.id),
        user_id: Some(session.user_id),
        sink: None,
        payload: None,
        priority: capture.task_priority,
        created_at: capture.received_at,
        available_at: None,
    };
    tasks::insert(db, &task)
}

/// Whether an earlier run of this recording was committed after all: its rows came together or not at all.
fn is_recorded(db: &Db<'_>, recording: &Recording) -> Result<bool> {
    match recording.captures.first() {
        Some(capture) => db.scalar("SELECT EXISTS (SELECT 1 FROM captures WHERE id = ?)", &values![capture.id]),
        // The key alone: to find it is to have recorded it, and whoever did gave the same answer.
        None => Ok(false),
    }
}

impl Records {
    /// The answer already given under an idempotency key.
    pub async fn idempotency_record(&self, user_id: i64, key: String) -> Result<Option<IdempotencyRecord>> {
        self.engine.read(move |db| idempotency_record(db, user_id, &key)).await
    }

    /// Records captures, their tasks and the idempotency key: all of them or none, durable when this returns.
    ///
    /// The session is looked at again inside the transaction; if it is not what the gate saw, nothing is recorded.
    pub async fn record_captures(&self, recording: Recording) -> Result<Recorded, RecordingError> {
        let sinks = self.sinks.clone();
        let outcome = self
            .engine
            .write_captures(move |db| {
                if db.is_in_doubt() && is_recorded(db, &recording)? {
                    return Ok(Recorded::Stored);
                }
                if let Some(wanted) = &recording.idempotency
                    && let Some(first) = idempotency_record(db, wanted.user_id, &wanted.key)?
                {
                    // Perhaps by this very request: an earlier run's commit may have become visible only now.
                    let is_own = db.is_in_doubt() && first.answer == wanted.answer;
                    return Ok(if is_own { Recorded::Stored } else { Recorded::KeyTaken(first) });
                }
                if hold_gate(db, recording.gate.session.id)?.as_ref() != Some(&recording.gate) {
                    // An earlier run held the gate, and has ended by now.
                    if db.is_in_doubt() && is_recorded(db, &recording)? {
                        return Ok(Recorded::Stored);
                    }
                    return Err(RecordingError::GateChanged);
                }
                let snapshot = recording
                    .gate
                    .settings
                    .as_ref()
                    .map(serde_json::to_string)
                    .transpose()
                    .map_err(|error| Error::Conflict(format!("camera settings do not fit JSON: {error}")))?;
                for capture in &recording.captures {
                    insert_capture(db, &recording.gate.session, snapshot.as_deref(), capture)?;
                    events::emit(db, &sinks, EventKind::Stored, capture.id, serde_json::Value::Null, recording.now)?;
                }
                if let Some(record) = &recording.idempotency {
                    db.execute("INSERT INTO idempotency_keys (user_id, key, digest, answer, created_at) VALUES (?, ?, ?, ?, ?)", &values![
                        record.user_id,
                        record.key,
                        record.digest,
                        record.answer,
                        recording.now.as_microsecond(),
                    ])?;
                }
                Ok(Recorded::Stored)
            })
            .await;
        if matches!(outcome, Err(RecordingError::GateChanged)) {
            // By another process, perhaps, so that what is remembered would say the same for a while.
            self.engine.begin_version();
        }
        self.tell_task_changes();
        outcome
    }

    /// The capture of this id.
    pub async fn capture(&self, id: Uuid) -> Result<Option<Capture>> {
        self.engine
            .read(move |db| {
                db.optional(&format!("SELECT {COLUMNS} FROM captures WHERE id = ?"), &values![id], capture_from)
            })
            .await
    }

    /// The capture of this filename, with its session's owner.
    pub async fn capture_by_filename(&self, filename: String) -> Result<Option<(Capture, i64)>> {
        self.engine
            .read(move |db| {
                db.optional(&format!(
                    "SELECT {COLUMNS}, (SELECT user_id FROM assessment_sessions WHERE assessment_sessions.id = session_id)
                     FROM captures WHERE filename = ?"
                ), &values![filename], |row| Ok((capture_from(row)?, row.get(NEXT_COLUMN)?)))
            })
            .await
    }

    /// Captures that fit the filter, newest first.
    pub async fn captures(&self, filter: CaptureFilter, after: Option<Cursor>, limit: usize) -> Result<Page<Capture>> {
        let after = after.unwrap_or(Cursor::START);
        self.engine
            .read(move |db| {
                let first = format!("SELECT {COLUMNS} FROM captures WHERE (received_at, id) < (?1, ?2)");
                let mut asked = Conditions::new(&first, &values![after.time_us, after.id]);
                asked.and("session_id = ?", filter.session_id.as_ref());
                asked.and("sharpness >= ?", filter.sharpness_min.as_ref());
                asked.and("sharpness <= ?", filter.sharpness_max.as_ref());
                asked.and("brightness >= ?", filter.brightness_min.as_ref());
                asked.and("brightness <= ?", filter.brightness_max.as_ref());
                asked.and_is("near_duplicate_of IS NOT NULL", filter.is_near_duplicate);
                asked.and_is("quarantined_at IS NOT NULL", filter.is_quarantined);
                asked.and_is("processed_at IS NOT NULL", filter.is_processed);
                let (sql, values) = asked.end("ORDER BY received_at DESC, id DESC", limit + 1);
                let rows = db.all(&sql, &values, capture_from)?;
                Ok(Page::from_rows(rows, limit, cursor_of))
            })
            .await
    }

    /// Every capture of a session, oldest first.
    pub async fn captures_of_session(&self, session_id: Uuid) -> Result<Vec<Capture>> {
        self.engine
            .read(move |db| {
                db.all(
                    &format!("SELECT {COLUMNS} FROM captures WHERE session_id = ? ORDER BY received_at, id"),
                    &values![session_id],
                    capture_from,
                )
            })
            .await
    }

    /// Captures of a session, oldest first, those after this one: a session in steps, however long it is.
    pub async fn captures_of_session_after(
        &self,
        session_id: Uuid,
        after: Option<(Timestamp, Uuid)>,
        limit: usize,
    ) -> Result<Vec<Capture>> {
        let (time_us, id) = after.map_or((i64::MIN, Uuid::nil()), |(time, id)| (time.as_microsecond(), id));
        self.engine
            .read(move |db| {
                let sql = format!(
                    "SELECT {COLUMNS} FROM captures WHERE session_id = ? AND (received_at, id) > (?, ?)
                     ORDER BY received_at, id LIMIT ?"
                );
                db.all(&sql, &values![session_id, time_us, id, limit], capture_from)
            })
            .await
    }

    /// Links captures of a session to an assessment. One that belongs to an assessment already stays as it is; ids
    /// that are not of this session count for nothing.
    pub async fn link_captures(
        &self,
        session_id: Uuid,
        capture_ids: Vec<Uuid>,
        assessment_type: AssessmentType,
        assessment_id: String,
        now: Timestamp,
    ) -> Result<LinkOutcome> {
        let sinks = self.sinks.clone();
        let outcome = self
            .engine
            .write(move |db| {
                let mut outcome = LinkOutcome { updated: 0, already_linked: 0 };
                for id in &capture_ids {
                    let updated = db.execute(
                        "UPDATE captures SET assessment_type = ?3, assessment_id = ?4
                     WHERE id = ?1 AND session_id = ?2 AND assessment_id IS NULL",
                        &values![id, session_id, assessment_type.as_str(), assessment_id],
                    )?;
                    if updated > 0 {
                        outcome.updated += 1;
                        events::linked(db, &sinks, *id, &assessment_id, now)?;
                    } else if db.one(
                        "SELECT EXISTS (SELECT 1 FROM captures WHERE id = ? AND session_id = ?)",
                        &values![id, session_id],
                        |row| row.get(0),
                    )? {
                        outcome.already_linked += 1;
                    }
                }
                Ok(outcome)
            })
            .await;
        self.tell_task_changes();
        outcome
    }

    /// Captures by id, those after `after`: the whole catalog in steps, for checks.
    pub async fn captures_by_id(&self, after: Uuid, limit: usize) -> Result<Vec<Capture>> {
        self.engine
            .read(move |db| {
                db.all(
                    &format!("SELECT {COLUMNS} FROM captures WHERE id > ? ORDER BY id LIMIT ?"),
                    &values![after, limit],
                    capture_from,
                )
            })
            .await
    }

    /// Those of these captures that are there.
    pub async fn captures_of(&self, ids: Vec<Uuid>) -> Result<Vec<Uuid>> {
        self.engine
            .read(move |db| {
                let marks = vec!["?"; ids.len()].join(", ");
                let values: Vec<_> = ids.iter().map(ToValue::to_value).collect();
                db.all(&format!("SELECT id FROM captures WHERE id IN ({marks})"), &values, |row| row.get(0))
            })
            .await
    }

    /// The blob keys in use below a folder of the store.
    pub async fn blob_keys_in(&self, folder: String) -> Result<Vec<String>> {
        self.engine
            .read(move |db| {
                // '0' follows '/': all keys that begin with the folder and a slash, by the index.
                db.all(
                    "SELECT blob_key FROM captures WHERE blob_key > ?1 || '/' AND blob_key < ?1 || '0'",
                    &values![folder],
                    |row| row.get(0),
                )
            })
            .await
    }

    /// How many captures each of these sessions has.
    pub async fn capture_counts(&self, session_ids: Vec<Uuid>) -> Result<Vec<u64>> {
        self.engine
            .read(move |db| {
                session_ids
                    .iter()
                    .map(|id| {
                        db.one("SELECT count(*) FROM captures WHERE session_id = ?", &values![id], |row| row.get(0))
                    })
                    .collect()
            })
            .await
    }

    /// How many captures there are.
    pub async fn count_captures(&self) -> Result<u64> {
        // By a look at one moment, which may take as long as it takes.
        self.engine.snapshot(|db| db.one("SELECT count(*) FROM captures", &[], |row| row.get(0))).await
    }
}
