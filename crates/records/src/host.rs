//! What the app around Filmgate says of its sessions, laid into the catalog, so that every gate and every transaction
//! goes by rows of the catalog alone.
//!
//! **Promises** that what is the same already is not written; that the first link of a capture stays, whoever made it.
//! **Leaves** to others: what the app says (`host`), and when that is to be believed (`filmgate`).

use jiff::Timestamp;
use uuid::Uuid;

use crate::camera_settings::hold;
use crate::db::{Db, values};
use crate::events;
use crate::sessions::gate_by_id;
use crate::users::optional;
use crate::{AssessmentType, NewCameraSettings, Records, Result, SessionGate};

/// A session of the app's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSession {
    /// Its id here.
    pub id: Uuid,
    /// The app's own key.
    pub key: String,
    /// Whose it is.
    pub user_id: i64,
    /// How its photos are taken.
    pub settings: Option<HostSettings>,
}

/// Camera settings of the app's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// Their id here.
    pub id: Uuid,
    /// The app's own key.
    pub key: String,
    /// What people chose there.
    pub chosen: NewCameraSettings,
}

/// What a capture belongs to, by the app's own table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLink {
    /// The capture's filename.
    pub filename: String,
    /// What kind of assessment.
    pub assessment_type: AssessmentType,
    /// Which one, as a JSON scalar.
    pub assessment_id: String,
}

impl HostSession {
    /// Whether the catalog says the same.
    pub fn is_as_in(&self, gate: &SessionGate) -> bool {
        let session = &gate.session;
        let settings = match (&self.settings, &gate.settings) {
            (None, None) => true,
            (Some(theirs), Some(ours)) => {
                theirs.id == ours.id
                    && ours.host_key.as_deref() == Some(&theirs.key)
                    && (ours.chosen == theirs.chosen || ours.chosen == theirs.renamed())
            }
            _ => false,
        };
        settings
            && session.user_id == self.user_id
            && session.host_key.as_deref() == Some(&self.key)
            && session.camera_settings_id == self.settings.as_ref().map(|settings| settings.id)
    }
}

impl HostSettings {
    /// As they are kept where other settings have their name: names are unique here, and need not be there.
    fn renamed(&self) -> NewCameraSettings {
        let setting_name = format!("{} ({})", self.chosen.setting_name, self.key);
        NewCameraSettings { setting_name, ..self.chosen.clone() }
    }
}

fn lay_in_settings(db: &Db<'_>, settings: &HostSettings, now: Timestamp) -> Result<()> {
    // Two at once must not both find a name free.
    db.hold_session(Uuid::nil())?;
    let taken: bool = db.scalar(
        "SELECT EXISTS (SELECT 1 FROM camera_settings WHERE setting_name = ? AND id <> ?)",
        &values![settings.chosen.setting_name, settings.id],
    )?;
    let chosen = if taken { settings.renamed() } else { settings.chosen.clone() };
    let before = optional(hold(db, settings.id, db.for_update()))?;
    if before.as_ref().is_some_and(|before| {
        before.host_key.as_deref() == Some(&settings.key)
            && (before.chosen == settings.chosen || before.chosen == settings.renamed())
    }) {
        return Ok(());
    }
    // A clock set back must not let two states share a time: the gate compares it.
    let after = before.map_or(i64::MIN, |before| before.updated_at.as_microsecond().saturating_add(1));
    db.execute(
        "INSERT INTO camera_settings (id, setting_name, recording_mode, interval_seconds, resolution,
             capture_on_button_click, capture_on_message_send, capture_on_question_start, is_active, is_default,
             host_key, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET setting_name = ?2, recording_mode = ?3, interval_seconds = ?4, resolution = ?5,
             capture_on_button_click = ?6, capture_on_message_send = ?7, capture_on_question_start = ?8,
             is_active = ?9, is_default = ?10, host_key = ?11, updated_at = ?13",
        &values![
            settings.id,
            chosen.setting_name,
            chosen.recording_mode.as_str(),
            chosen.interval_seconds,
            chosen.resolution,
            chosen.capture_on_button_click,
            chosen.capture_on_message_send,
            chosen.capture_on_question_start,
            chosen.is_active,
            chosen.is_default,
            settings.key,
            now.as_microsecond(),
            now.as_microsecond().max(after),
        ],
    )?;
    Ok(())
}

impl Records {
    /// Makes the catalog say of a session what the app says; the session as it is then. That it ended here stays.
    pub async fn lay_in_session(&self, session: HostSession, now: Timestamp) -> Result<SessionGate> {
        self.engine
            .write_again(move |db| {
                if let Some(gate) = gate_by_id(db, session.id)?
                    && session.is_as_in(&gate)
                {
                    return Ok(gate);
                }
                if let Some(settings) = &session.settings {
                    lay_in_settings(db, settings, now)?;
                }
                db.execute(
                    "INSERT INTO assessment_sessions (id, user_id, camera_settings_id, host_key, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (id) DO UPDATE SET user_id = ?2, camera_settings_id = ?3, host_key = ?4",
                    &values![
                        session.id,
                        session.user_id,
                        session.settings.as_ref().map(|settings| settings.id),
                        session.key,
                        now.as_microsecond()
                    ],
                )?;
                gate_by_id(db, session.id)?.ok_or(crate::Error::NotFound)
            })
            .await
    }

    /// Links captures of a session as the app has linked them, those that belong to nothing yet; how many.
    pub async fn lay_in_links(&self, session_id: Uuid, links: Vec<HostLink>, now: Timestamp) -> Result<usize> {
        if links.is_empty() {
            return Ok(0);
        }
        let sinks = self.sinks.clone();
        let outcome = self
            .engine
            .write_again(move |db| {
                let mut laid = 0;
                for link in &links {
                    let id: Option<Uuid> = db.optional(
                        "UPDATE captures SET assessment_type = ?3, assessment_id = ?4
                         WHERE filename = ?1 AND session_id = ?2 AND assessment_id IS NULL RETURNING id",
                        &values![link.filename, session_id, link.assessment_type.as_str(), link.assessment_id],
                        |row| row.get(0),
                    )?;
                    if let Some(id) = id {
                        laid += 1;
                        events::linked(db, &sinks, id, &link.assessment_id, now)?;
                    }
                }
                Ok(laid)
            })
            .await;
        self.tell_task_changes();
        outcome
    }
}
