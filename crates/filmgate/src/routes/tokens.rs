//! `/api/v1/tokens`: bearer tokens. Administrators only.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use records::{Token, TokenScope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ProblemResponse;
use crate::app::App;
use crate::auth::Admin;
use crate::error::{Error, Result};
use crate::extract::{Json, PageQuery, PathVariable, Query};

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    pub id: String,
    /// What a person called it.
    pub name: String,
    /// `service`: the app's backend, which registers sessions. `user`: acts as its user.
    pub scope: &'static str,
    /// The user it acts as.
    pub user_id: Option<i64>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it ends by itself; `null`: never.
    pub expires_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            scope: match token.scope {
                TokenScope::Service => "service",
                TokenScope::User => "user",
            },
            user_id: token.user_id,
            created_at: token.created_at.to_string(),
            expires_at: token.expires_at.map(|time| time.to_string()),
            revoked_at: token.revoked_at.map(|time| time.to_string()),
        }
    }
}

/// A token to make: for the app's backend, or with `user_id` for a program that acts as that user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What you call it: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The user it acts as; absent: the app's backend.
    user_id: Option<i64>,
    /// When it ends by itself, RFC 3339; absent: never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A new token. Its secret is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedToken {
    /// The token.
    #[serde(flatten)]
    token: TokenView,
    /// Send it as `Authorization: Bearer …`.
    secret: String,
}

/// What people may call things: 1 to 100 printable characters.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    let fits = (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(Error::invalid(format!("{what} has 1 to 100 printable characters"))) }
}

/// List tokens
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "Tokens", params(PageQuery),
    responses((status = 200, description = "A page of tokens, newest first", body = super::Page<TokenView>), (status = "default", response = ProblemResponse)))]
pub async fn list(
    State(app): State<App>,
    _: Admin,
    Query(page): Query<PageQuery>,
) -> Result<Answer<super::Page<TokenView>>> {
    Ok(super::Page::of(app.records.tokens(page.cursor()?, page.limit(&app)?).await?, Into::into))
}

/// Make a token
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "create_token", tag = "Tokens", request_body = NewToken,
    responses((status = 201, description = "Made; keep the secret", body = CreatedToken), (status = "default", response = ProblemResponse)))]
pub async fn create(State(app): State<App>, _: Admin, Json(new): Json<NewToken>) -> Result<Response> {
    check_name("name", &new.name)?;
    let expires_at: Option<Timestamp> = new
        .expires_at
        .map(|text| text.parse())
        .transpose()
        .map_err(|error| Error::invalid(format!("expires_at is no RFC 3339 time: {error}")))?;
    // The last second of 9999 has no microseconds after it: stored, it would read back as 1970, long over.
    if expires_at.is_some_and(|time| Timestamp::from_microsecond(time.as_microsecond()).is_err()) {
        return Err(Error::invalid("expires_at is too far in the future"));
    }
    let (token, secret) = app.identity.create_token(&new.name, new.user_id, expires_at).await?;
    Ok((StatusCode::CREATED, Answer(CreatedToken { token: token.into(), secret })).into_response())
}

/// Revoke a token
///
/// At once and for good.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", operation_id = "revoke_token", tag = "Tokens",
    params(("id" = Uuid, Path, description = "The token")),
    responses((status = 200, description = "Revoked", body = TokenView), (status = "default", response = ProblemResponse)))]
pub async fn revoke(State(app): State<App>, _: Admin, id: PathVariable) -> Result<Answer<TokenView>> {
    Ok(Answer(app.records.revoke_token(id.uuid()?, app.now()).await?.into()))
}
