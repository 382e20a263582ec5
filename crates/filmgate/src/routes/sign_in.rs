//! `/api/v1/sign-in`: Filmgate's own sign-in, for its pages and for deployments without an app.

use axum::extract::Request;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use identity::Person;
use records::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ProblemResponse;
use crate::app::App;
use crate::auth::{Client, SignedIn, refuse_cross_site, set_cookie};
use crate::error::{Error, Result};
use crate::extract::Json;

/// Name and password.
#[derive(Deserialize, ToSchema)]
pub struct Credentials {
    /// Without regard to case.
    #[schema(min_length = 1, max_length = 100)]
    username: String,
    /// At most 1024 bytes.
    #[schema(min_length = 1, max_length = 1024)]
    password: String,
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhoAmI {
    /// The user.
    user: UserBrief,
    /// When the sign-in ends by itself, RFC 3339; `null` with a token, and where the app signed the user in.
    expires_at: Option<String>,
}

/// A user, in short.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserBrief {
    /// Number of the user. With an app's users, one of Filmgate's own administrators has theirs negated here.
    id: i64,
    /// The name they sign in with; for an app's user whose name nobody knows, the number.
    username: String,
    /// `participant` or `admin`.
    role: &'static str,
}

impl From<Person> for UserBrief {
    fn from(user: Person) -> Self {
        let role = if user.is_admin { Role::Admin } else { Role::Participant };
        Self { id: user.id, role: role.as_str(), username: user.username }
    }
}

/// Sign in
///
/// Answers with a cookie `filmgate_sign_in`, fresh each time. Guesses are limited per name and address: 429 with
/// `Retry-After`.
#[utoipa::path(post, path = "/api/v1/sign-in", tag = "Signing in", security(()),
    request_body = Credentials,
    responses((status = 200, description = "Signed in", body = WhoAmI,
                headers(("Set-Cookie" = String, description = "`filmgate_sign_in`"))), (status = "default", response = ProblemResponse)))]
pub async fn sign_in(State(app): State<App>, client: Client, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    // Another site must not sign a browser in as somebody of its choosing either.
    refuse_cross_site(&parts, &app.config)?;
    let request = Request::from_parts(parts, body);
    let Json(Credentials { username, password }) =
        <Json<Credentials> as axum::extract::FromRequest<App>>::from_request(request, &app).await?;
    if password.len() > 1024 || username.len() > 400 {
        return Err(Error::wrong_credentials());
    }
    let sign_in = app.identity.sign_in(&username, password, client.address).await?;
    let cookie = set_cookie(&sign_in.secret, app.config.identity.sign_in_lifetime(), client.https);
    let user = app.identity.person(sign_in.user).ok_or_else(Error::wrong_credentials)?;
    let answer = WhoAmI { user: user.into(), expires_at: Some(sign_in.expires_at.to_string()) };
    Ok((cookie_header(&cookie)?, axum::Json(answer)).into_response())
}

/// Who is signed in
#[utoipa::path(get, path = "/api/v1/sign-in", tag = "Signing in",
    responses((status = 200, description = "The caller", body = WhoAmI), (status = "default", response = ProblemResponse)))]
pub async fn who_am_i(caller: SignedIn) -> axum::Json<WhoAmI> {
    let expires_at = caller.sign_in.map(|sign_in| sign_in.expires_at.to_string());
    axum::Json(WhoAmI { user: caller.user.into(), expires_at })
}

/// Sign out
///
/// Whom the app around Filmgate signed in signs out there: 409 `signed_in_by_app`.
#[utoipa::path(delete, path = "/api/v1/sign-in", tag = "Signing in",
    responses((status = 204, description = "Signed out"), (status = "default", response = ProblemResponse)))]
pub async fn sign_out(State(app): State<App>, client: Client, caller: SignedIn) -> Result<Response> {
    if caller.is_of_the_app() {
        return Err(Error::signed_in_by_app());
    }
    if let Some(sign_in) = caller.sign_in {
        app.records.end_sign_in(sign_in.secret_hash).await?;
    }
    let cookie = set_cookie("", std::time::Duration::ZERO, client.https);
    Ok((StatusCode::NO_CONTENT, cookie_header(&cookie)?).into_response())
}

fn cookie_header(cookie: &str) -> Result<[(header::HeaderName, HeaderValue); 1]> {
    Ok([(header::SET_COOKIE, HeaderValue::from_str(cookie).map_err(Error::internal)?)])
}
