//! `POST /assessment/camera/upload-single/{session_id}`: one frame.

use axum::extract::{Request, State};
use axum::response::Response;
use intake::FormKind;
use serde::Serialize;
use utoipa::ToSchema;

use super::upload_batch::{receive, with_replay_header};
use super::{Data, SnafuResponse};
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::{Error, Result};
use crate::extract::PathVariable;

/// The stored capture.
#[derive(Debug, Serialize, ToSchema)]
pub struct SingleUploaded {
    /// UUIDv7.
    capture_id: String,
    /// Unique; the last part of the photo's URL.
    filename: String,
    /// Why the frame was taken.
    trigger: String,
    /// When the server received it: UTC, ISO 8601, microseconds, no offset.
    timestamp: String,
}

/// The form, as documented.
#[derive(ToSchema)]
#[allow(dead_code)] // read as a stream, never as this
pub struct SingleForm {
    /// The photo: JPEG, PNG, WebP or HEIC.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    image: String,
    /// Why the frame was taken; default `unknown`.
    #[schema(nullable = false)]
    trigger: Option<String>,
    /// JSON object, kept as sent.
    #[schema(nullable = false)]
    timing: Option<String>,
}

/// Upload one frame
///
/// Refused (409) where the session has no active camera settings, or they do not want this trigger. Answers carry the
/// same hints as those of a batch.
#[utoipa::path(post, path = "/assessment/camera/upload-single/{session_id}", tag = "Captures of a page",
    params(("session_id" = Uuid, Path, description = "The assessment session"),
           ("Idempotency-Key" = Option<String>, Header, nullable = false, pattern = "^[!-~]{1,255}$", description = "1 to 255 visible ASCII characters, unique for this form"),
           ("Filmgate-Trigger" = Option<String>, Header, nullable = false, description = "`INTERVAL`: a frame of the timer, which gives way to those of events; anything else is ignored")),
    request_body(content = SingleForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Stored", body = Data<SingleUploaded>), (status = "default", response = SnafuResponse)))]
pub async fn upload_single(
    State(app): State<App>,
    caller: SignedIn,
    PathVariable(session_id): PathVariable,
    request: Request,
) -> Result<Response> {
    let receipt = receive(&app, &caller, FormKind::Single { session_id }, request)?.await?;
    let replayed = receipt.replayed;
    let stored = receipt.captures.into_iter().next().ok_or_else(|| Error::internal("a receipt without a capture"))?;
    let answer = SingleUploaded {
        capture_id: stored.id.to_string(),
        filename: stored.filename,
        trigger: stored.trigger,
        timestamp: stored.timestamp,
    };
    Ok(with_replay_header(Data::ok(answer), replayed))
}
