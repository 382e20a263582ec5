//! `/api/v1/sessions`: assessment sessions. Administrators, and the app's backend by a service token.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use records::{Registered, Session, SettingsChoice};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ProblemResponse;
use crate::app::App;
use crate::auth::Manager;
use crate::error::{Error, Result};
use crate::extract::{Json, PageQuery, PathVariable, Query};

/// An assessment session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user_id: i64,
    /// How its photos are taken.
    pub camera_settings_id: Option<String>,
    /// Captures stored.
    pub total_captures: u64,
    /// When it was registered, RFC 3339.
    pub created_at: String,
    /// When it ended; an ended session takes no more captures.
    pub ended_at: Option<String>,
}

impl SessionView {
    /// The session, with its captures counted.
    pub async fn count(app: &App, session: &Session) -> records::Result<Self> {
        let counts = app.records.capture_counts(vec![session.id]).await?;
        Ok(Self::of(session, counts.first().copied().unwrap_or(0)))
    }

    fn of(session: &Session, total_captures: u64) -> Self {
        Self {
            id: session.id.to_string(),
            user_id: session.user_id,
            camera_settings_id: session.camera_settings_id.map(|id| id.to_string()),
            total_captures,
            created_at: session.created_at.to_string(),
            ended_at: session.ended_at.map(|time| time.to_string()),
        }
    }
}

/// A session to register.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// Whose it is.
    user_id: i64,
    /// How its photos are taken. Absent: the default settings, where there are any; `null`: none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = Uuid)]
    #[allow(clippy::option_option)] // absent is not `null` here
    camera_settings_id: Option<Option<Uuid>>,
}

/// What to change of a session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSession {
    /// Other settings; `null`: none.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(value_type = Option<String>, format = Uuid, required)]
    camera_settings_id: Option<Uuid>,
}

/// Tells an absent member from a `null` one.
#[allow(clippy::option_option)]
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<Uuid>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Which sessions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SessionsQuery {
    /// Of this user only.
    user_id: Option<i64>,
    /// Most items on the page; the server's own limit counts too.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
    /// `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)] // documents the variable; extract::PathVariable reads it
struct SessionId {
    /// The session.
    id: Uuid,
}

async fn register_as(app: &App, id: Uuid, new: &NewSession) -> Result<Response> {
    // An app's users are the app's: without its database, any number may be one.
    let is_there = if app.identity.is_of_an_app() {
        new.user_id >= 0 && app.identity.app_user(new.user_id).await?.is_some()
    } else {
        app.records.user(new.user_id).await?.is_some()
    };
    if !is_there {
        return Err(Error::invalid(format!("There is no user {}", new.user_id)));
    }
    let choice = new.camera_settings_id.map_or(SettingsChoice::Default, SettingsChoice::Chosen);
    let registered = app.records.register_session(id, new.user_id, choice, app.now()).await?;
    let (status, session) = match registered {
        Registered::Created(session) => (StatusCode::CREATED, session),
        Registered::Unchanged(session) => (StatusCode::OK, session),
    };
    let location = [(header::LOCATION, format!("/api/v1/sessions/{}", session.id))];
    Ok((status, location, Answer(SessionView::count(app, &session).await?)).into_response())
}

/// List sessions
#[utoipa::path(get, path = "/api/v1/sessions", operation_id = "list_sessions", tag = "Sessions", params(SessionsQuery),
    responses((status = 200, description = "A page of sessions, newest first", body = super::Page<SessionView>), (status = "default", response = ProblemResponse)))]
pub async fn list(
    State(app): State<App>,
    _: Manager,
    Query(query): Query<SessionsQuery>,
) -> Result<Answer<super::Page<SessionView>>> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor };
    let sessions = app.records.sessions(query.user_id, page.cursor()?, page.limit(&app)?).await?;
    let counts = app.records.capture_counts(sessions.items.iter().map(|session| session.id).collect()).await?;
    let mut counts = counts.into_iter();
    Ok(super::Page::of(sessions, |session| SessionView::of(&session, counts.next().unwrap_or(0))))
}

/// Register a session under a new id
#[utoipa::path(post, path = "/api/v1/sessions", operation_id = "create_session", tag = "Sessions", request_body = NewSession,
    responses((status = 201, description = "Registered", body = SessionView, headers(("Location" = String, description = "Path of what was made"))), (status = "default", response = ProblemResponse)))]
pub async fn create(State(app): State<App>, _: Manager, Json(new): Json<NewSession>) -> Result<Response> {
    register_as(&app, Uuid::now_v7(), &new).await
}

/// Register a session under the app's id
///
/// Sent again with the same content it changes nothing (200); with another user or other settings it is a 409.
#[utoipa::path(put, path = "/api/v1/sessions/{id}", operation_id = "register_session", tag = "Sessions", params(SessionId), request_body = NewSession,
    responses((status = 201, description = "Registered", body = SessionView, headers(("Location" = String, description = "Path of what was made"))), (status = 200, description = "Registered before", body = SessionView),
              (status = "default", response = ProblemResponse)))]
pub async fn register(
    State(app): State<App>,
    _: Manager,
    id: PathVariable,
    Json(new): Json<NewSession>,
) -> Result<Response> {
    let id = Uuid::try_parse(&id.0).map_err(|_| Error::invalid("The id of a session is a UUID"))?;
    register_as(&app, id, &new).await
}

/// Show a session
#[utoipa::path(get, path = "/api/v1/sessions/{id}", operation_id = "show_session", tag = "Sessions", params(SessionId),
    responses((status = 200, description = "The session", body = SessionView), (status = "default", response = ProblemResponse)))]
pub async fn show(State(app): State<App>, _: Manager, id: PathVariable) -> Result<Answer<SessionView>> {
    let session = app.records.session(id.uuid()?).await?.ok_or_else(Error::not_found)?;
    Ok(Answer(SessionView::count(&app, &session).await?))
}

/// Give a session other camera settings
#[utoipa::path(patch, path = "/api/v1/sessions/{id}", operation_id = "change_session", tag = "Sessions", params(SessionId), request_body = ChangeSession,
    responses((status = 200, description = "The session, changed", body = SessionView), (status = "default", response = ProblemResponse)))]
pub async fn change(
    State(app): State<App>,
    _: Manager,
    id: PathVariable,
    Json(change): Json<ChangeSession>,
) -> Result<Answer<SessionView>> {
    let session = app.records.set_session_settings(id.uuid()?, change.camera_settings_id).await?;
    Ok(Answer(SessionView::count(&app, &session).await?))
}

/// End a session
///
/// It takes no more captures. Ending it again changes nothing.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/end", operation_id = "end_session", tag = "Sessions", params(SessionId),
    responses((status = 200, description = "The session, ended", body = SessionView), (status = "default", response = ProblemResponse)))]
pub async fn end(State(app): State<App>, _: Manager, id: PathVariable) -> Result<Answer<SessionView>> {
    let session = app.records.end_session(id.uuid()?, app.now()).await?;
    Ok(Answer(SessionView::count(&app, &session).await?))
}
