//! `GET /api/v1/sessions/{id}/gaps`: frames expected against frames received. Administrators only.

use axum::Json as Answer;
use axum::extract::State;

use super::ProblemResponse;
use crate::app::App;
use crate::auth::Admin;
use crate::error::{Error, Result};
use crate::extract::PathVariable;
use crate::gaps::{self, Gaps};

/// Show a session's gaps
///
/// Frames that the settings expected (one each interval, by the page's clock) against frames that are stored: each gap with
/// its reason, where the page told one. A page of the app's own client tells none; there a gap is `unknown`.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/gaps", operation_id = "show_gaps", tag = "Captures",
    params(("id" = Uuid, Path, description = "The session")),
    responses((status = 200, description = "Expected against received", body = Gaps), (status = "default", response = ProblemResponse)))]
pub async fn of_session(State(app): State<App>, _: Admin, id: PathVariable) -> Result<Answer<Gaps>> {
    let session = app.records.session(id.uuid()?).await?.ok_or_else(Error::not_found)?;
    Ok(Answer(gaps::of_session(&app, session.id).await?))
}
