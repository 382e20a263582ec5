//! `GET /assessment/camera/settings/{session_id}`: how this session's photos are taken.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::camera_settings::SettingsView;
use super::{Data, SnafuResponse, owned};
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::Result;
use crate::extract::PathVariable;

/// A session's camera settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionSettings {
    /// The settings; `null` where the session has none.
    settings: Option<SettingsView>,
    /// The session.
    session_id: String,
}

/// A session's camera settings
#[utoipa::path(get, path = "/assessment/camera/settings/{session_id}", tag = "Captures of a page",
    params(("session_id" = Uuid, Path, description = "The assessment session")),
    responses((status = 200, description = "The settings", body = Data<SessionSettings>), (status = "default", response = SnafuResponse)))]
pub async fn session_settings(
    State(app): State<App>,
    caller: SignedIn,
    PathVariable(session_id): PathVariable,
) -> Result<Json<Data<SessionSettings>>> {
    let gate = owned::session(&app, &caller, &session_id).await?;
    let session_id = gate.session.key();
    Ok(Data::ok(SessionSettings { settings: gate.settings.map(SettingsView::for_page), session_id }))
}
