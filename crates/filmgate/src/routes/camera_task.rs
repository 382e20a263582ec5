//! `GET /assessment/camera/tasks/{task_id}`: how far the processing of a capture is.

use axum::Json;
use axum::extract::State;
use records::TaskKind;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::session_captures::ListedCapture;
use super::tasks::StateName;
use super::{Data, SnafuResponse};
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::{Error, Result};
use crate::extract::PathVariable;

/// A task that processes a capture.
#[derive(Debug, Serialize, ToSchema)]
pub struct CameraTask {
    /// UUIDv7; the same through all attempts.
    task_id: String,
    /// How far it is, by Celery's names.
    state: StateName,
    /// Runs begun.
    attempts: u32,
    /// Its capture; `null`: deleted.
    #[schema(nullable)]
    capture: Option<ListedCapture>,
    /// What went wrong last, for a person.
    error: Option<String>,
}

/// How far a capture's processing is
///
/// Of tasks that process captures of your own sessions; an administrator sees those of everybody. A task that is
/// absent and another's are the same 404. An ended task is known for `jobs.keep_days`, a failed one until it is run
/// again or called off.
#[utoipa::path(get, path = "/assessment/camera/tasks/{task_id}", tag = "Captures of a page",
    params(("task_id" = Uuid, Path, description = "As given when the capture was queued")),
    responses((status = 200, description = "The task", body = Data<CameraTask>), (status = "default", response = SnafuResponse)))]
pub async fn camera_task(
    State(app): State<App>,
    caller: SignedIn,
    PathVariable(task_id): PathVariable,
) -> Result<Json<Data<CameraTask>>> {
    // What is no id is asked for like one that is not there.
    let id = Uuid::try_parse(&task_id).unwrap_or_default();
    let task = app.records.task(id).await?.ok_or_else(Error::not_found)?;
    // Deliveries and sweeps are no page's business, not even an administrator's: /api/v1/tasks shows them.
    if task.kind != TaskKind::Process || !(caller.is_admin() || task.user_id == Some(caller.user.id)) {
        return Err(Error::not_found());
    }
    let capture = match task.capture_id {
        Some(id) => app.records.capture(id).await?,
        None => None,
    };
    Ok(Data::ok(CameraTask {
        task_id: task.id.to_string(),
        state: task.state.into(),
        attempts: task.attempts,
        capture: capture.map(Into::into),
        error: task.error,
    }))
}
