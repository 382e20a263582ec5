//! From staged to recorded, by types: a [`StagedCapture`] becomes a [`PublishedCapture`] only by
//! [`Blobs::publish`](blobs::Blobs::publish), and only that can be recorded.

use blobs::{PublishedBlob, StagedBlob};
use imaging::Structure;
use jiff::Timestamp;
use records::{IdempotencyRecord, NewCapture, Recorded, Recording, RecordingError, SessionGate, StoredBlob, uuid_at};

use crate::metadata::Metadata;
use crate::receive::{Receipt, Skipped, StoredCapture, Upload, contract_time, may_use, takes};
use crate::{Intake, Refusal, gate};

/// How often a session may change under one upload before the client is asked to come back.
const GATE_ROUNDS: usize = 4;

/// A photo that is wanted, whole, hashed, and in a staging file.
pub(crate) struct StagedCapture {
    pub(crate) key: String,
    pub(crate) metadata: Metadata,
    pub(crate) received_at: Timestamp,
    pub(crate) blob: StagedBlob,
    pub(crate) structure: Structure,
}

/// A photo whose bytes are durable under their key.
struct PublishedCapture {
    key: String,
    metadata: Metadata,
    row: NewCapture,
    blob: PublishedBlob,
}

/// An answer given before under the same idempotency key.
pub(crate) struct Answered {
    pub(crate) record: IdempotencyRecord,
}

impl Answered {
    /// The same answer again, if this is the same request.
    pub(crate) fn replay(self, digest: [u8; 32]) -> Result<Receipt, Refusal> {
        if self.record.digest != digest {
            return Err(Refusal::IdempotencyKeyReused);
        }
        let receipt: Receipt =
            serde_json::from_str(&self.record.answer).map_err(|error| Refusal::Internal(error.to_string()))?;
        Ok(Receipt { replayed: true, ..receipt })
    }
}

/// Publishes, records, and makes the receipt; on any refusal nothing stays.
pub(crate) async fn settle(
    intake: &Intake,
    upload: &Upload,
    gate: SessionGate,
    admitted: Vec<StagedCapture>,
    skipped: Vec<Skipped>,
    idempotency: Option<(String, [u8; 32])>,
) -> Result<Receipt, Refusal> {
    if admitted.is_empty() && idempotency.is_none() {
        return Ok(Receipt { captures: Vec::new(), skipped, task_ids: Vec::new(), replayed: false });
    }
    let mut captures = publish(intake, admitted).await?;
    let outcome = record(intake, upload, gate, &mut captures, skipped, idempotency).await;
    match outcome {
        Ok(receipt) => {
            if receipt.replayed {
                unpublish(intake, captures).await;
            } else {
                intake.metrics.captures_stored.inc_by(captures.len() as u64);
                intake.metrics.bytes_stored.inc_by(captures.iter().map(|capture| capture.row.blob.size_bytes).sum());
            }
            Ok(receipt)
        }
        // The commit may hold after all: to take the bytes back could leave rows without them. Recovery decides.
        // Or the retry, where a server is in doubt that others can still ask.
        Err(Unrecorded::InDoubt) if intake.records.is_shared() => Err(Refusal::OutcomeUnknown),
        Err(Unrecorded::InDoubt) => Err(Refusal::StorageStopped),
        Err(Unrecorded::Refused(refusal)) => {
            unpublish(intake, captures).await;
            Err(refusal)
        }
    }
}

/// Why nothing was recorded, and whether that is certain.
enum Unrecorded {
    Refused(Refusal),
    InDoubt,
}

impl From<Refusal> for Unrecorded {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

async fn publish(intake: &Intake, admitted: Vec<StagedCapture>) -> Result<Vec<PublishedCapture>, Refusal> {
    let mut blobs = Vec::with_capacity(admitted.len());
    let mut described = Vec::with_capacity(admitted.len());
    // By the time they are published and not received: a form may take hours, and recovery looks at the newest folders.
    let published_at = (intake.clock)().as_second();
    for StagedCapture { key, metadata, received_at, blob, structure } in admitted {
        let id = uuid_at(received_at);
        let filename = format!("{id}.{}", structure.image_type.extension());
        let blob_key = blobs::key_at(published_at, &filename);
        let row = NewCapture {
            id,
            task_id: uuid_at(received_at),
            task_priority: metadata.trigger.task_priority(),
            filename,
            blob: StoredBlob {
                key: blob_key.clone(),
                format: "plain".to_owned(),
                size_bytes: blob.size_bytes,
                sha256: blob.sha256,
            },
            content_type: structure.image_type.content_type().to_owned(),
            width_px: structure.width_px,
            height_px: structure.height_px,
            trigger: metadata.trigger.as_str().to_owned(),
            assessment_type: metadata.assessment_type,
            assessment_id: metadata.assessment_id.clone(),
            captured_at: metadata.captured_at.clone(),
            received_at,
            metadata: metadata.object.to_string(),
        };
        blobs.push((blob, blob_key));
        described.push((key, metadata, row));
    }
    let published = intake.blobs.publish(blobs).await?;
    let captures = described.into_iter().zip(published);
    Ok(captures.map(|((key, metadata, row), blob)| PublishedCapture { key, metadata, row, blob }).collect())
}

/// One transaction for all of it. If the session changed since the gate, gates again and takes back what is no
/// longer wanted.
async fn record(
    intake: &Intake,
    upload: &Upload,
    mut gate: SessionGate,
    captures: &mut Vec<PublishedCapture>,
    mut skipped: Vec<Skipped>,
    idempotency: Option<(String, [u8; 32])>,
) -> Result<Receipt, Unrecorded> {
    for _ in 0..GATE_ROUNDS {
        let receipt = Receipt {
            captures: captures.iter().map(|capture| answer_of(&capture.row)).collect(),
            skipped: skipped.clone(),
            task_ids: captures.iter().map(|capture| capture.row.task_id).collect(),
            replayed: false,
        };
        let key = idempotency.as_ref().map(|(key, digest)| -> Result<_, Refusal> {
            let answer = serde_json::to_string(&receipt).map_err(|error| Refusal::Internal(error.to_string()))?;
            Ok(IdempotencyRecord { user_id: upload.uploader.user_id, key: key.clone(), digest: *digest, answer })
        });
        let recording = Recording {
            gate: gate.clone(),
            captures: captures.iter().map(|capture| capture.row.clone()).collect(),
            idempotency: key.transpose()?,
            now: (intake.clock)(),
        };
        match intake.records.record_captures(recording).await {
            Ok(Recorded::Stored) => return Ok(receipt),
            Ok(Recorded::KeyTaken(record)) => {
                let digest = idempotency.map(|(_, digest)| digest).unwrap_or_default();
                return Ok(Answered { record }.replay(digest)?);
            }
            Err(RecordingError::GateChanged) => {
                let changed = intake.records.session_gate(gate.session.id).await.map_err(Refusal::from)?;
                gate = changed.ok_or(Refusal::SessionNotFound)?;
                may_use(upload.uploader, &gate)?;
                takes(&upload.kind, &gate)?;
                skip_unwanted(intake, upload, &gate, captures, &mut skipped).await?;
            }
            Err(RecordingError::Catalog(records::Error::OutcomeUnknown(_))) => return Err(Unrecorded::InDoubt),
            Err(RecordingError::Catalog(error)) => return Err(Refusal::from(error).into()),
        }
    }
    Err(Refusal::SessionUnsettled.into())
}

async fn skip_unwanted(
    intake: &Intake,
    upload: &Upload,
    gate: &SessionGate,
    captures: &mut Vec<PublishedCapture>,
    skipped: &mut Vec<Skipped>,
) -> Result<(), Refusal> {
    let is_unwanted =
        |capture: &&PublishedCapture| gate::wanted(gate.settings.as_ref(), &capture.metadata.trigger).is_err();
    if upload.kind.is_single()
        && let Some(capture) = captures.iter().find(is_unwanted)
    {
        return Err(Refusal::TriggerNotAllowed(capture.row.trigger.clone()));
    }
    let (mut kept, mut unwanted) = (Vec::new(), Vec::new());
    for capture in captures.drain(..) {
        match gate::wanted(gate.settings.as_ref(), &capture.metadata.trigger) {
            Ok(()) => kept.push(capture),
            Err(reason) => {
                skipped.push(Skipped {
                    key: capture.key.clone(),
                    trigger: capture.metadata.trigger.as_str().to_owned(),
                    reason: reason.to_owned(),
                });
                unwanted.push(capture);
            }
        }
    }
    *captures = kept;
    intake.metrics.captures_skipped.inc_by(unwanted.len() as u64);
    unpublish(intake, unwanted).await;
    Ok(())
}

async fn unpublish(intake: &Intake, captures: Vec<PublishedCapture>) {
    let blobs = captures.into_iter().map(|capture| capture.blob).collect();
    if let Err(error) = intake.blobs.unpublish(blobs).await {
        tracing::warn!(%error, "photos that were not recorded could not be removed; the next start sets them aside");
    }
}

fn answer_of(row: &NewCapture) -> StoredCapture {
    StoredCapture {
        id: row.id,
        filename: row.filename.clone(),
        trigger: row.trigger.clone(),
        timestamp: contract_time(row.received_at),
        sha256: hex::encode(row.blob.sha256),
    }
}
