//! Is this session the caller's? Asked the same way by every route of the contract.

use records::SessionGate;
use uuid::Uuid;

use crate::app::App;
use crate::auth::SignedIn;
use crate::error::{Error, Result};

/// The session in the path, if it is the caller's or the caller administers. Absent, malformed and another's get the
/// same words after the same query.
pub(super) async fn session(app: &App, caller: &SignedIn, session_id: &str) -> Result<SessionGate> {
    let id = Uuid::try_parse(session_id).unwrap_or_default();
    let gate = app.records.session_gate(id).await?.ok_or_else(Error::session_not_found)?;
    if caller.is_admin() || gate.session.user_id == caller.user.id { Ok(gate) } else { Err(Error::session_not_found()) }
}
