//! `GET /api/v1/doctor`: what about this machine and configuration will hurt, in the words of `filmgate doctor`.
//! Administrators only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::{Extension, Json as Answer};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::ProblemResponse;
use crate::app::App;
use crate::auth::Admin;
use crate::doctor::{self, Finding};
use crate::error::Result;

/// An examination syncs the disk and asks the bucket: whoever asks sooner hears the last one again.
const FRESH: Duration = Duration::from_secs(10);

/// The last examination; one at once.
#[derive(Clone, Default)]
pub struct LastExamination(Arc<Mutex<Option<(Instant, Examination)>>>);

/// What was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Examination {
    /// Which node was examined.
    node: String,
    /// When, RFC 3339.
    examined_at: String,
    /// One for each thing that was looked at.
    findings: Vec<Finding>,
}

/// Examine the server
///
/// What `filmgate doctor` says, in the same words: descriptors, durability, clock, reachability, disk, bucket, decoding
/// and tasks. It writes a little to disk and bucket and removes it again; what is younger than ten seconds is told
/// again instead.
#[utoipa::path(get, path = "/api/v1/doctor", operation_id = "examine", tag = "Operation",
    responses((status = 200, description = "What was found", body = Examination), (status = "default", response = ProblemResponse)))]
pub async fn examine(
    State(app): State<App>,
    Extension(last): Extension<LastExamination>,
    _: Admin,
) -> Result<Answer<Examination>> {
    let mut last = last.0.lock().await;
    if let Some((when, examination)) = &*last
        && when.elapsed() < FRESH
    {
        return Ok(Answer(examination.clone()));
    }
    let mut findings = doctor::before_opening(&app.config);
    findings.extend(doctor::opened(&app).await?);
    let examination = Examination { node: app.figures.node(&app), examined_at: app.now().to_string(), findings };
    *last = Some((Instant::now(), examination.clone()));
    Ok(Answer(examination))
}
