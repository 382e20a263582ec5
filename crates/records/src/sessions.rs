//! Assessment sessions: whose they are, and which camera settings they use.

use crate::db::{Conditions, Db, Row, Value, values};
use jiff::Timestamp;
use uuid::Uuid;

use crate::camera_settings::{self, CameraSettings, default_settings, settings_from};
use crate::users::{optional, timestamp};
use crate::{Cursor, Error, Page, Records, Result};

/// One assessment session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id; the app may have made it.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: i64,
    /// How its photos are taken.
    pub camera_settings_id: Option<Uuid>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it ended; an ended session takes no more captures.
    pub ended_at: Option<Timestamp>,
    /// The app's own key, where it came from the app's database.
    pub host_key: Option<String>,
}

impl Session {
    /// What the app calls it: its own key, or the id.
    pub fn key(&self) -> String {
        self.host_key.clone().unwrap_or_else(|| self.id.to_string())
    }
}

/// What a capture is gated by: a session with its camera settings, seen in one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionGate {
    /// The session.
    pub session: Session,
    /// Its settings, active or not.
    pub settings: Option<CameraSettings>,
}

/// Which settings a new session gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsChoice {
    /// The default ones, where there are any.
    Default,
    /// These, or none.
    Chosen(Option<Uuid>),
}

/// What registering a session did.
#[derive(Clone, Debug)]
pub enum Registered {
    /// It is new.
    Created(Session),
    /// It was there already, with the same user.
    Unchanged(Session),
}

const COLUMNS: &str = "assessment_sessions.id, user_id, camera_settings_id, assessment_sessions.created_at, ended_at, \
     assessment_sessions.host_key";
/// The first column after those of a session.
const NEXT_COLUMN: usize = 6;

fn session_from(row: &Row<'_>) -> Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        user_id: row.get(1)?,
        camera_settings_id: row.get(2)?,
        created_at: timestamp(row.get(3)?),
        ended_at: row.get::<Option<i64>>(4)?.map(timestamp),
        host_key: row.get(5)?,
    })
}

fn session_by_id(db: &Db<'_>, id: Uuid) -> Result<Session> {
    hold(db, id, "")
}

/// This session; with a lock, as it stays until this request is committed.
fn hold(db: &Db<'_>, id: Uuid, lock: &str) -> Result<Session> {
    let sql = format!("SELECT {COLUMNS} FROM assessment_sessions WHERE id = ?{lock}");
    db.one(&sql, &values![id], session_from)
}

pub(crate) fn gate_by_id(db: &Db<'_>, id: Uuid) -> Result<Option<SessionGate>> {
    db.optional(
        &format!(
            "SELECT {COLUMNS}, {} FROM assessment_sessions
         LEFT JOIN camera_settings ON camera_settings.id = camera_settings_id WHERE assessment_sessions.id = ?",
            camera_settings::COLUMNS
        ),
        &values![id],
        |row| {
            let has_settings = row.value(NEXT_COLUMN)? != Value::Null;
            let settings = has_settings.then(|| settings_from(row, NEXT_COLUMN)).transpose()?;
            Ok(SessionGate { session: session_from(row)?, settings })
        },
    )
}

/// The gate, as it stays until this request is committed: whoever ends the session or changes its settings waits.
pub(crate) fn hold_gate(db: &Db<'_>, id: Uuid) -> Result<Option<SessionGate>> {
    let Some(session) = optional(hold(db, id, db.for_share()))? else { return Ok(None) };
    let settings = match session.camera_settings_id {
        Some(id) => Some(camera_settings::hold(db, id, db.for_share())?),
        None => None,
    };
    Ok(Some(SessionGate { session, settings }))
}

fn check_settings_exist(db: &Db<'_>, id: Option<Uuid>) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    let exists: bool =
        db.one("SELECT EXISTS (SELECT 1 FROM camera_settings WHERE id = ?)", &values![id], |row| row.get(0))?;
    if exists { Ok(()) } else { Err(Error::Conflict(format!("there are no camera settings {id}"))) }
}

impl Records {
    /// Registers a session. The same id with the same user again changes nothing; with another user it is an
    /// [`Error::Conflict`].
    pub async fn register_session(
        &self,
        id: Uuid,
        user_id: i64,
        settings: SettingsChoice,
        now: Timestamp,
    ) -> Result<Registered> {
        self.engine
            .write(move |db| {
                if let Some(existing) = optional(session_by_id(db, id))? {
                    let same = existing.user_id == user_id
                        && match settings {
                            SettingsChoice::Default => true,
                            SettingsChoice::Chosen(chosen) => chosen == existing.camera_settings_id,
                        };
                    return if same {
                        Ok(Registered::Unchanged(existing))
                    } else {
                        Err(Error::Conflict(
                            "a session of this id is registered with another user or other settings".to_owned(),
                        ))
                    };
                }
                let camera_settings_id = match settings {
                    SettingsChoice::Default => default_settings(db)?,
                    SettingsChoice::Chosen(chosen) => chosen,
                };
                check_settings_exist(db, camera_settings_id)?;
                db.execute(
                    "INSERT INTO assessment_sessions (id, user_id, camera_settings_id, created_at) VALUES (?, ?, ?, ?)",
                    &values![id, user_id, camera_settings_id, now.as_microsecond()],
                )?;
                Ok(Registered::Created(session_by_id(db, id)?))
            })
            .await
    }

    /// The session of this id.
    pub async fn session(&self, id: Uuid) -> Result<Option<Session>> {
        self.engine.read(move |db| optional(session_by_id(db, id))).await
    }

    /// The session of this id with its settings.
    pub async fn session_gate(&self, id: Uuid) -> Result<Option<SessionGate>> {
        self.remembered.gates.or_ask(&self.engine, id, move |db| gate_by_id(db, id)).await
    }

    /// Sessions, newest first; of one user where `user_id` says so.
    pub async fn sessions(&self, user_id: Option<i64>, after: Option<Cursor>, limit: usize) -> Result<Page<Session>> {
        let after = after.unwrap_or(Cursor::START);
        self.engine
            .read(move |db| {
                let first = format!("SELECT {COLUMNS} FROM assessment_sessions WHERE (created_at, id) < (?1, ?2)");
                let mut asked = Conditions::new(&first, &values![after.time_us, after.id]);
                asked.and("user_id = ?", user_id.as_ref());
                let (sql, values) = asked.end("ORDER BY created_at DESC, id DESC", limit + 1);
                let rows = db.all(&sql, &values, session_from)?;
                Ok(Page::from_rows(rows, limit, |row| Cursor { time_us: row.created_at.as_microsecond(), id: row.id }))
            })
            .await
    }

    /// Sessions by id, those after `after`; of one user where `user_id` says so: all of them in steps, always in the same
    /// order.
    pub async fn sessions_by_id(&self, user_id: Option<i64>, after: Uuid, limit: usize) -> Result<Vec<Session>> {
        self.engine
            .read(move |db| {
                let first = format!("SELECT {COLUMNS} FROM assessment_sessions WHERE assessment_sessions.id > ?1");
                let mut asked = Conditions::new(&first, &values![after]);
                asked.and("user_id = ?", user_id.as_ref());
                let (sql, values) = asked.end("ORDER BY assessment_sessions.id", limit);
                db.all(&sql, &values, session_from)
            })
            .await
    }

    /// Gives a session other settings, or none.
    pub async fn set_session_settings(&self, id: Uuid, camera_settings_id: Option<Uuid>) -> Result<Session> {
        self.engine
            .write(move |db| {
                if session_by_id(db, id)?.host_key.is_some() {
                    return Err(Error::Conflict(
                        "this session is the app's: its settings are changed there".to_owned(),
                    ));
                }
                check_settings_exist(db, camera_settings_id)?;
                db.execute(
                    "UPDATE assessment_sessions SET camera_settings_id = ? WHERE id = ?",
                    &values![camera_settings_id, id],
                )?;
                session_by_id(db, id)
            })
            .await
    }

    /// Ends a session: it takes no more captures. Ending it again changes nothing.
    pub async fn end_session(&self, id: Uuid, now: Timestamp) -> Result<Session> {
        self.engine
            .write(move |db| {
                db.execute(
                    "UPDATE assessment_sessions SET ended_at = coalesce(ended_at, ?) WHERE id = ?",
                    &values![now.as_microsecond(), id],
                )?;
                session_by_id(db, id)
            })
            .await
    }
}
