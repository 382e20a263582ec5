//! The embedded pages: `cargo build` alone makes them part of the program.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::app::App;
use crate::error::Error;

#[derive(RustEmbed)]
#[folder = "src/pages/assets"]
struct Assets;

/// No inline script or style, nothing from another host; pictures come from our own answers, from the camera, and from
/// the bucket where our answers lead there.
fn policy(app: &App) -> String {
    let bucket = app.config.blobs.signed_origin().map(|origin| format!(" {origin}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:{bucket}; \
         media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// `GET /`
pub async fn home(State(app): State<App>, headers: HeaderMap) -> Response {
    serve(&app, "index.html", &headers)
}

/// `GET /review`: one session, for a researcher; which one, its query says.
pub async fn review(State(app): State<App>, headers: HeaderMap) -> Response {
    serve(&app, "review.html", &headers)
}

/// `GET /operate`: how the server does, and what is administered, for an operator.
pub async fn operate(State(app): State<App>, headers: HeaderMap) -> Response {
    serve(&app, "operate.html", &headers)
}

/// `GET /api/v1/docs`
pub async fn api_docs(State(app): State<App>, headers: HeaderMap) -> Response {
    serve(&app, "api.html", &headers)
}

/// `GET /pages/{*name}`
pub async fn asset(State(app): State<App>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    // The pages themselves have addresses of their own.
    let is_page = std::path::Path::new(&name).extension().is_some_and(|extension| extension == "html");
    if is_page { Error::not_found().into_response() } else { serve(&app, &name, &headers) }
}

/// `GET /client/{name}`: the camera client, for pages of ours and of others.
pub async fn client(State(app): State<App>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&app, &format!("client/{name}"), &headers)
}

fn serve(app: &App, name: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = Assets::get(name) else { return Error::not_found().into_response() };
    let etag = format!("\"{}\"", hex::encode(asset.metadata.sha256_hash()));
    let kind = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("ts") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let unchanged = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, kind)], asset.data).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // An origin was checked when it was read, and fits a header.
    if let Ok(policy) = HeaderValue::from_str(&policy(app)) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert("permissions-policy", HeaderValue::from_static("camera=(self), screen-wake-lock=(self)"));
    response
}
