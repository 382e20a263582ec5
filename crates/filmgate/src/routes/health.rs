//! `/livez`, `/readyz`, `/metrics`: for whoever watches.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::ProblemResponse;
use crate::app::App;
use crate::config::Durability;
use crate::error::{Error, Result};

/// The process runs
///
/// Touches neither disk nor catalog: it answers as long as the process can answer at all.
#[utoipa::path(get, path = "/livez", tag = "Operation", security(()),
    responses((status = 200, description = "It runs", body = String, content_type = "text/plain"), (status = "default", response = ProblemResponse)))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// A command beside the server may hold the catalog for a moment.
const HELD_UP_MAX: Duration = Duration::from_secs(1);

/// A load balancer waits a few seconds itself.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether uploads should be sent here.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether every check passed.
    ready: bool,
    /// The checks that failed, in words.
    problems: Vec<String>,
}

/// Ready for uploads
///
/// Not while draining, with a photo store in S3 that is away, with too little disk, a full disk queue, a full house, a catalog that another program holds, or
/// a store that stopped after a failed fsync.
#[utoipa::path(get, path = "/readyz", tag = "Operation", security(()),
    responses((status = 200, description = "Ready", body = Readiness), (status = 503, description = "Not ready", body = Readiness),
              (status = "default", response = ProblemResponse)))]
pub async fn readyz(State(app): State<App>) -> Response {
    let problems = problems(&app).await;
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: problems.is_empty(), problems })).into_response()
}

/// The checks that fail just now, in words.
pub(super) async fn problems(app: &App) -> Vec<String> {
    let mut problems = Vec::new();
    if app.is_draining() {
        problems.push("draining: the server is about to stop".to_owned());
    }
    if app.records.is_stopped() || app.blobs.is_stopped() {
        problems.push("a write to disk failed; nothing is stored until restart".to_owned());
    }
    match app.blobs.free_bytes() {
        Ok(free) if free < app.config.ingest.free_bytes_min => {
            problems.push(format!("only {free} bytes are free on the photo disk (ingest.free_bytes_min)"));
        }
        Ok(_) => {}
        Err(error) => problems.push(format!("the photo disk cannot be asked: {error}")),
    }
    match tokio::time::timeout(STORE_TIMEOUT, app.blobs.ping()).await {
        Ok(Ok(())) => {}
        // Uploads go on: they are shipped later.
        Ok(Err(_)) | Err(_) if app.config.ingest.durability == Durability::Node => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            problems.push("the photo store cannot be reached (blobs.url); filmgate doctor says more".to_owned());
        }
        Err(_) => problems.push("the photo store does not answer (blobs.url)".to_owned()),
    }
    let (waiting, waiting_max) = app.blobs.queue();
    if waiting >= waiting_max {
        problems.push("the disk queue is full (ingest.disk_queue_max)".to_owned());
    }
    let (uploads, uploads_max) = app.intake.uploads_in_flight();
    if uploads >= uploads_max {
        problems.push("as many uploads are under way as are taken (ingest.uploads_in_flight_max)".to_owned());
    }
    if app.records.held_up() > HELD_UP_MAX {
        problems.push(if app.records.is_shared() {
            "the catalog's PostgreSQL server cannot be reached".to_owned()
        } else {
            "another program holds the catalog: stop it, or end its transaction".to_owned()
        });
    }
    if let Err(error) = app.records.ping().await {
        problems.push(format!("the catalog does not answer: {error}"));
    }
    problems
}

/// Metrics for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "Operation", security(()),
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
              (status = "default", response = ProblemResponse)))]
pub async fn metrics(State(app): State<App>) -> Result<Response> {
    let text = app.metrics.encode(app.blobs.free_bytes().ok()).map_err(Error::internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
