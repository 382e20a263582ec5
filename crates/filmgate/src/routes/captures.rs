//! `/api/v1/captures`: stored photos. Administrators only.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use records::{Capture, CaptureFilter, Derivative};
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
    /// What processing made of it.
    pub processing: ProcessingView,
}

/// What processing made of a capture, or why it did not.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProcessingView {
    /// `PENDING`: not processed yet (its task says more). `SUCCESS`: done. `FAILURE`: it could not be, and its photo
    /// is in quarantine.
    #[schema(value_type = ProcessingState)]
    pub state: &'static str,
    /// Why it failed, or why there are no derivatives; for a person.
    pub error: Option<String>,
    /// When it was processed last, RFC 3339.
    pub processed_at: Option<String>,
    /// Width in pixels, upright.
    pub width_px: Option<u32>,
    /// Height in pixels, upright.
    pub height_px: Option<u32>,
    /// The camera's clock, by Exif; without offset where the camera wrote none.
    pub taken_at: Option<String>,
    /// What to show while a picture loads: ThumbHash, in base64.
    pub placeholder: Option<String>,
    /// The larger, the sharper.
    pub sharpness: Option<f64>,
    /// 0 (black) to 1 (white).
    pub brightness: Option<f64>,
    /// 64 bits in hex; those of pictures that look alike differ in few bits.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    pub perceptual_hash: Option<String>,
    /// The frame before it in its session, where that is nearly the same.
    pub near_duplicate_of: Option<String>,
    /// Whether its photo is kept aside and not shown, because it could not be processed.
    pub is_quarantined: bool,
    /// SHA-256 of the photo as received, in hex, where one without metadata took its place.
    pub received_sha256: Option<String>,
    /// Pictures made of it.
    pub derivatives: Vec<DerivativeView>,
}

/// How far processing is, by Celery's names.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
#[allow(dead_code)] // documents a text
enum ProcessingState {
    Pending,
    Success,
    Failure,
}

/// A picture made of a photo.
#[derive(Debug, Serialize, ToSchema)]
pub struct DerivativeView {
    /// `thumb` or `preview`.
    pub size: String,
    /// Its type.
    pub content_type: String,
    /// Its width in pixels.
    pub width_px: u32,
    /// Its height in pixels.
    pub height_px: u32,
    /// Its bytes.
    pub size_bytes: u64,
    /// Where it is served; which of the formats, `Accept` says.
    pub url: String,
}

impl ProcessingView {
    fn of(filename: &str, processing: records::Processing, derivatives: Vec<Derivative>) -> Self {
        let is_quarantined = processing.quarantined_at.is_some();
        Self {
            state: match processing.processed_at {
                _ if is_quarantined => "FAILURE",
                Some(_) => "SUCCESS",
                None => "PENDING",
            },
            error: processing.failure,
            processed_at: processing.processed_at.map(|time| time.to_string()),
            width_px: processing.width_px,
            height_px: processing.height_px,
            taken_at: processing.taken_at,
            placeholder: processing.placeholder.map(|hash| BASE64.encode(hash)),
            sharpness: processing.sharpness,
            brightness: processing.brightness,
            perceptual_hash: processing.perceptual_hash.map(|hash| format!("{hash:016x}")),
            near_duplicate_of: processing.near_duplicate_of.map(|id| id.to_string()),
            is_quarantined,
            received_sha256: processing.received_sha256.map(hex::encode),
            derivatives: derivatives.into_iter().map(|derivative| DerivativeView::of(filename, derivative)).collect(),
        }
    }
}

impl DerivativeView {
    fn of(filename: &str, derivative: Derivative) -> Self {
        Self {
            url: super::file::url_of_size(filename, &derivative.size),
            size: derivative.size,
            content_type: derivative.content_type,
            width_px: derivative.width_px,
            height_px: derivative.height_px,
            size_bytes: derivative.size_bytes,
        }
    }
}

impl CaptureDetail {
    /// The capture, and what was made of it.
    pub fn of(capture: Capture, derivatives: Vec<Derivative>) -> Self {
        Self {
            processing: ProcessingView::of(&capture.filename, capture.processing, derivatives),
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
    /// At least this sharp.
    sharpness_min: Option<f64>,
    /// At most this sharp.
    sharpness_max: Option<f64>,
    /// At least this bright: 0 to 1.
    brightness_min: Option<f64>,
    /// At most this bright: 0 to 1.
    brightness_max: Option<f64>,
    /// Nearly the same as the frame before it in its session, or not.
    near_duplicate: Option<bool>,
    /// In quarantine because it could not be processed, or not.
    quarantined: Option<bool>,
    /// Processed, or not.
    processed: Option<bool>,
}

impl CapturesQuery {
    fn filter(&self) -> Result<CaptureFilter> {
        let bounds = [self.sharpness_min, self.sharpness_max, self.brightness_min, self.brightness_max];
        // Not a number compares with nothing, and the catalog would take it for no filter at all.
        if bounds.into_iter().flatten().any(|bound| !bound.is_finite()) {
            return Err(Error::new(StatusCode::BAD_REQUEST, "malformed_query", "A bound is a plain number"));
        }
        Ok(CaptureFilter {
            session_id: self.session_id,
            sharpness_min: self.sharpness_min,
            sharpness_max: self.sharpness_max,
            brightness_min: self.brightness_min,
            brightness_max: self.brightness_max,
            is_near_duplicate: self.near_duplicate,
            is_quarantined: self.quarantined,
            is_processed: self.processed,
        })
    }
}

/// Captures with what was made of each.
pub async fn details(app: &App, captures: Vec<Capture>) -> records::Result<Vec<CaptureDetail>> {
    let derivatives = app.records.derivatives_of(captures.iter().map(|capture| capture.id).collect()).await?;
    Ok(captures.into_iter().zip(derivatives).map(|(capture, made)| CaptureDetail::of(capture, made)).collect())
}

/// List captures
///
/// A capture that is not processed yet has neither sharpness nor brightness, and fits no bound of them.
#[utoipa::path(get, path = "/api/v1/captures", operation_id = "list_captures", tag = "Captures", params(CapturesQuery),
    responses((status = 200, description = "A page of captures, newest first", body = super::Page<CaptureDetail>), (status = "default", response = ProblemResponse)))]
pub async fn list(
    State(app): State<App>,
    _: Admin,
    Query(query): Query<CapturesQuery>,
) -> Result<Answer<super::Page<CaptureDetail>>> {
    let filter = query.filter()?;
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let captures = app.records.captures(filter, page.cursor()?, page.limit(&app)?).await?;
    Ok(Answer(super::Page {
        items: details(&app, captures.items).await?,
        next_cursor: captures.next_cursor.map(|cursor| cursor.to_string()),
    }))
}

/// Show a capture
#[utoipa::path(get, path = "/api/v1/captures/{id}", operation_id = "show_capture", tag = "Captures",
    params(("id" = Uuid, Path, description = "The capture")),
    responses((status = 200, description = "The capture", body = CaptureDetail), (status = "default", response = ProblemResponse)))]
pub async fn show(State(app): State<App>, _: Admin, id: PathVariable) -> Result<Answer<CaptureDetail>> {
    let capture = app.records.capture(id.uuid()?).await?.ok_or_else(Error::not_found)?;
    let derivatives = app.records.derivatives(capture.id).await?;
    Ok(Answer(CaptureDetail::of(capture, derivatives)))
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
