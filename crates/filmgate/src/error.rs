//! One error, one table of codes, one exit.
//!
//! Handlers return [`Error`]; it travels to [`crate::exit`] inside the response and is worded there, because only
//! there both the request's id and its family of routes are known: `/assessment/…` speaks the contract's
//! `{"status":"SNAFU",…}`, everything else `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request was not done.
#[derive(Clone, Debug)]
pub struct Error {
    /// The answer's status.
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// What is wrong and what to do, for a person.
    pub message: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// What only the log hears.
    pub cause: Option<String>,
}

/// A handler's answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The codes made here, with status and message; those of an upload stand in [`intake::ERROR_CODES`].
macro_rules! errors {
    ($($(#[doc = $doc:literal])* $name:ident = $status:ident, $code:literal, $message:literal;)*) => {
        impl Error {
            $($(#[doc = $doc])* pub fn $name() -> Self { Self::new(StatusCode::$status, $code, $message) })*
        }
        /// Every code made here, with its status: for documents and tests.
        pub const ERROR_CODES: &[(&str, StatusCode)] = &[$(($code, StatusCode::$status)),*];
    };
}

errors! {
    /// Nobody is signed in.
    unauthenticated = UNAUTHORIZED, "unauthenticated", "Authentication required";
    /// Signed in, and not allowed; says nothing of what is there.
    forbidden = FORBIDDEN, "forbidden", "You may not do this";
    /// A page of another site tried to use the browser's sign-in.
    cross_site = FORBIDDEN, "cross_site", "This request came from another site and was refused. If that site belongs to you, the operator adds it to server.allowed_origins";
    /// Absent, or not for this caller.
    not_found = NOT_FOUND, "not_found", "There is nothing here";
    /// The contract's words for a session that is absent or somebody else's.
    session_not_found = FORBIDDEN, "session_not_found", "Session not found or access denied";
    /// No such method.
    method_not_allowed = METHOD_NOT_ALLOWED, "method_not_allowed", "This address does not take this method";
    /// Not a form.
    not_a_form = UNSUPPORTED_MEDIA_TYPE, "not_a_form", "Send the photos as multipart/form-data";
    /// The stored photo is damaged.
    damaged = INTERNAL_SERVER_ERROR, "photo_damaged", "The stored photo is damaged and is not shown; tell the operator";
    /// Somebody else changed it in between.
    precondition_failed = PRECONDITION_FAILED, "precondition_failed", "It was changed in the meantime; read it again";
    /// Pictures of a photo are asked for before there are any.
    not_processed_yet = NOT_FOUND, "not_processed_yet", "The photo is stored and not processed yet; ask again in a moment";
    /// The node that took the photo has it, and the shared store not yet.
    not_shipped_yet = SERVICE_UNAVAILABLE, "not_shipped_yet", "The photo is still on the server that took it; ask again in a moment";
    /// The range lies behind the photo's end.
    range_not_satisfiable = RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "The range lies behind the end; Content-Range says how many bytes there are";
    /// The user follows tasks often enough.
    too_many_streams = TOO_MANY_REQUESTS, "too_many_streams", "You follow tasks by as many streams as you may; close one, or try again shortly";
    /// Everybody together does.
    streams_full = SERVICE_UNAVAILABLE, "streams_full", "The server serves as many streams of events as it can; try again shortly";
    /// Exports are under way, as many as may be.
    exports_full = SERVICE_UNAVAILABLE, "exports_full", "As many exports are under way as may be; try again once one has ended";
    /// Whoever knows the app's users cannot be asked just now.
    host_unavailable = SERVICE_UNAVAILABLE, "host_unavailable", "The app's database, which says who may do this, does not answer; try again shortly";
    /// Whoever says who somebody is cannot be asked just now.
    identity_unavailable = SERVICE_UNAVAILABLE, "identity_unavailable", "Whoever says who you are, the app or the issuer of your token, does not answer; try again shortly";
    /// An app's user cannot be signed out here.
    signed_in_by_app = CONFLICT, "signed_in_by_app", "The app around Filmgate signed you in; sign out there";
    /// Wrong name or password.
    wrong_credentials = UNAUTHORIZED, "wrong_credentials", "Wrong username or password";
}

impl Error {
    /// An error of this status, code and message.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None, cause: None }
    }

    /// The request's content cannot be used; the message says why.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    /// A photo that could not be decoded is kept, and not shown.
    pub fn quarantined(reason: Option<&str>) -> Self {
        let reason = reason.unwrap_or("nobody knows why");
        let message = format!("The photo could not be processed and is kept aside: {reason}");
        Self::new(StatusCode::CONFLICT, "photo_quarantined", message)
    }

    /// The photo is whole, and this picture of it is not made.
    pub fn no_derivative(reason: Option<&str>) -> Self {
        let message = match reason {
            Some(reason) => format!("There are no smaller pictures of this photo: {reason}"),
            None => "There is no picture of this size".to_owned(),
        };
        Self::new(StatusCode::NOT_FOUND, "no_derivative", message)
    }

    /// Something broke that the caller cannot help; only the log hears what.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let mut error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, "Internal error");
        error.cause = Some(cause.to_string());
        error
    }

    /// The same, with what only the log hears.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same, to be tried again after this many seconds.
    #[must_use]
    pub fn retry_in(mut self, seconds: u64) -> Self {
        self.retry_after = Some(Duration::from_secs(seconds));
        self
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<intake::Refusal> for Error {
    fn from(refusal: intake::Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = refusal.code();
        if code == INTERNAL {
            return Self::internal(format!("{refusal:?}"));
        }
        let mut error = Self::new(status, code, refusal.to_string());
        if let intake::Refusal::StorageUnavailable(why) | intake::Refusal::HostUnavailable(why) = refusal {
            error.cause = Some(why);
        }
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => error.retry_in(2),
            StatusCode::CONFLICT if code == "idempotency_key_in_progress" => error.retry_in(1),
            _ => error,
        }
    }
}

impl From<records::Error> for Error {
    fn from(error: records::Error) -> Self {
        match error {
            records::Error::NotFound => Self::not_found(),
            records::Error::Conflict(message) => Self::new(StatusCode::CONFLICT, "conflict", message),
            other => intake::Refusal::from(other).into(),
        }
    }
}

impl From<identity::Error> for Error {
    fn from(error: identity::Error) -> Self {
        match error {
            identity::Error::WrongCredentials => Self::wrong_credentials(),
            identity::Error::TooManyGuesses { retry_after } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", error.to_string())
                    .retry_in(retry_after.as_secs())
            }
            identity::Error::BadPassword(message) | identity::Error::BadUsername(message) => Self::invalid(message),
            identity::Error::HostUnavailable(cause) => Self::host_unavailable().caused_by(cause).retry_in(2),
            identity::Error::ProviderUnavailable(cause) => {
                Self::identity_unavailable().caused_by(format!("asking who somebody is: {cause}")).retry_in(2)
            }
            identity::Error::Catalog(error) => error.into(),
            identity::Error::Internal(cause) => Self::internal(cause),
        }
    }
}

/// An error outside the contract's routes: RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A URI of the kind of problem; `about:blank`: the status says it.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong and what to do.
    detail: String,
    /// A stable word for programs.
    code: String,
    /// The id of this request, also in the header `X-Request-Id` and in the log.
    request_id: String,
}

/// An error of the contract's routes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Snafu {
    /// Always `SNAFU`.
    #[schema(example = "SNAFU")]
    status: &'static str,
    /// What is wrong and what to do.
    error: String,
    /// A stable word for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The id of this request, also in the header `X-Request-Id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// Answers whose members the contract lists to the last: they carry no code and no id in the body.
const PLAIN: &[&str] = &["session_id_required", "unauthenticated", "session_not_found"];
/// As those, with the request's id: the operator finds it in the log.
const INTERNAL: &str = "internal";

impl Error {
    /// Words the error for its family of routes.
    pub fn render(&self, request_id: &str, contract: bool) -> Response {
        let (body, content_type) = if contract {
            let plain = PLAIN.contains(&self.code);
            let snafu = Snafu {
                status: "SNAFU",
                error: self.message.clone(),
                code: (!plain && self.code != INTERNAL).then(|| self.code.to_owned()),
                request_id: (!plain).then(|| request_id.to_owned()),
            };
            (serde_json::to_vec(&snafu), "application/json")
        } else {
            let problem = Problem {
                kind: "about:blank",
                title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
                status: self.status.as_u16(),
                detail: self.message.clone(),
                code: self.code.to_owned(),
                request_id: request_id.to_owned(),
            };
            (serde_json::to_vec(&problem), "application/problem+json")
        };
        let mut response =
            (self.status, [(header::CONTENT_TYPE, content_type)], body.unwrap_or_default()).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
        }
        if self.status == StatusCode::UNAUTHORIZED && !contract {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer realm=\"filmgate\""));
        }
        response
    }
}

/// Words an error that the accept loop makes before any route is known.
pub fn render_at_edge(path: &str, status: StatusCode, code: &'static str, message: &'static str) -> Response {
    let request_id = crate::exit::new_request_id();
    let mut response = Error::new(status, code, message).render(&request_id, crate::exit::is_contract(path));
    crate::exit::common_headers(response.headers_mut(), &request_id);
    response
}
