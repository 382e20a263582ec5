//! `POST /assessment/camera/cleanup/{session_id}`: captures that belong to no assessment go, rows and bytes.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Data, SnafuResponse, owned};
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::Result;
use crate::extract::PathVariable;

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cleaned {
    /// The session.
    session_id: String,
    /// Captures deleted.
    captures_cleaned: usize,
}

/// Delete a session's captures that belong to no assessment
///
/// Beside an app's database, what the app has linked there by itself is looked at first.
#[utoipa::path(post, path = "/assessment/camera/cleanup/{session_id}", tag = "Captures of a page",
    params(("session_id" = Uuid, Path, description = "The assessment session")),
    responses((status = 200, description = "Deleted", body = Data<Cleaned>), (status = "default", response = SnafuResponse)))]
pub async fn cleanup(
    State(app): State<App>,
    caller: SignedIn,
    PathVariable(session_id): PathVariable,
) -> Result<Json<Data<Cleaned>>> {
    let gate = owned::session(&app, &caller, &session_id).await?;
    if let Some(host) = &app.host {
        // While nobody can say what the app has linked, nothing is deleted.
        host.see_links(&gate.session).await?;
    }
    let captures_cleaned = app.intake.delete_unlinked(gate.session.id, "cleanup of the session").await?;
    Ok(Data::ok(Cleaned { session_id: gate.session.key(), captures_cleaned }))
}
