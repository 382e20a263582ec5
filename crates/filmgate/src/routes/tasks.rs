//! `/api/v1/tasks`: the work after an upload. Participants see what processes their own captures; administrators see
//! everything, run dead letters again and call tasks off.

use axum::Json as Answer;
use axum::extract::State;
use futures_util::future::join_all;
use records::{Task, TaskFilter, TaskKind, TaskState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ProblemResponse;
use crate::app::App;
use crate::auth::{Admin, SignedIn};
use crate::error::{Error, Result};
use crate::extract::{PageQuery, PathVariable, Query};

/// Dead letters run again by one request; each is a write of its own.
const RETRIES_MAX: usize = 1_000;
/// Of them at once: they share commits.
const RETRIES_AT_ONCE: usize = 100;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KindName {
    /// A capture is to be processed.
    Process,
    /// An event is to be delivered.
    Deliver,
    /// What is past its time is to be removed.
    Sweep,
}

/// How far a task is, by Celery's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum StateName {
    /// Not begun.
    Pending,
    /// A worker runs it.
    Started,
    /// It failed and will be run again.
    Retry,
    /// Done.
    Success,
    /// Given up: a dead letter.
    Failure,
    /// Called off.
    Revoked,
}

impl From<TaskKind> for KindName {
    fn from(kind: TaskKind) -> Self {
        match kind {
            TaskKind::Process => Self::Process,
            TaskKind::Deliver => Self::Deliver,
            TaskKind::Sweep => Self::Sweep,
        }
    }
}

impl From<KindName> for TaskKind {
    fn from(kind: KindName) -> Self {
        match kind {
            KindName::Process => Self::Process,
            KindName::Deliver => Self::Deliver,
            KindName::Sweep => Self::Sweep,
        }
    }
}

impl From<TaskState> for StateName {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::Pending => Self::Pending,
            TaskState::Started => Self::Started,
            TaskState::Retry => Self::Retry,
            TaskState::Success => Self::Success,
            TaskState::Failure => Self::Failure,
            TaskState::Revoked => Self::Revoked,
        }
    }
}

impl From<StateName> for TaskState {
    fn from(state: StateName) -> Self {
        match state {
            StateName::Pending => Self::Pending,
            StateName::Started => Self::Started,
            StateName::Retry => Self::Retry,
            StateName::Success => Self::Success,
            StateName::Failure => Self::Failure,
            StateName::Revoked => Self::Revoked,
        }
    }
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskView {
    /// UUIDv7; the same through all attempts. A delivery's is also the webhook's `webhook-id`.
    pub id: String,
    /// What is to be done.
    pub kind: KindName,
    /// How far it is.
    pub state: StateName,
    /// Its capture, which may be deleted by now.
    pub capture_id: Option<String>,
    /// Its capture's session.
    pub session_id: Option<String>,
    /// A delivery's sink, as named in the configuration.
    pub sink: Option<String>,
    /// Which event a delivery tells of.
    pub event: Option<String>,
    /// 0 is run first.
    pub priority: u32,
    /// Runs begun.
    pub attempts: u32,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// What went wrong last, for a person.
    pub error: Option<String>,
    /// When it was recorded, RFC 3339.
    pub created_at: String,
    /// When its last run began.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// It is not run before this.
    pub available_at: String,
    /// Until when its worker holds it without a sign of life.
    pub lease_expires_at: Option<String>,
}

impl From<Task> for TaskView {
    fn from(task: Task) -> Self {
        // Of an event its name alone goes out here: the rest is for who it is delivered to.
        let payload: Option<serde_json::Value> = task.payload.and_then(|text| serde_json::from_str(&text).ok());
        Self {
            id: task.id.to_string(),
            kind: task.kind.into(),
            state: task.state.into(),
            capture_id: task.capture_id.map(|id| id.to_string()),
            session_id: task.session_id.map(|id| id.to_string()),
            sink: task.sink,
            event: payload.and_then(|payload| payload["type"].as_str().map(str::to_owned)),
            priority: task.priority,
            attempts: task.attempts,
            worker: task.worker,
            error: task.error,
            created_at: task.created_at.to_string(),
            started_at: task.started_at.map(|time| time.to_string()),
            finished_at: task.finished_at.map(|time| time.to_string()),
            available_at: task.available_at.to_string(),
            lease_expires_at: task.lease_expires_at.map(|time| time.to_string()),
        }
    }
}

/// Which tasks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TasksQuery {
    /// In this state only.
    #[param(inline)]
    state: Option<StateName>,
    /// Of this kind only.
    #[param(inline)]
    kind: Option<KindName>,
    /// Of this session's captures only.
    session_id: Option<Uuid>,
    /// Of this capture only.
    capture_id: Option<Uuid>,
    /// To this sink only.
    sink: Option<String>,
    /// Most items on the page; the server's own limit counts too.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
    /// `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
}

/// Which dead letters to run again.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeadLetters {
    /// Of this kind only.
    #[param(inline)]
    kind: Option<KindName>,
    /// Of this session's captures only.
    session_id: Option<Uuid>,
    /// Of this capture only.
    capture_id: Option<Uuid>,
    /// To this sink only.
    sink: Option<String>,
}

/// What running dead letters again did.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct Retried {
    /// Tasks that are in line again.
    pub retried: usize,
    /// Dead letters that cannot be run again: their capture is deleted, or they were sweeps.
    pub refused: usize,
    /// Whether there are further ones: ask again.
    pub more: bool,
}

/// List tasks
///
/// Newest first. A participant's own, and of those what processes captures; an administrator's list has all.
#[utoipa::path(get, path = "/api/v1/tasks", operation_id = "list_tasks", tag = "Tasks", params(TasksQuery),
    responses((status = 200, description = "A page of tasks, newest first", body = super::Page<TaskView>), (status = "default", response = ProblemResponse)))]
pub async fn list(
    State(app): State<App>,
    caller: SignedIn,
    Query(query): Query<TasksQuery>,
) -> Result<Answer<super::Page<TaskView>>> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let mut filter = TaskFilter {
        kind: query.kind.map(Into::into),
        state: query.state.map(Into::into),
        capture_id: query.capture_id,
        session_id: query.session_id,
        user_id: None,
        sink: query.sink,
    };
    if !caller.is_admin() {
        if filter.kind.is_some_and(|kind| kind != TaskKind::Process) {
            return Ok(Answer(super::Page { items: Vec::new(), next_cursor: None }));
        }
        filter = TaskFilter { kind: Some(TaskKind::Process), user_id: Some(caller.user.id), ..filter };
    }
    Ok(super::Page::of(app.records.tasks(filter, page.cursor()?, page.limit(&app)?).await?, Into::into))
}

/// Show a task
#[utoipa::path(get, path = "/api/v1/tasks/{id}", operation_id = "show_task", tag = "Tasks",
    params(("id" = Uuid, Path, description = "The task")),
    responses((status = 200, description = "The task", body = TaskView), (status = "default", response = ProblemResponse)))]
pub async fn show(State(app): State<App>, caller: SignedIn, id: PathVariable) -> Result<Answer<TaskView>> {
    let task = app.records.task(Uuid::try_parse(&id.0).unwrap_or_default()).await?;
    let task = task.filter(|task| may_see(&caller, task)).ok_or_else(Error::not_found)?;
    Ok(Answer(task.into()))
}

/// Whether a task is for the caller's eyes.
pub(super) fn may_see(caller: &SignedIn, task: &Task) -> bool {
    caller.is_admin() || (task.kind == TaskKind::Process && task.user_id == Some(caller.user.id))
}

/// Run a task again
///
/// A dead letter or a revoked task, with all its attempts; its capture leaves quarantine. In any other state, or with
/// its capture deleted, it is a 409.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/retry", operation_id = "retry_task", tag = "Tasks",
    params(("id" = Uuid, Path, description = "The task")),
    responses((status = 200, description = "The task, in line again", body = TaskView), (status = "default", response = ProblemResponse)))]
pub async fn retry(State(app): State<App>, _: Admin, id: PathVariable) -> Result<Answer<TaskView>> {
    Ok(Answer(app.records.retry_task(id.uuid()?, app.now()).await?.into()))
}

/// Call a task off
///
/// Whoever runs it just now has lost it: nothing of that run takes effect. Calling it off again changes nothing; one
/// that succeeded is a 409.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/revoke", operation_id = "revoke_task", tag = "Tasks",
    params(("id" = Uuid, Path, description = "The task")),
    responses((status = 200, description = "The task, called off", body = TaskView), (status = "default", response = ProblemResponse)))]
pub async fn revoke(State(app): State<App>, _: Admin, id: PathVariable) -> Result<Answer<TaskView>> {
    Ok(Answer(app.records.revoke_task(id.uuid()?, app.now()).await?.into()))
}

/// Run dead letters again
///
/// Those that fit the filter, newest first, a thousand at most; `more` says that there are others. Each is a write of
/// its own: where the request breaks off, those answered for so far are in line and the rest are as they were.
#[utoipa::path(post, path = "/api/v1/tasks/retry", operation_id = "retry_tasks", tag = "Tasks", params(DeadLetters),
    responses((status = 200, description = "What was done", body = Retried), (status = "default", response = ProblemResponse)))]
pub async fn retry_all(
    State(app): State<App>,
    _: Admin,
    Query(letters): Query<DeadLetters>,
) -> Result<Answer<Retried>> {
    let filter = TaskFilter {
        kind: letters.kind.map(Into::into),
        session_id: letters.session_id,
        capture_id: letters.capture_id,
        sink: letters.sink,
        ..TaskFilter::default()
    };
    Ok(Answer(retry_dead_letters(&app, filter).await?))
}

/// Runs the dead letters again that fit the filter, a thousand of them at most.
pub async fn retry_dead_letters(app: &App, filter: TaskFilter) -> records::Result<Retried> {
    let filter = TaskFilter { state: Some(TaskState::Failure), ..filter };
    let letters = app.records.tasks(filter, None, RETRIES_MAX).await?;
    let mut done = Retried { more: letters.next_cursor.is_some(), ..Retried::default() };
    for some in letters.items.chunks(RETRIES_AT_ONCE) {
        for outcome in join_all(some.iter().map(|task| app.records.retry_task(task.id, app.now()))).await {
            match outcome {
                Ok(_) => done.retried += 1,
                Err(records::Error::Conflict(_) | records::Error::NotFound) => done.refused += 1,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(done)
}
