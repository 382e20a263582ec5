//! `GET /api/v1/my/sessions`: the caller's own assessment sessions, with their settings.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::ProblemResponse;
use super::camera_settings::SettingsView;
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::Result;

/// Most sessions answered; a participant has a few.
const SESSIONS_MAX: usize = 100;

/// The caller's sessions.
#[derive(Debug, Serialize, ToSchema)]
pub struct MySessions {
    /// The newest hundred, newest first.
    items: Vec<MySession>,
}

/// One session of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub struct MySession {
    /// Its id.
    id: String,
    /// How its photos are taken; `null`: it has no settings.
    camera_settings: Option<SettingsView>,
    /// When it was registered, RFC 3339.
    created_at: String,
    /// When it ended, RFC 3339; an ended session takes no more captures.
    ended_at: Option<String>,
}

/// Your own assessment sessions
#[utoipa::path(get, path = "/api/v1/my/sessions", tag = "Signing in",
    responses((status = 200, description = "The sessions", body = MySessions), (status = "default", response = ProblemResponse)))]
pub async fn my_sessions(State(app): State<App>, caller: SignedIn) -> Result<Json<MySessions>> {
    let page = app.records.sessions(Some(caller.user.id), None, SESSIONS_MAX).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for session in page.items {
        let settings = match session.camera_settings_id {
            Some(id) => app.records.camera_settings(id).await?,
            None => None,
        };
        items.push(MySession {
            id: session.key(),
            camera_settings: settings.map(SettingsView::for_page),
            created_at: session.created_at.to_string(),
            ended_at: session.ended_at.map(|time| time.to_string()),
        });
    }
    Ok(Json(MySessions { items }))
}
