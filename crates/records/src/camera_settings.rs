//! Camera settings: how a session's photos are taken.

use crate::db::{Db, Row, values};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::duplicate_as;
use crate::users::{optional, timestamp};
use crate::{Cursor, Error, Page, Records, Result};

/// When frames are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecordingMode {
    /// One frame every `interval_seconds`.
    Interval,
    /// One frame at each of the events that are switched on.
    EventDriven,
}

impl RecordingMode {
    /// The word in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interval => "INTERVAL",
            Self::EventDriven => "EVENT_DRIVEN",
        }
    }
}

/// The members that people choose; names are the app's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools)] // names are the app's own
pub struct NewCameraSettings {
    /// What people call these settings; unique.
    pub setting_name: String,
    /// When frames are taken.
    pub recording_mode: RecordingMode,
    /// Seconds between frames, at least 1; needed for [`RecordingMode::Interval`].
    pub interval_seconds: Option<u32>,
    /// Width and height in pixels, as `1280x720`.
    pub resolution: String,
    /// Event mode: a frame at each click.
    pub capture_on_button_click: bool,
    /// Event mode: a frame at each message sent.
    pub capture_on_message_send: bool,
    /// Event mode: a frame as each question starts.
    pub capture_on_question_start: bool,
    /// Inactive settings count as none.
    pub is_active: bool,
    /// Given to new sessions that name no settings; one at most.
    pub is_default: bool,
}

/// Camera settings as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraSettings {
    /// Their id.
    pub id: Uuid,
    /// What people chose.
    #[serde(flatten)]
    pub chosen: NewCameraSettings,
    /// The app's own key, where they came from the app's database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// When they were made.
    #[serde(skip)]
    pub created_at: Timestamp,
    /// When they last changed.
    #[serde(skip)]
    pub updated_at: Timestamp,
}

pub(crate) const COLUMNS: &str = "camera_settings.id, setting_name, recording_mode, interval_seconds, resolution, \
     capture_on_button_click, capture_on_message_send, capture_on_question_start, is_active, is_default, \
     camera_settings.created_at, updated_at, camera_settings.host_key";

/// Reads the settings whose [`COLUMNS`] begin at column `at`.
pub(crate) fn settings_from(row: &Row<'_>, at: usize) -> Result<CameraSettings> {
    Ok(CameraSettings {
        id: row.get(at)?,
        chosen: NewCameraSettings {
            setting_name: row.get(at + 1)?,
            recording_mode: if row.get::<&str>(at + 2)? == "INTERVAL" {
                RecordingMode::Interval
            } else {
                RecordingMode::EventDriven
            },
            interval_seconds: row.get(at + 3)?,
            resolution: row.get(at + 4)?,
            capture_on_button_click: row.get(at + 5)?,
            capture_on_message_send: row.get(at + 6)?,
            capture_on_question_start: row.get(at + 7)?,
            is_active: row.get(at + 8)?,
            is_default: row.get(at + 9)?,
        },
        created_at: timestamp(row.get(at + 10)?),
        updated_at: timestamp(row.get(at + 11)?),
        host_key: row.get(at + 12)?,
    })
}

fn settings_by_id(db: &Db<'_>, id: Uuid) -> Result<CameraSettings> {
    hold(db, id, "")
}

/// These settings; with a lock, as they stay until this request is committed.
pub(crate) fn hold(db: &Db<'_>, id: Uuid, lock: &str) -> Result<CameraSettings> {
    let sql = format!("SELECT {COLUMNS} FROM camera_settings WHERE id = ?{lock}");
    db.one(&sql, &values![id], |row| settings_from(row, 0))
}

pub(crate) fn default_settings(db: &Db<'_>) -> Result<Option<Uuid>> {
    db.optional(
        "SELECT id FROM camera_settings WHERE is_default = 1 AND is_active = 1 AND host_key IS NULL",
        &[],
        |row| row.get(0),
    )
}

/// There is one default of our own at most: making one the default takes it from the other.
fn make_way_for_default(db: &Db<'_>, chosen: &NewCameraSettings, id: Uuid, now: Timestamp) -> Result<()> {
    if chosen.is_default {
        db.execute(
            "UPDATE camera_settings SET is_default = 0,
                    updated_at = CASE WHEN updated_at < ?1 THEN ?1 ELSE updated_at + 1 END
             WHERE is_default = 1 AND host_key IS NULL AND id <> ?2",
            &values![now.as_microsecond(), id],
        )?;
    }
    Ok(())
}

/// Told only of the name: that another default was made meanwhile is no mistake, and the next run makes way for it.
fn taken(error: Error, name: &str) -> Error {
    if error.to_string().contains("setting_name") {
        duplicate_as(error, || format!("the setting name '{name}' is taken"))
    } else {
        error
    }
}

impl Records {
    /// Keeps new settings. [`Error::Conflict`] where the name is taken.
    pub async fn create_camera_settings(
        &self,
        id: Uuid,
        chosen: NewCameraSettings,
        now: Timestamp,
    ) -> Result<CameraSettings> {
        self.engine
            .write(move |db| {
                make_way_for_default(db, &chosen, id, now)?;
                db.execute(
                    "INSERT INTO camera_settings (id, setting_name, recording_mode, interval_seconds, resolution,
                     capture_on_button_click, capture_on_message_send, capture_on_question_start, is_active, is_default,
                     created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)",
                    &values![
                        id,
                        chosen.setting_name,
                        chosen.recording_mode.as_str(),
                        chosen.interval_seconds,
                        chosen.resolution,
                        chosen.capture_on_button_click,
                        chosen.capture_on_message_send,
                        chosen.capture_on_question_start,
                        chosen.is_active,
                        chosen.is_default,
                        now.as_microsecond(),
                    ],
                )
                .map_err(|error| taken(error, &chosen.setting_name))?;
                settings_by_id(db, id)
            })
            .await
    }

    /// The settings of this id.
    pub async fn camera_settings(&self, id: Uuid) -> Result<Option<CameraSettings>> {
        self.engine.read(move |db| optional(settings_by_id(db, id))).await
    }

    /// All settings, newest first.
    pub async fn list_camera_settings(&self, after: Option<Cursor>, limit: usize) -> Result<Page<CameraSettings>> {
        let after = after.unwrap_or(Cursor::START);
        self.engine
            .read(move |db| {
                let rows = db.all(
                    &format!(
                        "SELECT {COLUMNS} FROM camera_settings WHERE (created_at, id) < (?, ?)
                     ORDER BY created_at DESC, id DESC LIMIT ?"
                    ),
                    &values![after.time_us, after.id, limit + 1],
                    |row| settings_from(row, 0),
                )?;
                Ok(Page::from_rows(rows, limit, |row| Cursor { time_us: row.created_at.as_microsecond(), id: row.id }))
            })
            .await
    }

    /// Replaces what people chose, if the settings are still as `expected_updated_at` saw them (`None`: however they
    /// are). [`Error::Conflict`] where somebody else changed them in between.
    pub async fn change_camera_settings(
        &self,
        id: Uuid,
        chosen: NewCameraSettings,
        expected_updated_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<CameraSettings> {
        self.engine
            .write(move |db| {
                let before = hold(db, id, db.for_update())?;
                if before.host_key.is_some() {
                    return Err(Error::Conflict("these settings are the app's: they are changed there".to_owned()));
                }
                if expected_updated_at.is_some_and(|expected| expected != before.updated_at) {
                    return Err(Error::Conflict(
                        "these settings were changed in the meantime; read them again".to_owned(),
                    ));
                }
                make_way_for_default(db, &chosen, id, now)?;
                // A clock set back must not let two states share a time: the gate compares it.
                let updated_at = now.as_microsecond().max(before.updated_at.as_microsecond() + 1);
                db.execute(
                    "UPDATE camera_settings SET setting_name = ?2, recording_mode = ?3, interval_seconds = ?4,
                     resolution = ?5, capture_on_button_click = ?6, capture_on_message_send = ?7,
                     capture_on_question_start = ?8, is_active = ?9, is_default = ?10, updated_at = ?11 WHERE id = ?1",
                    &values![
                        id,
                        chosen.setting_name,
                        chosen.recording_mode.as_str(),
                        chosen.interval_seconds,
                        chosen.resolution,
                        chosen.capture_on_button_click,
                        chosen.capture_on_message_send,
                        chosen.capture_on_question_start,
                        chosen.is_active,
                        chosen.is_default,
                        updated_at,
                    ],
                )
                .map_err(|error| taken(error, &chosen.setting_name))?;
                settings_by_id(db, id)
            })
            .await
    }
}
