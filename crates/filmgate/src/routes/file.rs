//! `GET /assessment/camera/file/{filename}`: the photo, to its owner and to administrators alone.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use intake::FileRefusal;

use super::SnafuResponse;
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::{Error, Result};
use crate::extract::PathVariable;

/// Bytes read from the disk at once.
const PIECE_BYTES: usize = 128 * 1024;

/// Path of a photo on this server.
pub(super) fn url_of(filename: &str) -> String {
    format!("/assessment/camera/file/{filename}")
}

/// The photo
///
/// To its owner and to administrators alone; absent and another's are the same 404. Its bytes are checked against
/// their checksum first: a damaged photo is a 500, never served.
#[utoipa::path(get, path = "/assessment/camera/file/{filename}", tag = "Captures of a page",
    params(("filename" = String, Path, description = "As given when it was uploaded"),
           ("If-None-Match" = Option<String>, Header, nullable = false, description = "The ETag that is known")),
    responses((status = 200, description = "The bytes as uploaded, with their true type", content_type = "image/*", body = Vec<u8>,
                headers(("ETag" = String, description = "SHA-256 of the bytes, for `If-None-Match`"))),
              (status = 304, description = "Not changed"),
              (status = "default", response = SnafuResponse)))]
pub async fn file(
    State(app): State<App>,
    caller: SignedIn,
    PathVariable(filename): PathVariable,
    headers: HeaderMap,
) -> Result<Response> {
    let found = app.records.capture_by_filename(filename).await?;
    let (capture, owner) = found.ok_or_else(Error::not_found)?;
    if !caller.is_admin() && owner != caller.user.id {
        return Err(Error::not_found());
    }
    let etag = format!("\"{}\"", hex::encode(capture.blob.sha256));
    let unchanged = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let (file, size_bytes) = app.intake.open_photo(&capture).await.map_err(|refusal| match refusal {
            FileRefusal::Damaged => Error::damaged(),
            FileRefusal::Store(blobs::Error::Overloaded) => intake::Refusal::Overloaded.into(),
            FileRefusal::Store(error) => Error::internal(error),
        })?;
        let blobs = app.blobs.clone();
        let pieces = futures_util::stream::try_unfold((blobs, file), async |(blobs, file)| {
            let (file, piece) = blobs.read_piece(file, PIECE_BYTES).await?;
            Ok::<_, blobs::Error>((!piece.is_empty()).then_some((piece, (blobs, file))))
        });
        let mut response = Body::from_stream(pieces).into_response();
        response.headers_mut().insert(header::CONTENT_LENGTH, size_bytes.into());
        response
    };
    let text = |text: &str| HeaderValue::from_str(text).map_err(Error::internal);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, text(&capture.content_type)?);
    headers.insert(header::ETAG, text(&etag)?);
    // In the participant's own browser, asked again each time: a deleted photo must not live on in a cache.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // A photo that is also a page or an archive stays a photo.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::CONTENT_DISPOSITION, text(&format!("inline; filename=\"{}\"", capture.filename))?);
    Ok(response)
}
