//! The app's own database for the other rooms: who its users are, which sessions it has, and its table of captures.
//!
//! **Owns** what of `host` becomes of `identity`, `intake` and `records`, and the other way round.
//! **Promises** that a session is let in only as the app told of it within the times that are configured; that the
//! app's table becomes like the catalog whatever order deliveries come in, and however often.
//! **Leaves** to others: SQL and the cache (`host`), when a delivery is run again (`jobs`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use host::{AppCapture, AppLink, AppSession, AppSettings, Error, Host, HostOptions, Put, TableNames};
use identity::{AppUser, Directory, DirectoryError};
use intake::{Refusal, SessionSource};
use jobs::Outcome;
use records::{
    AssessmentType, Capture, Effect, HostLink, HostSession, HostSettings, NewCameraSettings, RecordingMode, Records,
    Session, SessionGate, Task,
};
use uuid::Uuid;

use crate::app::system_clock;
use crate::config;

/// Longest wait of a delivery while the app's database is away.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a delivery looks again, because its capture changed while it was written.
const ROUNDS: usize = 4;

/// The app's database. Cheap to clone.
#[derive(Clone)]
pub struct AppDatabase {
    host: Host,
    records: Records,
    has_captures: bool,
}

/// The settings, as `host` takes them.
pub fn options(config: &config::Host) -> HostOptions {
    let renamed = |pairs: &[String]| {
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        pairs.map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned())).collect()
    };
    let mut options = HostOptions::new(config.database_url.expose());
    options.timeout = config.timeout();
    options.connections_max = config.connections_max;
    options.cache = config.cache();
    options.verified_for = config.verified_for();
    options.users = host::UserNames {
        table: config.users_table.clone(),
        id: config.user_id_column.clone(),
        name: config.username_column.clone(),
        active: config.user_active_column.clone(),
        active_values: config.user_active_values.clone(),
        admin: config.user_admin_column.clone(),
        admin_values: config.user_admin_values.clone(),
        query: config.user_query.clone(),
    };
    options.sessions = host::SessionNames {
        table: config.sessions_table.clone(),
        id: config.session_id_column.clone(),
        user: config.session_user_column.clone(),
        settings: config.session_settings_column.clone(),
        query: config.session_query.clone(),
    };
    options.settings = TableNames {
        table: config.settings_table.clone(),
        renamed: renamed(&config.settings_columns),
        query: config.settings_query.clone(),
    };
    if !config.captures_table.is_empty() {
        options.captures.table.clone_from(&config.captures_table);
    }
    options.captures.renamed = renamed(&config.captures_columns);
    options
}

impl AppDatabase {
    /// The way to it, where one is configured. Connects to nothing yet.
    ///
    /// # Errors
    /// Says which of the settings cannot be.
    pub fn open(config: &config::Host, records: Records) -> anyhow::Result<Option<Self>> {
        if config.database_url.is_empty() {
            return Ok(None);
        }
        let host = Host::new(options(config))?;
        Ok(Some(Self { host, records, has_captures: !config.captures_table.is_empty() }))
    }

    /// The app's rows themselves.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What the app has linked by itself in its own table is linked here too.
    ///
    /// # Errors
    /// Where the app's table cannot be read: then nobody knows what is linked.
    pub async fn see_links(&self, session: &Session) -> Result<(), Refusal> {
        if !self.has_captures {
            return Ok(());
        }
        let links = self.host.links(&session.key()).await.map_err(refusal)?;
        self.lay_in(session.id, links).await.map_err(Refusal::from)
    }

    async fn lay_in(&self, session_id: Uuid, links: Vec<AppLink>) -> records::Result<()> {
        let link = |link: AppLink| HostLink {
            filename: link.filename,
            assessment_type: match link.assessment_type.to_ascii_uppercase().as_str() {
                "PHQ" => AssessmentType::Phq,
                "LLM" => AssessmentType::Llm,
                _ => AssessmentType::General,
            },
            assessment_id: link.assessment_id,
        };
        self.records.lay_in_links(session_id, links.into_iter().map(link).collect(), system_clock()).await.map(drop)
    }

    /// Of these captures of a session, named by the app's own keys, the filenames.
    ///
    /// # Errors
    /// Where the app's table cannot be read.
    pub async fn filenames(&self, session: &Session, keys: &[String]) -> Result<Vec<String>, Refusal> {
        if keys.is_empty() || !self.has_captures {
            return Ok(Vec::new());
        }
        let pairs = self.host.filenames(&session.key(), keys).await.map_err(refusal)?;
        Ok(pairs.into_iter().map(|(_, filename)| filename).collect())
    }

    /// Makes the app's table say of a capture what the catalog says now, whatever the event was.
    pub async fn deliver(&self, task: &Task) -> Outcome {
        let (Some(id), Some(session_id)) = (task.capture_id, task.session_id) else {
            return Outcome::Failure { error: "the delivery names no capture".to_owned() };
        };
        let filename = task.payload.as_deref().and_then(|payload| {
            let event: serde_json::Value = serde_json::from_str(payload).ok()?;
            event["data"]["filename"].as_str().map(str::to_owned)
        });
        match self.write(id, session_id, filename.unwrap_or_default()).await {
            Ok(true) => Outcome::Success(Effect::None),
            Ok(false) => Outcome::Postpone {
                error: "the capture kept changing while it was written".to_owned(),
                after: Duration::from_secs(1),
            },
            Err(Unwritten::Catalog(error)) => {
                Outcome::Postpone { error: error.to_string(), after: Duration::from_secs(1) }
            }
            // Its turn comes again, until the database is there: no attempt is counted.
            Err(Unwritten::Host(error @ Error::Unavailable(_))) => {
                Outcome::Postpone { error: error.to_string(), after: wait(task) }
            }
            Err(Unwritten::Host(error)) => Outcome::Retry { error: error.to_string(), after: None },
        }
    }

    /// Whether it is written, and the capture the same still.
    async fn write(&self, id: Uuid, session_id: Uuid, filename: String) -> Result<bool, Unwritten> {
        let Some(session) = self.records.session(session_id).await? else { return Ok(true) };
        let key = session.key();
        let mut capture = self.records.capture(id).await?;
        for _ in 0..ROUNDS {
            let written = capture.as_ref().map(|capture| capture.assessment_id.clone());
            match capture {
                Some(capture) => {
                    if let Put::LinkedByApp(link) = self.host.put_capture(&for_app(capture, &key)).await? {
                        self.lay_in(session_id, vec![link]).await?;
                        return Ok(true);
                    }
                }
                None => drop(self.host.delete_capture(&key, id, &filename).await?),
            }
            // Deleted or linked meanwhile, perhaps by another delivery that came too early to find the row.
            capture = self.records.capture(id).await?;
            if capture.as_ref().map(|capture| capture.assessment_id.clone()) == written {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

enum Unwritten {
    Catalog(records::Error),
    Host(Error),
}

impl From<records::Error> for Unwritten {
    fn from(error: records::Error) -> Self {
        Self::Catalog(error)
    }
}

impl From<Error> for Unwritten {
    fn from(error: Error) -> Self {
        Self::Host(error)
    }
}

/// The longer it waits already, the longer; and not all at the same moment.
fn wait(task: &Task) -> Duration {
    let age = system_clock().duration_since(task.created_at).unsigned_abs();
    let wait = (age / 4).clamp(Duration::from_millis(500), WAIT_MAX);
    let jitter = u32::from(task.id.as_bytes()[15]);
    (wait * (192 + jitter / 4) / 256).max(Duration::from_millis(500))
}

fn for_app(capture: Capture, session_key: &str) -> AppCapture {
    AppCapture {
        id: capture.id,
        session_key: session_key.to_owned(),
        filename: capture.filename,
        file_size_bytes: capture.blob.size_bytes,
        capture_trigger: capture.trigger,
        timestamp: capture.received_at,
        assessment_id: capture.assessment_id,
        assessment_type: capture.assessment_type.as_str().to_owned(),
        camera_settings_snapshot: capture.settings_snapshot.map(|snapshot| snapshot_for_app(&snapshot)),
    }
}

/// The settings under the app's own key, a number where it is one.
fn snapshot_for_app(snapshot: &str) -> String {
    let Ok(serde_json::Value::Object(mut members)) = serde_json::from_str(snapshot) else { return snapshot.to_owned() };
    if let Some(serde_json::Value::String(key)) = members.remove("host_key") {
        let id = key.parse::<i64>().map_or_else(|_| key.into(), Into::into);
        members.insert("id".to_owned(), id);
    }
    serde_json::Value::Object(members).to_string()
}

#[allow(clippy::needless_pass_by_value)] // as map_err hands it on
fn refusal(error: Error) -> Refusal {
    match error {
        // Tables that do not fit may be in the middle of a change; the log says what is wrong with them.
        Error::Unavailable(_) | Error::Schema(_) => Refusal::HostUnavailable(error.to_string()),
        Error::Rejected(_) | Error::Options(_) => Refusal::Internal(error.to_string()),
    }
}

fn of_app(session: &AppSession) -> HostSession {
    HostSession {
        id: session.id,
        key: session.key.clone(),
        user_id: session.user_id,
        settings: session.settings.as_ref().map(settings_of_app),
    }
}

fn settings_of_app(settings: &AppSettings) -> HostSettings {
    HostSettings {
        id: settings.id,
        key: settings.key.clone(),
        chosen: NewCameraSettings {
            setting_name: settings.setting_name.clone(),
            recording_mode: match settings.recording_mode {
                host::RecordingMode::Interval => RecordingMode::Interval,
                host::RecordingMode::EventDriven => RecordingMode::EventDriven,
            },
            interval_seconds: settings.interval_seconds,
            resolution: settings.resolution.clone(),
            capture_on_button_click: settings.capture_on_button_click,
            capture_on_message_send: settings.capture_on_message_send,
            capture_on_question_start: settings.capture_on_question_start,
            is_active: settings.is_active,
            is_default: settings.is_default,
        },
    }
}

#[async_trait]
impl SessionSource for AppDatabase {
    async fn gate(&self, key: &str) -> Result<Option<SessionGate>, Refusal> {
        let Some(session) = self.session(key).await? else { return Ok(None) };
        let session = of_app(&session);
        if let Some(gate) = self.records.session_gate(session.id).await?
            && session.is_as_in(&gate)
        {
            return Ok(Some(gate));
        }
        Ok(Some(self.records.lay_in_session(session, system_clock()).await?))
    }

    fn doubt(&self) -> Option<Refusal> {
        self.host.away().map(refusal)
    }
}

impl AppDatabase {
    /// The app's session of this key, or of Filmgate's own id for it.
    async fn session(&self, key: &str) -> Result<Option<Arc<AppSession>>, Refusal> {
        if let Some(session) = self.host.session(key).await.map_err(refusal)? {
            return Ok(Some(session));
        }
        let Ok(id) = Uuid::try_parse(key) else { return Ok(None) };
        match self.records.session(id).await?.and_then(|session| session.host_key) {
            Some(theirs) if Uuid::try_parse(&theirs) != Ok(id) => self.host.session(&theirs).await.map_err(refusal),
            _ => Ok(None),
        }
    }
}

#[async_trait]
impl Directory for AppDatabase {
    async fn app_user(&self, id: i64) -> Result<Option<AppUser>, DirectoryError> {
        match self.host.user(id).await {
            Ok(user) => Ok(user.map(|user| AppUser {
                id: user.id,
                username: user.username,
                is_active: user.is_active,
                is_admin: user.is_admin,
            })),
            Err(error @ (Error::Unavailable(_) | Error::Schema(_))) => {
                Err(DirectoryError::Unavailable(error.to_string()))
            }
            Err(error) => Err(DirectoryError::Broken(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::snapshot_for_app;

    #[test]
    fn a_snapshot_names_settings_as_the_app_does() {
        let with = |key: &str| format!(r#"{{"host_key":"{key}","id":"x","resolution":"1x1"}}"#);
        for (key, id) in [("7", serde_json::json!(7)), ("a7", serde_json::json!("a7"))] {
            let snapshot: serde_json::Value = serde_json::from_str(&snapshot_for_app(&with(key))).unwrap();
            assert_eq!(snapshot, serde_json::json!({"id": id, "resolution": "1x1"}));
        }
        assert_eq!(snapshot_for_app(r#"{"id":"x"}"#), r#"{"id":"x"}"#);
        assert_eq!(snapshot_for_app("no json"), "no json");
    }
}
