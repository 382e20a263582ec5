//! The door: one upload from its headers to its receipt.

use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use records::SessionGate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::form::{Form, FormReader, metadata_name};
use crate::metadata::Metadata;
use crate::publish::{Answered, StagedCapture, settle};
use crate::{Intake, Refusal, Verify, gate, keys};

/// Who uploads.
#[derive(Clone, Copy, Debug)]
pub struct Uploader {
    /// Their number.
    pub user_id: i64,
    /// Administrators may upload to anybody's session.
    pub is_admin: bool,
}

/// Which form it is.
#[derive(Clone, Debug)]
pub enum FormKind {
    /// `session_id`, any number of `capture_<key>` and `metadata_<key>`.
    Batch,
    /// `image`, `trigger`, `timing`; the session comes from the path.
    Single {
        /// The session, as in the path.
        session_id: String,
    },
}

impl FormKind {
    pub(crate) fn is_single(&self) -> bool {
        matches!(self, Self::Single { .. })
    }
}

/// What is known of an upload before its body.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Who uploads.
    pub uploader: Uploader,
    /// Which form it is.
    pub kind: FormKind,
    /// The multipart boundary.
    pub boundary: String,
    /// Bytes of the body, where the client said so.
    pub content_length: Option<u64>,
    /// The `Idempotency-Key`, as sent.
    pub idempotency_key: Option<String>,
    /// The client says beforehand that these are frames of the timer, which give way to those of events.
    pub of_timer: bool,
}

/// Why a body did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Nothing, or too little, came for too long.
    #[error("{0}")]
    TooSlow(String),
    /// It broke off.
    #[error("{0}")]
    Incomplete(String),
}

/// What an upload did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What is stored, in the form's order.
    pub captures: Vec<StoredCapture>,
    /// What was not wanted.
    pub skipped: Vec<Skipped>,
    /// The tasks that process the captures, in the same order. Empty in answers kept by a version without them.
    #[serde(default)]
    pub task_ids: Vec<Uuid>,
    /// This is the answer of an earlier request with the same idempotency key.
    #[serde(skip)]
    pub replayed: bool,
}

/// One stored capture, as answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCapture {
    /// Its id.
    pub id: Uuid,
    /// Its unique filename.
    pub filename: String,
    /// Why it was taken.
    pub trigger: String,
    /// When the server received it; see [`contract_time`].
    pub timestamp: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// One capture that was not wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The part's name.
    pub key: String,
    /// Its trigger.
    pub trigger: String,
    /// Why it was not wanted, for a person.
    pub reason: String,
}

/// A time as the contract writes it: UTC, ISO 8601, microseconds, no offset.
pub fn contract_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

/// What intake counts.
#[derive(Clone)]
pub(crate) struct Metrics {
    uploads: Counter,
    pub(crate) captures_stored: Counter,
    pub(crate) bytes_stored: Counter,
    pub(crate) captures_skipped: Counter,
    replays: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            uploads: Counter::default(),
            captures_stored: Counter::default(),
            bytes_stored: Counter::default(),
            captures_skipped: Counter::default(),
            replays: Counter::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("uploads", "Uploads begun", self.uploads.clone());
        registry.register("captures_stored", "Captures stored and answered", self.captures_stored.clone());
        registry.register("bytes_stored", "Bytes of the captures stored", self.bytes_stored.clone());
        registry.register("captures_skipped", "Captures that the settings did not want", self.captures_skipped.clone());
        registry.register(
            "replays",
            "Uploads answered from an earlier one by their idempotency key",
            self.replays.clone(),
        );
    }
}

impl Intake {
    /// Takes one upload in. When this returns a receipt, everything in it survives a power cut.
    ///
    /// Dropping the future before it has read the form leaves nothing; after that the upload is settled all the same.
    ///
    /// # Errors
    /// A [`Refusal`]; then nothing of the request is stored.
    pub async fn receive<S, E>(&self, upload: Upload, body: S) -> Result<Receipt, Refusal>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BodyError> + 'static,
    {
        self.metrics.uploads.inc();
        let outcome = self.take_in(upload, body).await;
        if matches!(outcome, Err(Refusal::Overloaded)) {
            self.pressure.refused(Instant::now());
        }
        outcome
    }

    async fn take_in<S, E>(&self, upload: Upload, body: S) -> Result<Receipt, Refusal>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BodyError> + 'static,
    {
        if upload.content_length.is_some_and(|length| length > self.limits.request_bytes_max) {
            return Err(Refusal::RequestTooLarge(self.limits.request_bytes_max));
        }
        let user_id = upload.uploader.user_id;
        let key = upload.idempotency_key.as_deref().map(keys::parse).transpose()?;
        let held_key = key.as_deref().map(|key| self.keys_in_progress.hold(user_id, key)).transpose()?;
        if upload.of_timer {
            self.gives_way()?;
        }
        self.blobs.refuse_if_full()?;
        let mut place = self.admission.enter(user_id, upload.content_length.unwrap_or(0), upload.of_timer)?;
        let earlier = match key.clone() {
            Some(key) => Box::pin(self.records.idempotency_record(user_id, key)).await?,
            None => None,
        };
        let gate = match &upload.kind {
            FormKind::Single { session_id } => {
                Some(self.cheap_gate(&upload, session_id.as_bytes(), earlier.is_some()).await?)
            }
            FormKind::Batch => None,
        };
        let reader =
            FormReader { intake: self, upload: &upload, place: &mut place, replaying: earlier.is_some(), gate };
        let mut form = reader.read(body).await?;
        let whole = Instant::now();
        if let Some(earlier) = earlier {
            self.metrics.replays.inc();
            return Answered { record: earlier }.replay(form.digest);
        }
        let first_gate = form.gate.take().ok_or(Refusal::SessionIdRequired)?;
        let gate = self.session_again(&upload, &first_gate).await?;
        let digest = form.digest;
        let (mut admitted, skipped) = self.gate_again(&upload, [&first_gate, &gate], form)?;
        if self.options.verify == Verify::Decode {
            admitted = Box::pin(self.decode_all(admitted)).await?;
        }
        let idempotency = key.map(|key| (key, digest));
        let intake = self.clone();
        // From here on the client may leave: what was received whole is settled in a task of its own, so that bytes
        // are never published and then forgotten because a connection closed.
        let settled = tokio::spawn(async move {
            let outcome = settle(&intake, &upload, gate, admitted, skipped, idempotency).await;
            drop((place, held_key));
            outcome
        });
        let outcome = settled.await.map_err(|error| Refusal::Internal(error.to_string()))?;
        self.pressure.answered(whole.elapsed(), Instant::now());
        outcome
    }

    /// Whether a frame of the timer has to give way before anything of it is read.
    fn gives_way(&self) -> Result<(), Refusal> {
        let (waiting, waiting_max) = self.blobs.queue();
        if waiting as u64 >= self.pressure.interval_share(waiting_max as u64) {
            self.pressure.refused_interval(Instant::now());
            return Err(Refusal::IntervalFramesRefused);
        }
        if self.pressure.turns_away(Instant::now()) { Err(Refusal::IntervalFramesRefused) } else { Ok(()) }
    }

    /// Whether this session takes captures of this uploader, as soon as its id is known. Absent and another's are
    /// refused by the same words after the same query.
    pub(crate) async fn cheap_gate(
        &self,
        upload: &Upload,
        session_id: &[u8],
        replaying: bool,
    ) -> Result<SessionGate, Refusal> {
        // What is no text names no session, and is looked for all the same.
        let key = std::str::from_utf8(session_id).unwrap_or_default();
        let gate = self.session(upload.uploader, key).await?;
        // A retry of what was stored before the session ended must still get its answer.
        if !replaying {
            takes(&upload.kind, &gate)?;
        }
        Ok(gate)
    }

    /// The gate with everything known: which photos are kept, which are skipped, and whether each kept one is whole.
    fn gate_again(
        &self,
        upload: &Upload,
        gates: [&SessionGate; 2],
        form: Form,
    ) -> Result<(Vec<StagedCapture>, Vec<Skipped>), Refusal> {
        let text = |name: &str| form.texts.get(name).map(Vec::as_slice);
        let mut admitted = Vec::new();
        let mut skipped = Vec::new();
        for photo in form.photos {
            let metadata = match upload.kind {
                FormKind::Batch => Metadata::of_batch(text(&metadata_name(&photo.key)), &self.limits)?,
                FormKind::Single { .. } => Metadata::of_single(text("trigger"), text("timing"), &self.limits)?,
            };
            // Also by the first: what that one did not want is not kept.
            let unwanted = |gate: &&SessionGate| gate::wanted(gate.settings.as_ref(), &metadata.trigger).err();
            if let Some(reason) = gates.iter().find_map(unwanted) {
                let trigger = metadata.trigger.as_str().to_owned();
                if upload.kind.is_single() {
                    return Err(Refusal::TriggerNotAllowed(trigger));
                }
                skipped.push(Skipped { key: photo.key, trigger, reason: reason.to_owned() });
                continue;
            }
            let (blob, structure) =
                photo.staged.ok_or_else(|| Refusal::Internal("a wanted photo was not kept".to_owned()))?;
            let structure = structure.map_err(|defect| Refusal::BadImage { key: photo.key.clone(), defect })?;
            admitted.push(StagedCapture { key: photo.key, metadata, received_at: photo.received_at, blob, structure });
        }
        if upload.kind.is_single() && admitted.is_empty() {
            return Err(Refusal::NoImage);
        }
        self.metrics.captures_skipped.inc_by(skipped.len() as u64);
        Ok((admitted, skipped))
    }
}

pub(crate) fn may_use(uploader: Uploader, gate: &SessionGate) -> Result<(), Refusal> {
    if uploader.is_admin || gate.session.user_id == uploader.user_id { Ok(()) } else { Err(Refusal::SessionNotFound) }
}

/// Whether the session takes captures of this form at all, whatever their trigger.
pub(crate) fn takes(kind: &FormKind, gate: &SessionGate) -> Result<(), Refusal> {
    if gate.session.ended_at.is_some() {
        return Err(Refusal::SessionEnded);
    }
    if kind.is_single() && gate::effective(gate.settings.as_ref()).is_none() {
        return Err(Refusal::NoCameraSettings);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use bytes::Bytes;
    use futures_util::Stream;

    use super::{BodyError, Upload};
    use crate::Intake;

    fn size_of_future<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    /// Ten thousand slow uploads hold it ten thousand times, for minutes.
    #[test]
    fn who_waits_for_a_slow_client_holds_little() {
        type Body = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;
        let size =
            size_of_future(|(intake, upload, body): (&'static Intake, Upload, Body)| intake.receive(upload, body));
        assert!(size <= 4500, "{size} bytes: box what waits for the disk or the catalog");
    }
}
