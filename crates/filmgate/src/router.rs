//! Every route, on one page.

use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::error::Error;
use crate::{exit, openapi, pages, routes as r};

/// All documented routes, with their document.
fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::base())
        // The contract with the existing app.
        .routes(routes!(r::upload_batch::upload_batch))
        .routes(routes!(r::upload_single::upload_single))
        .routes(routes!(r::session_settings::session_settings))
        .routes(routes!(r::session_captures::session_captures))
        .routes(routes!(r::file::file))
        .routes(routes!(r::link::link))
        .routes(routes!(r::cleanup::cleanup))
        .routes(routes!(r::camera_task::camera_task))
        // Signing in.
        .routes(routes!(r::sign_in::sign_in, r::sign_in::who_am_i, r::sign_in::sign_out))
        .routes(routes!(r::my_sessions::my_sessions))
        // Administration.
        .routes(routes!(r::users::list, r::users::create))
        .routes(routes!(r::users::show, r::users::change))
        .routes(routes!(r::users::end_sign_ins))
        .routes(routes!(r::tokens::list, r::tokens::create))
        .routes(routes!(r::tokens::revoke))
        .routes(routes!(r::sessions::list, r::sessions::create))
        .routes(routes!(r::sessions::show, r::sessions::register, r::sessions::change))
        .routes(routes!(r::sessions::end))
        .routes(routes!(r::camera_settings::list, r::camera_settings::create))
        .routes(routes!(r::camera_settings::show, r::camera_settings::change))
        .routes(routes!(r::export::of_session))
        .routes(routes!(r::export::export))
        .routes(routes!(r::gaps::of_session))
        .routes(routes!(r::captures::list))
        .routes(routes!(r::captures::show, r::captures::delete))
        .routes(routes!(r::tasks::list))
        .routes(routes!(r::tasks::retry_all))
        .routes(routes!(r::task_events::follow))
        .routes(routes!(r::tasks::show))
        .routes(routes!(r::tasks::retry))
        .routes(routes!(r::tasks::revoke))
        // Operation.
        .routes(routes!(r::figures::show))
        .routes(routes!(r::doctor::examine))
        .routes(routes!(r::health::livez))
        .routes(routes!(r::health::readyz))
        .routes(routes!(r::health::metrics))
        .routes(routes!(openapi::document))
}

/// The OpenAPI document.
pub fn openapi_document() -> OpenApi {
    documented().into_openapi()
}

/// The whole server.
pub fn router(app: App) -> Router {
    let (routes, _) = documented().split_for_parts();
    let mut routes = routes
        .route("/", get(pages::home))
        .route("/review", get(pages::review))
        .route("/operate", get(pages::operate))
        .route("/pages/{*name}", get(pages::asset))
        .route("/client/{name}", get(pages::client));
    if app.config.api.docs {
        routes = routes.route("/api/v1/docs", get(pages::api_docs));
    }
    routes
        .fallback(async || Error::not_found())
        .method_not_allowed_fallback(async || Error::method_not_allowed())
        // In one, from the outermost inwards: each `layer` of the router costs every request a box, and a slow upload its
        // memory for as long as it lasts.
        .layer((
            from_fn_with_state(app.clone(), exit::exit),
            CatchPanicLayer::custom(panicked),
            Extension(r::task_events::Streams::default()),
            Extension(r::export::Exports::default()),
            Extension(r::doctor::LastExamination::default()),
        ))
        .with_state(app)
}

/// A panic is a defect: it is logged, answered as such, and takes nothing else with it.
#[allow(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    use axum::response::IntoResponse;
    let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::internal(format!("panic: {said}")).into_response()
}
