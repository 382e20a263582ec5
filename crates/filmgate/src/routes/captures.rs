//! `/api/v1/captures`: stored photos. Administrators only.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use records::Capture;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ProblemResponse;
use super::session_captures::scalar;
use crate::app::App;
use crate::auth::Admin;
use crate::error::{Error, Result};
use crate::extract::{PageQuery, PathVariable, Query};

/// A stored photo.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaptureDetail {
    /// UUIDv7.
    pub id: String,
    /// Its session.
    pub session_id: String,
    /// Unique.
    pub filename: String,
    /// Path of the photo on this server.
    pub url: String,
    /// True type, by the bytes.
    pub content_type: String,
    /// Bytes of the photo.
    pub file_size_bytes: u64,
    /// Width in pixels, as stored.
    pub width_px: u32,
    /// Height in pixels, as stored.
    pub height_px: u32,
    /// SHA-256 of the bytes, in hex.
    pub sha256: String,
    /// How the bytes are stored.
    pub blob_format: String,
    /// Why the frame was taken.
    pub capture_trigger: String,
    /// `PHQ`, `LLM` or `GENERAL`.
    pub assessment_type: String,
    /// The assessment it belongs to: a number, a text, or `null`.
    pub assessment_id: serde_json::Value,
    /// The client's clock, as sent.
    pub captured_at: Option<String>,
    /// When the server received it: UTC, ISO 8601, microseconds, no offset.
    pub timestamp: String,
    /// The settings that let it in; `null`: there were none.
    pub settings_snapshot: serde_json::Value,
    /// Everything the client said of it.
    #[schema(value_type = Object)]
    pub metadata: serde_json::Value,
}

impl From<Capture> for CaptureDetail {
    fn from(capture: Capture) -> Self {
        Self {
            id: capture.id.to_string(),
            session_id: capture.session_id.to_string(),
            url: super::file::url_of(&capture.filename),
            filename: capture.filename,
            content_type: capture.content_type,
            file_size_bytes: capture.blob.size_bytes,
            width_px: capture.width_px,
            height_px: capture.height_px,
            sha256: hex::encode(capture.blob.sha256),
            blob_format: capture.blob.format,
            capture_trigger: capture.trigger,
            assessment_type: capture.assessment_type.as_str().to_owned(),
            assessment_id: scalar(capture.assessment_id.as_deref()),
            captured_at: capture.captured_at,
            timestamp: intake::contract_time(capture.received_at),
            settings_snapshot: scalar(capture.settings_snapshot.as_deref()),
            metadata: scalar(Some(&capture.metadata)),
        }
    }
}

/// Which captures to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CapturesQuery {
    /// Of this session only.
    session_id: Option<Uuid>,
    /// Most items on the page; the server's own limit counts too.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
    /// `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
}

/// List captures
#[utoipa::path(get, path = "/api/v1/captures", operation_id = "list_captures", tag = "Captures", params(CapturesQuery),
    responses((status = 200, description = "A page of captures, newest first", body = super::Page<CaptureDetail>), (status = "default", response = ProblemResponse)))]
pub async fn list(
    State(app): State<App>,
    _: Admin,
    Query(query): Query<CapturesQuery>,
) -> Result<Answer<super::Page<CaptureDetail>>> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    Ok(super::Page::of(app.records.captures(query.session_id, page.cursor()?, page.limit(&app)?).await?, Into::into))
}

/// Show a capture
#[utoipa::path(get, path = "/api/v1/captures/{id}", operation_id = "show_capture", tag = "Captures",
    params(("id" = Uuid, Path, description = "The capture")),
    responses((status = 200, description = "The capture", body = CaptureDetail), (status = "default", response = ProblemResponse)))]
pub async fn show(State(app): State<App>, _: Admin, id: PathVariable) -> Result<Answer<CaptureDetail>> {
    Ok(Answer(app.records.capture(id.uuid()?).await?.ok_or_else(Error::not_found)?.into()))
}

/// Delete a capture
///
/// Row and bytes. A tombstone stays, and a retry with the `Idempotency-Key` of the first upload does not bring
/// the photo back.
#[utoipa::path(delete, path = "/api/v1/captures/{id}", operation_id = "delete_capture", tag = "Captures",
    params(("id" = Uuid, Path, description = "The capture")),
    responses((status = 204, description = "Deleted"), (status = "default", response = ProblemResponse)))]
pub async fn delete(State(app): State<App>, _: Admin, id: PathVariable) -> Result<StatusCode> {
    app.intake.delete_capture(id.uuid()?, "deleted by an administrator").await?;
    Ok(StatusCode::NO_CONTENT)
}
