//! The OpenAPI document: what every operation has in common.

use std::sync::LazyLock;

use axum::Json;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Filmgate",
        description = "Takes the photos of many cameras at once and never makes anyone wait.\n\nRoutes below `/assessment/` speak the existing app's contract; routes below `/api/v1/` administer. Sign in with `POST /api/v1/sign-in` (a cookie) or send a bearer token. Every answer carries `X-Request-Id`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(
        schemas(crate::error::Problem, crate::error::Snafu),
        responses(crate::routes::ProblemResponse, crate::routes::SnafuResponse)
    ),
    modifiers(&Security),
    security(("sign_in" = []), ("token" = [])),
    tags(
        (name = "Captures of a page", description = "What the app's pages speak: uploading, reading, linking, clearing"),
        (name = "Signing in", description = "Filmgate's own users"),
        (name = "Users", description = "Who may sign in (administrators)"),
        (name = "Tokens", description = "Bearer tokens for the app's backend and for programs (administrators)"),
        (name = "Sessions", description = "Assessment sessions (administrators and the app's backend)"),
        (name = "Camera settings", description = "How photos are taken (administrators; the app's backend may read)"),
        (name = "Captures", description = "Stored photos (administrators)"),
        (name = "Tasks", description = "The work after an upload (administrators; participants see what processes their own captures)"),
        (name = "Operation", description = "Health, metrics and figures"),
    )
)]
struct Base;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(identity::COOKIE)));
        let token = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        components.add_security_scheme("sign_in", cookie);
        components.add_security_scheme("token", token);
    }
}

/// The document before any route.
pub fn base() -> OpenApi {
    Base::openapi()
}

/// This document
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "Operation", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value),
              (status = "default", response = crate::routes::ProblemResponse)))]
pub async fn document() -> Json<&'static OpenApi> {
    // Made once: it is some hundred kilobytes of objects, and anybody may ask for it.
    static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(crate::router::openapi_document);
    Json(&DOCUMENT)
}
