//! `/api/v1/users`: who may sign in. Administrators only.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use records::{Role, User};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ProblemResponse;
use crate::app::App;
use crate::auth::Admin;
use crate::error::{Error, Result};
use crate::extract::{Json, PageQuery, PathVariable, Query, bad_cursor};

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// Number of the user.
    pub id: i64,
    /// The name they sign in with.
    pub username: String,
    /// `participant` or `admin`.
    pub role: RoleName,
    /// An inactive user cannot sign in.
    pub is_active: bool,
    /// When the user was made, RFC 3339.
    pub created_at: String,
}

/// What a user may do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Uploads to their own sessions and sees their own captures.
    Participant,
    /// Everything.
    Admin,
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Participant => Self::Participant,
            RoleName::Admin => Self::Admin,
        }
    }
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            role: if user.role == Role::Admin { RoleName::Admin } else { RoleName::Participant },
            is_active: user.is_active,
            created_at: user.created_at.to_string(),
        }
    }
}

/// A user to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 100 printable characters, unique without regard to case.
    #[schema(min_length = 1, max_length = 100)]
    username: String,
    /// At least `identity.password_bytes_min` bytes, at most 1024.
    #[schema(max_length = 1024)]
    password: String,
    /// Default `participant`.
    role: Option<RoleName>,
}

/// What to change of a user; a member that is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeUser {
    /// A new password; ends every sign-in of the user.
    #[schema(max_length = 1024)]
    password: Option<String>,
    /// Another role; ends every sign-in of the user.
    role: Option<RoleName>,
    /// `false` ends every sign-in of the user.
    is_active: Option<bool>,
}

/// What ending sign-ins did.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndedSignIns {
    /// How many there were.
    ended: usize,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)] // documents the variable; extract::PathVariable reads it
struct UserId {
    /// Number of the user.
    id: i64,
}

fn user_id(path: &PathVariable) -> Result<i64> {
    path.0.parse().map_err(|_| Error::not_found())
}

/// List users
///
/// By number.
#[utoipa::path(get, path = "/api/v1/users", operation_id = "list_users", tag = "Users", params(PageQuery),
    responses((status = 200, description = "A page of users", body = super::Page<UserView>), (status = "default", response = ProblemResponse)))]
pub async fn list(
    State(app): State<App>,
    _: Admin,
    Query(page): Query<PageQuery>,
) -> Result<Answer<super::Page<UserView>>> {
    let after = page.cursor.as_deref().map(str::parse).transpose().map_err(|_| bad_cursor())?.unwrap_or(0);
    let (users, next) = app.records.users(after, page.limit(&app)?).await?;
    Ok(Answer(super::Page {
        items: users.into_iter().map(Into::into).collect(),
        next_cursor: next.map(|id| id.to_string()),
    }))
}

/// Make a user
#[utoipa::path(post, path = "/api/v1/users", operation_id = "create_user", tag = "Users", request_body = NewUser,
    responses((status = 201, description = "Made", body = UserView, headers(("Location" = String, description = "Path of what was made"))), (status = "default", response = ProblemResponse)))]
pub async fn create(State(app): State<App>, _: Admin, Json(new): Json<NewUser>) -> Result<Response> {
    let role = new.role.unwrap_or(RoleName::Participant).into();
    let user = app.identity.create_user(&new.username, new.password, role).await?;
    let location = [(header::LOCATION, format!("/api/v1/users/{}", user.id))];
    Ok((StatusCode::CREATED, location, Answer(UserView::from(user))).into_response())
}

/// Show a user
#[utoipa::path(get, path = "/api/v1/users/{id}", operation_id = "show_user", tag = "Users", params(UserId),
    responses((status = 200, description = "The user", body = UserView), (status = "default", response = ProblemResponse)))]
pub async fn show(State(app): State<App>, _: Admin, id: PathVariable) -> Result<Answer<UserView>> {
    let user = app.records.user(user_id(&id)?).await?.ok_or_else(Error::not_found)?;
    Ok(Answer(user.into()))
}

/// Change a user
#[utoipa::path(patch, path = "/api/v1/users/{id}", operation_id = "change_user", tag = "Users", params(UserId), request_body = ChangeUser,
    responses((status = 200, description = "The user, changed", body = UserView), (status = "default", response = ProblemResponse)))]
pub async fn change(
    State(app): State<App>,
    _: Admin,
    id: PathVariable,
    Json(change): Json<ChangeUser>,
) -> Result<Answer<UserView>> {
    let role = change.role.map(Into::into);
    let user = app.identity.change_user(user_id(&id)?, change.password, role, change.is_active).await?;
    Ok(Answer(user.into()))
}

/// End every sign-in of a user
#[utoipa::path(delete, path = "/api/v1/users/{id}/sign-ins", tag = "Users", params(UserId),
    responses((status = 200, description = "Ended", body = EndedSignIns), (status = "default", response = ProblemResponse)))]
pub async fn end_sign_ins(State(app): State<App>, _: Admin, id: PathVariable) -> Result<Answer<EndedSignIns>> {
    Ok(Answer(EndedSignIns { ended: app.records.end_sign_ins_of(user_id(&id)?).await? }))
}
