//! The one way out: every answer gets its request id, its common headers, the hints to cameras, its metrics and its line in
//! the log, and an error its words.
//!
//! Privacy invariant: the log and the metrics know the route's template, never the path: ids of sessions and photos
//! are in paths.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;
use crate::error::Error;
use crate::routes::hints;

/// The id of one request, in its extensions.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// A fresh id.
pub fn new_request_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// Headers of every answer. What a handler set itself stays.
pub fn common_headers(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", value);
    }
    let defaults = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Whether a path belongs to the contract's family of routes.
pub fn is_contract(path: &str) -> bool {
    path.starts_with("/assessment/")
}

/// Wraps every request.
pub async fn exit(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let request_id = RequestId(forwarded_id(&app, &request).unwrap_or_else(new_request_id));
    let contract = is_contract(request.uri().path());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "(none)".to_owned());
    request.extensions_mut().insert(request_id.clone());

    let mut response = next.run(request).await;

    hints::add(&app, &route, &mut response);
    if let Some(error) = response.extensions_mut().remove::<Error>() {
        app.metrics.refused(error.code);
        if let Some(cause) = &error.cause {
            tracing::error!(request_id = %request_id.0, route, code = error.code, cause, "request failed");
        }
        let mut worded = error.render(&request_id.0, contract);
        // What the framework said of the refusal itself (`Allow`, say) is kept.
        for (name, value) in response.headers() {
            if !worded.headers().contains_key(name) && name != header::CONTENT_LENGTH {
                worded.headers_mut().insert(name.clone(), value.clone());
            }
        }
        response = worded;
    }
    common_headers(response.headers_mut(), &request_id.0);
    let took = began.elapsed();
    app.metrics.answered(&method, &route, response.status(), took);
    tracing::info!(
        request_id = %request_id.0,
        %method,
        route,
        status = response.status().as_u16(),
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
    response
}

/// An id that a trusted proxy gave the request, so that its log and ours can be read together.
fn forwarded_id(app: &App, request: &Request) -> Option<String> {
    let peer = request.extensions().get::<crate::listen::Peer>()?;
    if !app.config.server.trusts(peer.addr.ip()) {
        return None;
    }
    let id = request.headers().get("x-request-id")?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ((8..=64).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}
