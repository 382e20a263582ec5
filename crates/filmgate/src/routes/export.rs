//! `GET /api/v1/sessions/{id}/export` and `POST /api/v1/export`: photos and tables as one ZIP archive. Administrators
//! only.
//!
//! **Promises** that an archive which broke off in the middle never looks whole: the connection breaks too.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ProblemResponse;
use crate::app::App;
use crate::auth::Admin;
use crate::error::{Error, Result};
use crate::export::{self, ExportError, KEY_BYTES_MIN, Key, Names, Report, Scope};
use crate::extract::{Json, PathVariable, Query};

/// Exports at once: each reads photos as fast as its reader takes them, and uploads want the disk too.
const EXPORTS_MAX: usize = 2;
/// Pieces made ahead of the reader, of 128 KiB at most.
const PIECES_AHEAD: usize = 4;
/// Sessions that one request may name.
const SESSIONS_MAX: usize = 1_000;
/// What a key may have.
const KEY_BYTES_MAX: usize = 1_024;
/// Behind the archive, to those who take trailers (`TE: trailers`).
const OUTCOME: &str = "filmgate-export";

/// The exports under way. Cheap to clone.
#[derive(Clone)]
pub struct Exports(Arc<Semaphore>);

impl Default for Exports {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(EXPORTS_MAX)))
    }
}

/// How a session is exported.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// Ids under a key that nobody keeps, no names, no metadata in photos. Each export has other ones.
    #[serde(default)]
    #[param(default = false)]
    pseudonyms: bool,
}

/// What to export, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// These sessions; without it and `user_id`, everything.
    #[schema(min_items = 1, max_items = 1000)]
    session_ids: Option<Vec<Uuid>>,
    /// Every session of this user; beside `session_ids`, those of them that are this user's.
    user_id: Option<i64>,
    /// Ids under a key, no names, no metadata in photos.
    #[serde(default)]
    pseudonyms: bool,
    /// The key of pseudonyms, which there are then whatever `pseudonyms` says: the same key gives the same pseudonyms,
    /// and the same archive. Absent: one that nobody keeps.
    #[schema(min_length = 16, max_length = 1024, format = Password)]
    pseudonym_key: Option<String>,
}

impl ExportRequest {
    async fn scope(&self, app: &App) -> Result<Scope> {
        let Some(ids) = &self.session_ids else { return Ok(self.user_id.map_or(Scope::All, Scope::User)) };
        if !(1..=SESSIONS_MAX).contains(&ids.len()) {
            return Err(Error::invalid(format!("session_ids names 1 to {SESSIONS_MAX} sessions")));
        }
        let Some(user_id) = self.user_id else { return Ok(Scope::Sessions(ids.clone())) };
        let mut theirs = Vec::new();
        for id in ids {
            theirs
                .extend(app.records.session(*id).await?.filter(|found| found.user_id == user_id).map(|found| found.id));
        }
        Ok(Scope::Sessions(theirs))
    }

    fn names(&self) -> Result<Names> {
        match &self.pseudonym_key {
            None => names(self.pseudonyms),
            Some(key) if key.len() > KEY_BYTES_MAX => {
                Err(Error::invalid(format!("pseudonym_key has at most {KEY_BYTES_MAX} bytes")))
            }
            Some(key) => Key::of(key)
                .map(Names::Pseudonyms)
                .ok_or_else(|| Error::invalid(format!("pseudonym_key has at least {KEY_BYTES_MIN} bytes"))),
        }
    }
}

fn names(are_pseudonyms: bool) -> Result<Names> {
    if !are_pseudonyms {
        return Ok(Names::Stored);
    }
    Key::fresh().map(Names::Pseudonyms).map_err(Error::internal)
}

/// Export a session
///
/// A ZIP archive: photos, `captures.csv`, `sessions.csv`, and `manifest.json` with checksums, problems and a codebook.
/// Made twice of the same captures it is the same to the byte, but for pseudonyms under a fresh key. A photo that is
/// damaged is left out and named in the manifest. An archive that breaks off has no end, and no program opens it.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/export", operation_id = "export_session", tag = "Captures",
    params(("id" = Uuid, Path, description = "The session"), ExportQuery),
    responses((status = 200, description = "The archive. To `TE: trailers` the trailer `Filmgate-Export` says what is in it and what is not", content_type = "application/zip", body = Vec<u8>),
              (status = "default", response = ProblemResponse)))]
pub async fn of_session(
    State(app): State<App>,
    Extension(exports): Extension<Exports>,
    _: Admin,
    id: PathVariable,
    Query(query): Query<ExportQuery>,
) -> Result<Response> {
    let session = app.records.session(id.uuid()?).await?.ok_or_else(Error::not_found)?;
    answer(app, &exports, Scope::Sessions(vec![session.id]), names(query.pseudonyms)?)
}

/// Export sessions, a user's, or everything
///
/// As `GET /api/v1/sessions/{id}/export`, and with a key for pseudonyms, which an address could not hide. A session that
/// is not there is not in the archive.
#[utoipa::path(post, path = "/api/v1/export", operation_id = "export", tag = "Captures", request_body = ExportRequest,
    responses((status = 200, description = "The archive", content_type = "application/zip", body = Vec<u8>), (status = "default", response = ProblemResponse)))]
pub async fn export(
    State(app): State<App>,
    Extension(exports): Extension<Exports>,
    _: Admin,
    Json(request): Json<ExportRequest>,
) -> Result<Response> {
    let scope = request.scope(&app).await?;
    answer(app, &exports, scope, request.names()?)
}

fn answer(app: App, exports: &Exports, scope: Scope, names: Names) -> Result<Response> {
    let place = exports.0.clone().try_acquire_owned().map_err(|_| Error::exports_full().retry_in(30))?;
    let name = match &scope {
        Scope::Sessions(ids) if !names.are_pseudonyms() && ids.len() == 1 => format!("filmgate-{}.zip", ids[0]),
        _ => "filmgate-export.zip".to_owned(),
    };
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let work = tokio::spawn(async move { export::export(&app, &scope, &names, sender, |_| ()).await });
    let mut response = Body::new(StreamBody::new(frames(receiver, work, place))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::TRAILER, HeaderValue::from_static(OUTCOME));
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).map_err(Error::internal)?;
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

/// Where an answer is.
enum Sending {
    Pieces(mpsc::Receiver<Bytes>, JoinHandle<Result<Report, ExportError>>, OwnedSemaphorePermit),
    Ended,
}

/// The archive in pieces, then its outcome. Whoever drops it ends the work: its next piece has no reader.
fn frames(
    pieces: mpsc::Receiver<Bytes>,
    work: JoinHandle<Result<Report, ExportError>>,
    place: OwnedSemaphorePermit,
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, ExportError>> + Send {
    stream::try_unfold(Sending::Pieces(pieces, work, place), async |sending| {
        let Sending::Pieces(mut pieces, work, place) = sending else { return Ok(None) };
        if let Some(piece) = pieces.recv().await {
            return Ok(Some((Frame::data(piece), Sending::Pieces(pieces, work, place))));
        }
        match work.await {
            Ok(Ok(report)) => Ok(Some((Frame::trailers(outcome(&report)), Sending::Ended))),
            Ok(Err(error)) => {
                tracing::error!(%error, "an export broke off");
                Err(error)
            }
            Err(error) => {
                tracing::error!(%error, "an export broke off");
                Err(ExportError::ReaderLeft)
            }
        }
    })
}

fn outcome(report: &Report) -> HeaderMap {
    let Report { captures, photos, left_out, .. } = report;
    let said = format!("complete; captures={captures}; photos={photos}; left-out={left_out}");
    let mut trailers = HeaderMap::new();
    if let Ok(said) = HeaderValue::from_str(&said) {
        trailers.insert(HeaderName::from_static(OUTCOME), said);
    }
    trailers
}
