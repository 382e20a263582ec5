//! Extractors whose refusals are worded as ours.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::app::App;
use crate::error::{Error, Result};

/// A JSON body of at most 64 KiB.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Error;
    async fn from_request(request: Request, _: &App) -> Result<Self> {
        const BYTES_MAX: usize = 64 * 1024;
        let is_json = request.headers().get("content-type").and_then(|value| value.to_str().ok()).is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
        });
        if !is_json {
            return Err(Error::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "Send the body as application/json",
            ));
        }
        let body = axum::body::to_bytes(request.into_body(), BYTES_MAX).await.map_err(|error| read_error(&error))?;
        // A derived struct would also take an array, its members by position, which no document mentions.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(Error::invalid("The body does not fit: an object is expected, not an array"));
        }
        serde_json::from_slice(&body).map(Self).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Error::invalid(format!("The body does not fit: {error}")),
            _ => Error::new(StatusCode::BAD_REQUEST, "malformed_json", format!("The body is not JSON: {error}")),
        })
    }
}

fn read_error(error: &axum::Error) -> Error {
    if let Some(timeout) = crate::listen::body_timeout(error) {
        return Error::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", format!("The body came too slowly: {timeout}"));
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if found.is::<http_body_util::LengthLimitError>() {
            return Error::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is larger than 65536 bytes");
        }
        cause = found.source();
    }
    Error::new(StatusCode::BAD_REQUEST, "body_incomplete", "The body did not arrive whole")
}

/// The query string.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|error| {
            Error::new(StatusCode::BAD_REQUEST, "malformed_query", format!("The query cannot be read: {error}"))
        })
    }
}

/// The one variable of the path, as text; undecodable is as good as absent.
pub struct PathVariable(pub String);

impl FromRequestParts<App> for PathVariable {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, app).await;
        path.map(|path| Self(path.0)).map_err(|_| Error::not_found())
    }
}

impl PathVariable {
    /// The id in the path; what is no id names nothing.
    pub fn uuid(&self) -> Result<Uuid> {
        Uuid::try_parse(&self.0).map_err(|_| Error::not_found())
    }
}

/// Which page of a listing.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Most items on the page; the server's own limit counts too.
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before. Opaque.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// Items on the page.
    pub fn limit(&self, app: &App) -> Result<usize> {
        match self.limit {
            Some(0 | 10_001..) => Err(Error::new(StatusCode::BAD_REQUEST, "malformed_query", "limit is 1 to 10000")),
            Some(limit) => Ok(limit.min(app.config.api.page_size_max)),
            None => Ok(app.config.api.page_size_max.min(50)),
        }
    }

    /// Where the page begins.
    pub fn cursor(&self) -> Result<Option<records::Cursor>> {
        self.cursor.as_deref().map(str::parse).transpose().map_err(|_| bad_cursor())
    }
}

/// A cursor that no listing gave.
pub fn bad_cursor() -> Error {
    Error::new(StatusCode::BAD_REQUEST, "bad_cursor", "This is no cursor of this listing; begin again without one")
}
