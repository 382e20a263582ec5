//! `POST /assessment/camera/upload`: any number of frames in one form.

use std::pin::Pin;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use intake::{BodyError, FormKind, Receipt, Refusal, Skipped, StoredCapture, Upload};
use serde::Serialize;
use utoipa::ToSchema;

use super::prefer::Preferences;
use super::{SnafuResponse, Status};
use crate::app::App;
use crate::auth::SignedIn;
use crate::config::Mode;
use crate::error::{Error, Result};
use crate::listen::is_form;

/// What was stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct Uploaded {
    status: Status,
    /// `Uploaded N captures`
    message: String,
    /// The stored captures, in the form's order.
    captures: Vec<CaptureView>,
    /// Captures that the session's settings do not want: not stored, and no error.
    skipped: Vec<SkippedView>,
}

/// What was stored, told by the tasks that process it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queued {
    status: Status,
    /// `Queued N captures for processing`
    message: String,
    /// A task for each stored capture, in the form's order; `GET /assessment/camera/tasks/{task_id}` follows it.
    #[schema(value_type = Vec<Uuid>)]
    task_ids: Vec<String>,
    /// Captures that the session's settings do not want: not stored, and no error.
    skipped: Vec<SkippedView>,
}

/// One stored capture.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaptureView {
    /// UUIDv7.
    id: String,
    /// Unique; the last part of the photo's URL.
    filename: String,
    /// Why the frame was taken.
    trigger: String,
    /// When the server received it: UTC, ISO 8601, microseconds, no offset.
    timestamp: String,
    /// SHA-256 of the bytes as stored, in hex: compare it with your own.
    sha256: String,
}

/// One capture that was not wanted.
#[derive(Debug, Serialize, ToSchema)]
pub struct SkippedView {
    /// The part's name.
    key: String,
    /// Its trigger.
    trigger: String,
    /// Why, for a person.
    reason: String,
}

impl From<StoredCapture> for CaptureView {
    fn from(capture: StoredCapture) -> Self {
        Self {
            id: capture.id.to_string(),
            filename: capture.filename,
            trigger: capture.trigger,
            timestamp: capture.timestamp,
            sha256: capture.sha256,
        }
    }
}

impl From<Skipped> for SkippedView {
    fn from(skipped: Skipped) -> Self {
        Self { key: skipped.key, trigger: skipped.trigger, reason: skipped.reason }
    }
}

/// The form, as documented. Parts may come in any order.
#[derive(ToSchema)]
#[allow(dead_code)] // read as a stream, never as this
pub struct BatchForm {
    /// The assessment session.
    #[schema(format = Uuid)]
    session_id: String,
    /// A photo: JPEG, PNG, WebP or HEIC. Any number of `capture_<key>`.
    #[schema(nullable = false, format = Binary, content_media_type = "application/octet-stream")]
    capture_0: Option<String>,
    /// JSON about `capture_<key>`: `trigger` (default `MANUAL`), `phq_response_id`, `llm_conversation_id`,
    /// `captured_at` (ISO 8601), `timing` (object); unknown members are kept.
    #[schema(nullable = false)]
    metadata_0: Option<String>,
}

/// Upload frames
///
/// All captures of a request are stored or none is; a 2xx means that they, their rows and their tasks survive a power
/// cut. A capture whose trigger the session's camera settings do not want is skipped and named. Send an
/// `Idempotency-Key` to be able to send the same form again safely.
///
/// The answer names the captures (200) or the tasks that process them (202), as the server is configured
/// (`ingest.mode`) or the request asks by `Prefer` (RFC 7240): `respond-async` for the tasks, `wait=SECONDS` for the
/// captures, which are there at once whatever the number. Where both are stated, `respond-async` wins. A form sent
/// again is answered in the form that this request asks for; an answer that was kept by a version without tasks comes
/// as a 200.
///
/// Under pressure every answer, of whatever status, says what is asked of cameras: `Filmgate-Interval-Ms` and
/// `Filmgate-Quality`. An answer without them asks for nothing. Frames of events are refused last: say by
/// `Filmgate-Trigger: INTERVAL` which forms hold frames of the timer alone.
#[utoipa::path(post, path = "/assessment/camera/upload", tag = "Captures of a page",
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, pattern = "^[!-~]{1,255}$", description = "1 to 255 visible ASCII characters, unique for this form"),
           ("Prefer" = Option<String>, Header, nullable = false, description = "`respond-async` or `wait=SECONDS`; others are ignored"),
           ("Filmgate-Trigger" = Option<String>, Header, nullable = false, description = "`INTERVAL`: frames of the timer, which give way to those of events; anything else is ignored")),
    request_body(content = BatchForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Stored", body = Uploaded,
                headers(("Preference-Applied" = String, description = "`wait=SECONDS`, where the request asked for it"), ("Vary" = String, description = "`Prefer`"),
                        ("Filmgate-Interval-Ms" = u32, description = "Under pressure: frames of the timer no closer together than this"),
                        ("Filmgate-Quality" = f32, description = "Under more pressure: the JPEG quality of frames to come, from 0 to 1"))),
              (status = 202, description = "Stored, and told by its tasks", body = Queued,
                headers(("Preference-Applied" = String, description = "`respond-async`, where the request asked for it"), ("Vary" = String, description = "`Prefer`"),
                        ("Filmgate-Interval-Ms" = u32, description = "Under pressure: frames of the timer no closer together than this"),
                        ("Filmgate-Quality" = f32, description = "Under more pressure: the JPEG quality of frames to come, from 0 to 1"))),
              (status = "default", response = SnafuResponse)))]
pub async fn upload_batch(State(app): State<App>, caller: SignedIn, request: Request) -> Result<Response> {
    let preferences = Preferences::of(request.headers());
    let receipt = receive(&app, &caller, FormKind::Batch, request)?.await?;
    let replayed = receipt.replayed;
    // Kept by a version without tasks, an answer can only name captures.
    let has_tasks = receipt.task_ids.len() == receipt.captures.len();
    let names_tasks = has_tasks && preferences.wants_tasks(app.config.ingest.mode == Mode::Queued);
    let answer = if names_tasks { queued(receipt) } else { uploaded(receipt) };
    let mut response = with_replay_header(answer, replayed);
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Prefer"));
    if let Some(applied) = preferences.applied(names_tasks) {
        let applied = HeaderValue::from_str(&applied.to_string()).map_err(Error::internal)?;
        headers.insert("preference-applied", applied);
    }
    Ok(response)
}

fn uploaded(receipt: Receipt) -> Response {
    let answer = Uploaded {
        status: Status::Olkorect,
        message: format!("Uploaded {} captures", receipt.captures.len()),
        captures: receipt.captures.into_iter().map(Into::into).collect(),
        skipped: receipt.skipped.into_iter().map(Into::into).collect(),
    };
    Json(answer).into_response()
}

fn queued(receipt: Receipt) -> Response {
    let answer = Queued {
        status: Status::Olkorect,
        message: format!("Queued {} captures for processing", receipt.task_ids.len()),
        task_ids: receipt.task_ids.iter().map(ToString::to_string).collect(),
        skipped: receipt.skipped.into_iter().map(Into::into).collect(),
    };
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}

/// Hands a form to intake as it streams in. Boxed, and not async itself: what is made of the request, and the future of all
/// that follows, would be held more than once, by each future around it.
pub(super) fn receive(
    app: &App,
    caller: &SignedIn,
    kind: FormKind,
    request: Request,
) -> Result<Pin<Box<impl Future<Output = Result<Receipt, Refusal>>>>> {
    let headers = request.headers();
    let upload = Upload {
        uploader: caller.uploader(),
        kind,
        boundary: boundary(headers)?,
        content_length: headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()),
        idempotency_key: idempotency_key(headers)?,
        of_timer: super::hints::is_of_timer(headers),
    };
    let body = request.into_body().into_data_stream();
    Ok(Box::pin(app.intake.receive(upload, body.map(|chunk| chunk.map_err(|error| body_error(&error))))))
}

/// Says that the answer is an earlier one.
pub(super) fn with_replay_header(answer: impl IntoResponse, replayed: bool) -> Response {
    let mut response = answer.into_response();
    if replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

fn boundary(headers: &HeaderMap) -> Result<String> {
    if !is_form(headers) {
        return Err(Error::not_a_form());
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // Absent, it is the form that is malformed: intake says so.
    let parameters = kind.split(';').skip(1).filter_map(|parameter| parameter.trim().split_once('='));
    let boundary = parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"));
    Ok(boundary.map(|(_, value)| value.trim().trim_matches('"').to_owned()).unwrap_or_default())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    key.to_str().map(|key| Some(key.to_owned())).map_err(|_| Refusal::BadIdempotencyKey.into())
}

fn body_error(error: &axum::Error) -> BodyError {
    match crate::listen::body_timeout(error) {
        Some(timeout) => BodyError::TooSlow(timeout.to_string()),
        None => BodyError::Incomplete("the connection broke off".to_owned()),
    }
}
