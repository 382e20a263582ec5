//! Whoever knows the sessions, where they are not Filmgate's own: the app around it.

use async_trait::async_trait;
use records::SessionGate;
use uuid::Uuid;

use crate::receive::{may_use, takes};
use crate::{Intake, Refusal, Upload, Uploader};

/// Knows the app's sessions, and sees to it that the catalog says of them what the app says.
///
/// How old an answer may be is the implementation's to say. While it cannot answer it refuses, unless it has answered
/// lately enough.
#[async_trait]
pub trait SessionSource: Send + Sync {
    /// The session of this key, as the catalog now has it; `None` where the app has none.
    async fn gate(&self, key: &str) -> Result<Option<SessionGate>, Refusal>;

    /// Why it cannot be told just now whether there is a session; `None`: it can. Whoever asks for a session that is not
    /// theirs is told this, as whoever asks for one that nobody knows of.
    fn doubt(&self) -> Option<Refusal>;
}

impl Intake {
    /// The session of this key, with its settings, if this uploader may use it. Absent and another's are refused by the
    /// same words after the same questions.
    ///
    /// # Errors
    /// [`Refusal::SessionNotFound`], or that it cannot be told just now.
    pub async fn session(&self, uploader: Uploader, key: &str) -> Result<SessionGate, Refusal> {
        let found = match &self.sessions {
            Some(source) => source.gate(key).await?,
            None => self.records.session_gate(Uuid::try_parse(key).unwrap_or_default()).await?,
        };
        let gate = found.ok_or(Refusal::SessionNotFound).and_then(|gate| may_use(uploader, &gate).map(|()| gate));
        gate.map_err(|refusal| self.sessions.as_ref().and_then(|source| source.doubt()).unwrap_or(refusal))
    }

    /// The session once more, after a form that may have taken long to arrive: the app may have changed it meanwhile.
    pub(crate) async fn session_again(&self, upload: &Upload, gate: &SessionGate) -> Result<SessionGate, Refusal> {
        if self.sessions.is_none() {
            return Ok(gate.clone());
        }
        let gate = self.session(upload.uploader, &gate.session.key()).await?;
        takes(&upload.kind, &gate)?;
        Ok(gate)
    }
}
