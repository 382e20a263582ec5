//! `/api/v1/camera-settings`: how photos are taken. Administrators; the app's backend may read.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use records::{CameraSettings, NewCameraSettings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ProblemResponse;
use super::tokens::check_name;
use crate::app::App;
use crate::auth::{Admin, Manager};
use crate::error::{Error, Result};
use crate::extract::{Json, PageQuery, PathVariable, Query};

/// Camera settings; member names are the app's own.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_excessive_bools)] // the app's own members
pub struct SettingsView {
    /// Their id.
    pub id: String,
    /// What people call them.
    pub setting_name: String,
    /// When frames are taken.
    pub recording_mode: RecordingMode,
    /// Seconds between frames, in interval mode.
    pub interval_seconds: Option<u32>,
    /// Width and height in pixels.
    #[schema(example = "1280x720")]
    pub resolution: String,
    /// Event mode: a frame at each click.
    pub capture_on_button_click: bool,
    /// Event mode: a frame at each message sent.
    pub capture_on_message_send: bool,
    /// Event mode: a frame as each question starts.
    pub capture_on_question_start: bool,
    /// Inactive settings count as none.
    pub is_active: bool,
    /// Given to sessions that are registered without naming settings.
    pub is_default: bool,
}

/// When frames are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecordingMode {
    /// One frame every `interval_seconds`.
    Interval,
    /// One frame at each event that is switched on.
    EventDriven,
}

impl SettingsView {
    /// Under the app's own key, where the app has one.
    pub fn for_page(settings: CameraSettings) -> Self {
        let key = settings.host_key.clone();
        let view = Self::from(settings);
        Self { id: key.unwrap_or(view.id), ..view }
    }
}

impl From<CameraSettings> for SettingsView {
    fn from(settings: CameraSettings) -> Self {
        let chosen = settings.chosen;
        Self {
            id: settings.id.to_string(),
            setting_name: chosen.setting_name,
            recording_mode: match chosen.recording_mode {
                records::RecordingMode::Interval => RecordingMode::Interval,
                records::RecordingMode::EventDriven => RecordingMode::EventDriven,
            },
            interval_seconds: chosen.interval_seconds,
            resolution: chosen.resolution,
            capture_on_button_click: chosen.capture_on_button_click,
            capture_on_message_send: chosen.capture_on_message_send,
            capture_on_question_start: chosen.capture_on_question_start,
            is_active: chosen.is_active,
            is_default: chosen.is_default,
        }
    }
}

/// Settings to make, or members to change; one that is absent stays, or takes its default.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSettings {
    /// 1 to 100 characters, unique. Needed for new settings.
    #[schema(min_length = 1, max_length = 100)]
    pub setting_name: Option<String>,
    /// Needed for new settings.
    pub recording_mode: Option<RecordingMode>,
    /// At least 1; needed for `INTERVAL`.
    #[schema(minimum = 1, maximum = 86400)]
    pub interval_seconds: Option<u32>,
    /// Width and height in pixels; default `1280x720`.
    #[schema(pattern = "^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$")]
    pub resolution: Option<String>,
    /// Default `false`.
    pub capture_on_button_click: Option<bool>,
    /// Default `false`.
    pub capture_on_message_send: Option<bool>,
    /// Default `false`.
    pub capture_on_question_start: Option<bool>,
    /// Default `true`.
    pub is_active: Option<bool>,
    /// Default `false`; `true` takes it from the settings that were the default.
    pub is_default: Option<bool>,
}

/// Settings to make.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // documents what [`ChangeSettings::to_new`] asks for
struct NewSettings {
    /// 1 to 100 characters, unique.
    setting_name: String,
    /// When frames are taken.
    recording_mode: RecordingMode,
    /// The rest, as in a change.
    #[serde(flatten)]
    rest: ChangeSettings,
}

impl ChangeSettings {
    /// New settings.
    ///
    /// # Errors
    /// Says what is missing or does not fit.
    pub fn to_new(&self) -> Result<NewCameraSettings> {
        let needed = |what: &str| Error::invalid(format!("{what} is needed"));
        let mode = self.recording_mode.ok_or_else(|| needed("recording_mode"))?;
        let blank = NewCameraSettings {
            setting_name: self.setting_name.clone().ok_or_else(|| needed("setting_name"))?,
            recording_mode: mode.into(),
            interval_seconds: None,
            resolution: "1280x720".to_owned(),
            capture_on_button_click: false,
            capture_on_message_send: false,
            capture_on_question_start: false,
            is_active: true,
            is_default: false,
        };
        self.over(blank)
    }

    /// These settings with the named members changed.
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn over(&self, mut settings: NewCameraSettings) -> Result<NewCameraSettings> {
        let set = |target: &mut bool, value: Option<bool>| *target = value.unwrap_or(*target);
        if let Some(name) = &self.setting_name {
            settings.setting_name.clone_from(name);
        }
        if let Some(mode) = self.recording_mode {
            settings.recording_mode = mode.into();
        }
        settings.interval_seconds = self.interval_seconds.or(settings.interval_seconds);
        if let Some(resolution) = &self.resolution {
            settings.resolution.clone_from(resolution);
        }
        set(&mut settings.capture_on_button_click, self.capture_on_button_click);
        set(&mut settings.capture_on_message_send, self.capture_on_message_send);
        set(&mut settings.capture_on_question_start, self.capture_on_question_start);
        set(&mut settings.is_active, self.is_active);
        set(&mut settings.is_default, self.is_default);
        check(&settings)?;
        Ok(settings)
    }
}

impl From<RecordingMode> for records::RecordingMode {
    fn from(mode: RecordingMode) -> Self {
        match mode {
            RecordingMode::Interval => Self::Interval,
            RecordingMode::EventDriven => Self::EventDriven,
        }
    }
}

/// The rules of the app's own model.
fn check(settings: &NewCameraSettings) -> Result<()> {
    check_name("setting_name", &settings.setting_name)?;
    match settings.interval_seconds {
        Some(0) => return Err(Error::invalid("interval_seconds is at least 1")),
        Some(86_401..) => return Err(Error::invalid("interval_seconds is at most 86400, a day")),
        None if settings.recording_mode == records::RecordingMode::Interval => {
            return Err(Error::invalid("interval_seconds is needed for INTERVAL"));
        }
        _ => {}
    }
    let side = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') && text.len() >= 2;
        plain && text.parse::<u32>().is_ok_and(|side| side <= 99_999)
    };
    match settings.resolution.split_once('x') {
        Some((width, height)) if side(width) && side(height) => Ok(()),
        _ => Err(Error::invalid("resolution is width and height in pixels, as in 1280x720")),
    }
}

/// Names one state of the settings, for `If-Match`.
fn etag(settings: &CameraSettings) -> String {
    format!("\"{:x}\"", settings.updated_at.as_microsecond())
}

fn answer(status: StatusCode, settings: CameraSettings) -> Response {
    let etag = [(header::ETAG, etag(&settings))];
    (status, etag, Answer(SettingsView::from(settings))).into_response()
}

/// List camera settings
#[utoipa::path(get, path = "/api/v1/camera-settings", operation_id = "list_camera_settings", tag = "Camera settings", params(PageQuery),
    responses((status = 200, description = "A page of settings, newest first", body = super::Page<SettingsView>), (status = "default", response = ProblemResponse)))]
pub async fn list(
    State(app): State<App>,
    _: Manager,
    Query(page): Query<PageQuery>,
) -> Result<Answer<super::Page<SettingsView>>> {
    Ok(super::Page::of(app.records.list_camera_settings(page.cursor()?, page.limit(&app)?).await?, Into::into))
}

/// Make camera settings
#[utoipa::path(post, path = "/api/v1/camera-settings", operation_id = "create_camera_settings", tag = "Camera settings", request_body = NewSettings,
    responses((status = 201, description = "Made", body = SettingsView,
                headers(("Location" = String, description = "Path of what was made"), ("ETag" = String, description = "Names this state, for `If-Match`"))), (status = "default", response = ProblemResponse)))]
pub async fn create(State(app): State<App>, _: Admin, Json(new): Json<ChangeSettings>) -> Result<Response> {
    let settings = app.records.create_camera_settings(Uuid::now_v7(), new.to_new()?, app.now()).await?;
    let location = format!("/api/v1/camera-settings/{}", settings.id);
    Ok(([(header::LOCATION, location)], answer(StatusCode::CREATED, settings)).into_response())
}

/// Show camera settings
#[utoipa::path(get, path = "/api/v1/camera-settings/{id}", operation_id = "show_camera_settings", tag = "Camera settings",
    params(("id" = Uuid, Path, description = "The settings")),
    responses((status = 200, description = "The settings", body = SettingsView,
                headers(("ETag" = String, description = "Names this state, for `If-Match`"))), (status = "default", response = ProblemResponse)))]
pub async fn show(State(app): State<App>, _: Manager, id: PathVariable) -> Result<Response> {
    let settings = app.records.camera_settings(id.uuid()?).await?.ok_or_else(Error::not_found)?;
    Ok(answer(StatusCode::OK, settings))
}

/// Change camera settings
///
/// Also to deactivate them (`is_active: false`) or make them the default (`is_default: true`). With `If-Match` it is
/// a 412 if somebody else changed them in between. Uploads under way are gated by the new settings.
#[utoipa::path(patch, path = "/api/v1/camera-settings/{id}", operation_id = "change_camera_settings", tag = "Camera settings",
    params(("id" = Uuid, Path, description = "The settings"),
           ("If-Match" = Option<String>, Header, nullable = false, description = "The ETag that was read")),
    request_body = ChangeSettings,
    responses((status = 200, description = "The settings, changed", body = SettingsView,
                headers(("ETag" = String, description = "Names this state, for `If-Match`"))), (status = "default", response = ProblemResponse)))]
pub async fn change(
    State(app): State<App>,
    _: Admin,
    id: PathVariable,
    headers: HeaderMap,
    Json(change): Json<ChangeSettings>,
) -> Result<Response> {
    let before = app.records.camera_settings(id.uuid()?).await?.ok_or_else(Error::not_found)?;
    let expected: Option<Timestamp> = match headers.get(header::IF_MATCH).map(axum::http::HeaderValue::as_bytes) {
        None | Some(b"*") => None,
        Some(tag) if tag == etag(&before).as_bytes() => Some(before.updated_at),
        Some(_) => return Err(Error::precondition_failed()),
    };
    let chosen = change.over(before.chosen)?;
    // Whatever was read is what is changed, even without If-Match: two editors must not mix their members.
    let expected = expected.or(Some(before.updated_at));
    Ok(answer(StatusCode::OK, app.records.change_camera_settings(before.id, chosen, expected, app.now()).await?))
}
