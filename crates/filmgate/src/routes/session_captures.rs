//! `GET /assessment/camera/session/{session_id}`: the session's captures, by time.

use axum::Json;
use axum::extract::State;
use records::Capture;
use serde::Serialize;
use utoipa::ToSchema;

use super::{SnafuResponse, Status, owned};
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::Result;
use crate::extract::PathVariable;

/// A session's captures.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionCaptures {
    status: Status,
    /// The session.
    session_id: String,
    /// The captures, oldest first.
    captures: Vec<ListedCapture>,
    /// How many there are.
    total_captures: usize,
}

/// One capture of a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedCapture {
    /// UUIDv7.
    id: String,
    /// Unique.
    filename: String,
    /// Path of the photo on this server.
    url: String,
    /// When the server received it: UTC, ISO 8601, microseconds, no offset.
    timestamp: String,
    /// Why the frame was taken.
    capture_trigger: String,
    /// Bytes of the photo.
    file_size_bytes: u64,
    /// `PHQ`, `LLM` or `GENERAL`.
    assessment_type: String,
    /// The assessment it belongs to, as the app named it: a number, a text, or `null`.
    assessment_id: serde_json::Value,
}

impl From<Capture> for ListedCapture {
    fn from(capture: Capture) -> Self {
        Self {
            id: capture.id.to_string(),
            url: super::file::url_of(&capture.filename),
            timestamp: intake::contract_time(capture.received_at),
            capture_trigger: capture.trigger,
            file_size_bytes: capture.blob.size_bytes,
            assessment_type: capture.assessment_type.as_str().to_owned(),
            assessment_id: scalar(capture.assessment_id.as_deref()),
            filename: capture.filename,
        }
    }
}

/// An assessment's id as it was given: number or text.
pub(super) fn scalar(stored: Option<&str>) -> serde_json::Value {
    stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// A session's captures
#[utoipa::path(get, path = "/assessment/camera/session/{session_id}", tag = "Captures of a page",
    params(("session_id" = Uuid, Path, description = "The assessment session")),
    responses((status = 200, description = "The captures", body = SessionCaptures), (status = "default", response = SnafuResponse)))]
pub async fn session_captures(
    State(app): State<App>,
    caller: SignedIn,
    PathVariable(session_id): PathVariable,
) -> Result<Json<SessionCaptures>> {
    let gate = owned::session(&app, &caller, &session_id).await?;
    let captures = app.records.captures_of_session(gate.session.id).await?;
    Ok(Json(SessionCaptures {
        status: Status::Olkorect,
        session_id: gate.session.key(),
        total_captures: captures.len(),
        captures: captures.into_iter().map(Into::into).collect(),
    }))
}
