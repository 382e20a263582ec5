//! `GET /assessment/camera/file/{filename}`: a photo or a smaller picture of it, to its owner and to administrators
//! alone.
//!
//! **Promises** that no byte is sent before all of them were compared with their checksum; that what was deleted or is
//! somebody else's is absent, whatever else the request says; that a photo which could not be decoded is not shown.

mod accept;
mod conditions;

use std::fs::File;
use std::io::Seek;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use intake::FileRefusal;
use records::{Capture, Derivative};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use self::conditions::Part;
use super::SnafuResponse;
use crate::app::App;
use crate::auth::SignedIn;
use crate::config::ServeFrom;
use crate::error::{Error, Result};
use crate::extract::{PathVariable, Query};

/// Bytes read from the disk at once.
const PIECE_BYTES: usize = 128 * 1024;
/// What the answers depend on beside their address: whose they are, and for pictures the format.
const VARY_ORIGINAL: &str = "Cookie, Authorization";
const VARY_DERIVATIVE: &str = "Accept, Cookie, Authorization";

/// Path of a photo on this server.
pub(super) fn url_of(filename: &str) -> String {
    format!("/assessment/camera/file/{filename}")
}

/// Path of a smaller picture of a photo.
pub(super) fn url_of_size(filename: &str, size: &str) -> String {
    format!("{}?size={size}", url_of(filename))
}

/// Which picture of a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Size {
    /// For lists: `processing.thumb_px` at most.
    Thumb,
    /// For looking at: `processing.preview_px` at most.
    Preview,
    /// The photo as stored.
    Original,
}

/// Which picture is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FileQuery {
    /// Absent: the photo as stored.
    #[param(value_type = Option<Size>, inline, nullable = false)]
    size: Option<String>,
}

impl FileQuery {
    fn size(&self) -> Result<Option<Size>> {
        match self.size.as_deref() {
            None => Ok(None),
            Some("thumb") => Ok(Some(Size::Thumb)),
            Some("preview") => Ok(Some(Size::Preview)),
            Some("original") => Ok(Some(Size::Original)),
            Some(_) => {
                let words = "size is thumb, preview or original";
                Err(Error::new(StatusCode::BAD_REQUEST, "malformed_query", words))
            }
        }
    }
}

/// What is to be served, before anything is read.
struct Representation {
    /// `None`: the photo itself.
    derivative: Option<Derivative>,
    content_type: String,
    etag: String,
    filename: String,
    vary: &'static str,
    is_attachment: bool,
}

/// The photo, or a smaller picture of it
///
/// To its owner and to administrators alone; absent and another's are the same 404. Its bytes are checked against
/// their checksum first: a damaged photo is a 500, never served.
///
/// `size=thumb` and `size=preview` are upright and without metadata: WebP where `Accept` names it (or `image/*`), else
/// JPEG. Before the photo is processed they are a 404 `not_processed_yet` with `Retry-After`; of a format that cannot
/// be decoded here, a 404 `no_derivative`. A photo that could not be decoded is in quarantine: a 409
/// `photo_quarantined` says why, and administrators may download it by `size=original`.
///
/// Where `blobs.serve` is "redirect", the photo itself is a 307 to a signed address in the bucket, good for
/// `blobs.signed_url_seconds`; smaller pictures come from here all the same.
///
/// One byte range is served (RFC 9110), with `If-Range`; several at once get the whole.
#[utoipa::path(get, path = "/assessment/camera/file/{filename}", tag = "Captures of a page",
    params(("filename" = String, Path, description = "As given when it was uploaded"), FileQuery,
           ("Accept" = Option<String>, Header, nullable = false, description = "The format of thumb and preview"),
           ("If-None-Match" = Option<String>, Header, nullable = false, description = "The ETags that are known"),
           ("If-Range" = Option<String>, Header, nullable = false, description = "The ETag of which a range is wanted"),
           ("Range" = Option<String>, Header, nullable = false, description = "One byte range, as in `bytes=0-1023`")),
    responses((status = 200, description = "The bytes, with their true type", content_type = "image/*", body = Vec<u8>,
                headers(("ETag" = String, description = "SHA-256 of the bytes, for `If-None-Match` and `If-Range`"),
                        ("Accept-Ranges" = String, description = "`bytes`"))),
              (status = 206, description = "The bytes of the range", content_type = "image/*", body = Vec<u8>,
                headers(("Content-Range" = String, description = "Which bytes, of how many"))),
              (status = 304, description = "Not changed"),
              (status = 307, description = "Where it is", headers(("Location" = String, description = "A signed address"))),
              (status = "default", response = SnafuResponse)))]
pub async fn file(
    State(app): State<App>,
    caller: SignedIn,
    PathVariable(filename): PathVariable,
    Query(query): Query<FileQuery>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let size = query.size()?;
    let capture = find(&app, &caller, filename.clone()).await?;
    match serve(&app, &caller, &capture, size, &method, &headers).await {
        // Deleted, processed anew or replaced since its row was read: what lies there now is what counts.
        Err(Unserved::Vanished(_)) => {
            let capture = find(&app, &caller, filename).await?;
            serve(&app, &caller, &capture, size, &method, &headers).await.map_err(Into::into)
        }
        served => served.map_err(Into::into),
    }
}

/// The caller's capture of this filename.
async fn find(app: &App, caller: &SignedIn, filename: String) -> Result<Capture> {
    let found = app.records.capture_by_filename(filename).await?;
    let (capture, owner) = found.ok_or_else(Error::not_found)?;
    if caller.is_admin() {
        return Ok(capture);
    }
    if owner != caller.user.id {
        return Err(Error::not_found());
    }
    if app.host.is_some() {
        // Theirs when it was last looked at; the app may have changed its mind.
        let session = app.records.session(capture.session_id).await?.ok_or_else(Error::not_found)?;
        return match app.intake.session(caller.uploader(), &session.key()).await {
            Err(intake::Refusal::SessionNotFound) => Err(Error::not_found()),
            found => Ok(found.map(|_| capture)?),
        };
    }
    Ok(capture)
}

/// Why a capture was not served.
enum Unserved {
    /// Its row is there and its bytes are not; and what to say if that is still so at a second look.
    Vanished(Error),
    Refused(Error),
}

impl From<Error> for Unserved {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Unserved> for Error {
    fn from(unserved: Unserved) -> Self {
        match unserved {
            Unserved::Vanished(error) | Unserved::Refused(error) => error,
        }
    }
}

impl From<FileRefusal> for Unserved {
    fn from(refusal: FileRefusal) -> Self {
        Self::Refused(match refusal {
            FileRefusal::Store(error @ blobs::Error::NotFound) => return Self::Vanished(Error::internal(error)),
            FileRefusal::Store(blobs::Error::NotShipped) => {
                return Self::Vanished(Error::not_shipped_yet().retry_in(5));
            }
            FileRefusal::Damaged => Error::damaged(),
            FileRefusal::Store(error @ (blobs::Error::Overloaded | blobs::Error::Unavailable(_))) => {
                intake::Refusal::from(error).into()
            }
            FileRefusal::Store(error) => Error::internal(error),
        })
    }
}

async fn serve(
    app: &App,
    caller: &SignedIn,
    capture: &Capture,
    size: Option<Size>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Unserved> {
    let representation = represent(app, caller, capture, size, headers).await?;
    if let Some(elsewhere) = elsewhere(app, capture, &representation, method, headers).await? {
        return Ok(elsewhere);
    }
    let mut response = if conditions::is_known(headers, &representation.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let (file, size_bytes) = match &representation.derivative {
            None => app.intake.open_photo(capture).await?,
            Some(derivative) => app.intake.open_derivative(capture, derivative).await?,
        };
        match conditions::part(method, headers, &representation.etag, size_bytes) {
            Part::Whole => bytes_of(app, file, size_bytes),
            Part::Range(first, last) => partial(app, file, first, last, size_bytes)?,
            Part::Unsatisfiable => {
                let range = [(header::CONTENT_RANGE, format!("bytes */{size_bytes}"))];
                return Ok((range, Error::range_not_satisfiable()).into_response());
            }
        }
    };
    describe(response.headers_mut(), &representation)?;
    Ok(response)
}

/// The way to the bucket, where policy allows it and all of the blob is what was asked for: derivatives share one.
async fn elsewhere(
    app: &App,
    capture: &Capture,
    representation: &Representation,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Response>, Unserved> {
    let blobs = &app.config.blobs;
    let is_whole = representation.derivative.is_none() && !representation.is_attachment;
    // A signature is for one method.
    let is_asked = *method == Method::GET && !conditions::is_known(headers, &representation.etag);
    if blobs.serve != ServeFrom::Redirect || !is_whole || !is_asked {
        return Ok(None);
    }
    let disposition = disposition_of(representation);
    let time = blobs.signed_url_time();
    let signed = app.blobs.signed_url(&capture.blob.key, time, &representation.content_type, &disposition).await;
    let Some(url) = signed.map_err(FileRefusal::Store)? else { return Ok(None) };
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, text(&url)?);
    headers.insert(header::VARY, HeaderValue::from_static(representation.vary));
    // The address opens the photo for whoever has it: it is neither kept nor told to the next host.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(Some(response))
}

fn disposition_of(representation: &Representation) -> String {
    let disposition = if representation.is_attachment { "attachment" } else { "inline" };
    format!("{disposition}; filename=\"{}\"", representation.filename)
}

/// Which of the pictures of a capture the request asks for.
async fn represent(
    app: &App,
    caller: &SignedIn,
    capture: &Capture,
    size: Option<Size>,
    headers: &HeaderMap,
) -> Result<Representation> {
    let is_quarantined = capture.processing.quarantined_at.is_some();
    let failure = capture.processing.failure.as_deref();
    if is_quarantined && !(size == Some(Size::Original) && caller.is_admin()) {
        return Err(Error::quarantined(failure));
    }
    let size = match size {
        None | Some(Size::Original) => {
            return Ok(Representation {
                derivative: None,
                content_type: capture.content_type.clone(),
                etag: format!("\"{}\"", hex::encode(capture.blob.sha256)),
                filename: capture.filename.clone(),
                vary: VARY_ORIGINAL,
                is_attachment: is_quarantined,
            });
        }
        Some(Size::Thumb) => "thumb",
        Some(Size::Preview) => "preview",
    };
    let mut found = app.records.derivatives(capture.id).await?;
    found.retain(|derivative| derivative.size == size);
    let is_webp = |derivative: &Derivative| derivative.content_type == "image/webp";
    let wants_webp = accept::wants_webp(headers);
    // A server that makes one format only gives that one: better than none.
    found.sort_by_key(|derivative| is_webp(derivative) != wants_webp);
    let Some(derivative) = found.into_iter().next() else {
        return Err(match capture.processing.processed_at {
            None => Error::not_processed_yet().retry_in(1),
            Some(_) => Error::no_derivative(failure),
        });
    };
    let extension = if is_webp(&derivative) { "webp" } else { "jpg" };
    Ok(Representation {
        content_type: derivative.content_type.clone(),
        etag: format!("\"{}\"", hex::encode(derivative.sha256)),
        filename: format!("{}.{size}.{extension}", capture.id),
        vary: VARY_DERIVATIVE,
        is_attachment: false,
        derivative: Some(derivative),
    })
}

/// Streams so many bytes of an open file, from where it stands.
fn bytes_of(app: &App, file: File, length: u64) -> Response {
    let blobs = app.blobs.clone();
    let pieces = futures_util::stream::try_unfold((blobs, file, length), async |(blobs, file, left)| {
        let wanted = PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES));
        if wanted == 0 {
            return Ok(None);
        }
        let (file, piece) = blobs.read_piece(file, wanted).await?;
        let left = left - piece.len() as u64;
        Ok::<_, blobs::Error>((!piece.is_empty()).then_some((piece, (blobs, file, left))))
    });
    let mut response = Body::from_stream(pieces).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

fn partial(app: &App, mut file: File, first: u64, last: u64, size_bytes: u64) -> Result<Response> {
    // Touches no disk: only the place where the next read begins. It stands where the picture begins.
    file.seek_relative(i64::try_from(first).map_err(Error::internal)?).map_err(Error::internal)?;
    let mut response = bytes_of(app, file, last - first + 1);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let range = text(&format!("bytes {first}-{last}/{size_bytes}"))?;
    response.headers_mut().insert(header::CONTENT_RANGE, range);
    Ok(response)
}

fn describe(headers: &mut HeaderMap, representation: &Representation) -> Result<()> {
    let disposition = disposition_of(representation);
    headers.insert(header::CONTENT_TYPE, text(&representation.content_type)?);
    headers.insert(header::CONTENT_DISPOSITION, text(&disposition)?);
    headers.insert(header::ETAG, text(&representation.etag)?);
    headers.insert(header::VARY, HeaderValue::from_static(representation.vary));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // In the participant's own browser, asked again each time: a deleted photo must not live on in a cache.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // A photo that is also a page or an archive stays a photo.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    Ok(())
}

fn text(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(Error::internal)
}
