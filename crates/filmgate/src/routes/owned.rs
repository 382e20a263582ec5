//! Is this session the caller's? Asked the same way by every route of the contract.

use records::SessionGate;

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::Result;

/// The session in the path, if it is the caller's or the caller administers. Absent, malformed and another's get the
/// same words after the same questions.
pub(super) async fn session(app: &App, caller: &SignedIn, session_id: &str) -> Result<SessionGate> {
    Ok(app.intake.session(caller.uploader(), session_id).await?)
}
