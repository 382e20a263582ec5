//! What happens to a capture after its upload: it is decoded in a process of its own, and what was made of it becomes
//! durable before its row says so.
//!
//! Every run publishes under keys that carry the claim's fence, so that a worker that was thought dead overwrites
//! nothing of the one that took its place; what a run published in vain, [`Intake::discard`] removes, or the sweep.

use std::collections::BTreeSet;

use blobs::PublishedBlob;
use decoder::{DecodeError, Developed};
use records::{Capture, Claim, Derivative, Effect, Processed, StoredBlob};
use sha2::{Digest, Sha256};

use crate::gate::Trigger;
use crate::publish::StagedCapture;
use crate::{FileRefusal, Intake, Original, Refusal};

/// How the run of a processing task went.
#[derive(Debug)]
pub enum ProcessOutcome {
    /// To be committed together with the task's end.
    Done(Effect),
    /// Perhaps the photo's fault, perhaps not: the next run may succeed.
    Retry(String),
    /// Not the photo's fault at all (a full disk, say): to be run again, and no attempt counted.
    Postpone(String),
    /// The same photo will fail again. For a person.
    Failed(String),
}

impl From<blobs::Error> for ProcessOutcome {
    fn from(error: blobs::Error) -> Self {
        match error {
            blobs::Error::NotFound => Self::Failed("the stored photo is missing".to_owned()),
            blobs::Error::Damaged => Self::Failed("the stored photo is damaged".to_owned()),
            error => Self::Postpone(error.to_string()),
        }
    }
}

impl From<DecodeError> for ProcessOutcome {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Undecodable(reason) => Self::Failed(reason),
            DecodeError::Unsupported(reason) => Self::Done(Effect::Unsupported { reason }),
            DecodeError::Died(reason) => Self::Retry(reason),
        }
    }
}

impl Intake {
    /// Runs one processing task up to what is left to commit.
    pub async fn process(&self, claim: &Claim) -> ProcessOutcome {
        self.try_process(claim).await.unwrap_or_else(|outcome| outcome)
    }

    async fn try_process(&self, claim: &Claim) -> Result<ProcessOutcome, ProcessOutcome> {
        let found = match claim.task.capture_id {
            Some(id) => self.records.capture(id).await,
            None => Ok(None),
        };
        let found = found.map_err(|error| ProcessOutcome::Postpone(error.to_string()))?;
        let capture = found.ok_or_else(|| ProcessOutcome::Failed("the capture was deleted".to_owned()))?;
        let photo = self.read_photo(&capture).await?;
        let developed = self.decoder.develop(photo.clone()).await?;
        let derivatives = self.publish_derivatives(claim, &capture, &developed).await?;
        let replacement = match self.replace(claim, &capture, &developed, photo).await {
            Ok(replacement) => replacement,
            Err(outcome) => {
                self.remove_derivatives(&derivatives).await;
                return Err(outcome);
            }
        };
        Ok(ProcessOutcome::Done(Effect::Processed(Box::new(Processed {
            width_px: developed.width_px,
            height_px: developed.height_px,
            taken_at: developed.taken_at,
            placeholder: developed.placeholder,
            sharpness: developed.sharpness,
            brightness: developed.brightness,
            perceptual_hash: developed.perceptual_hash,
            near_duplicate_bits_max: self.options.near_duplicate_bits_max,
            derivatives,
            replacement,
        }))))
    }

    /// Makes the derivatives durable, all of them in one blob: a file and its fsync for each of them would cost those
    /// who upload meanwhile more than decoding does.
    async fn publish_derivatives(
        &self,
        claim: &Claim,
        capture: &Capture,
        developed: &Developed,
    ) -> Result<Vec<Derivative>, blobs::Error> {
        let key = self.key_now(&format!("{}.{}.derivatives", capture.id.simple(), claim.fence));
        let mut staging = self.derivatives.stage();
        let (mut derivatives, mut offset_bytes) = (Vec::new(), 0);
        for derivative in &developed.derivatives {
            let size_bytes = derivative.bytes.len() as u64;
            derivatives.push(Derivative {
                size: derivative.size.as_str().to_owned(),
                content_type: derivative.image_type.content_type().to_owned(),
                blob_key: key.clone(),
                offset_bytes,
                size_bytes,
                width_px: derivative.width_px,
                height_px: derivative.height_px,
                sha256: Sha256::digest(&derivative.bytes).into(),
            });
            staging.write(derivative.bytes.clone().into()).await?;
            offset_bytes += size_bytes;
        }
        if !derivatives.is_empty() {
            let staged = staging.finish(|_| ()).await?.0;
            self.derivatives.publish(vec![(staged, key)]).await?;
        }
        Ok(derivatives)
    }

    async fn read_photo(&self, capture: &Capture) -> Result<Vec<u8>, ProcessOutcome> {
        let (mut file, size_bytes) = self.open_photo(capture).await.map_err(|refusal| match refusal {
            FileRefusal::Damaged => ProcessOutcome::from(blobs::Error::Damaged),
            FileRefusal::Store(error) => error.into(),
        })?;
        let mut photo = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0));
        loop {
            let (again, piece) = self.blobs.read_piece(file, PIECE_BYTES).await?;
            if piece.is_empty() {
                return Ok(photo);
            }
            photo.extend_from_slice(&piece);
            file = again;
        }
    }

    /// Where the policy says so: the photo without its metadata, durable beside the original.
    async fn replace(
        &self,
        claim: &Claim,
        capture: &Capture,
        developed: &Developed,
        photo: Vec<u8>,
    ) -> Result<Option<StoredBlob>, ProcessOutcome> {
        if self.options.original == Original::Keep || capture.processing.received_sha256.is_some() {
            return Ok(None);
        }
        let bare = self.decoder.strip(photo).await?;
        let sha256: [u8; 32] = Sha256::digest(&bare).into();
        if sha256 == capture.blob.sha256 {
            return Ok(None);
        }
        let extension = developed.image_type.extension();
        let key = self.key_now(&format!("{}.{}.{extension}", capture.id, claim.fence));
        let size_bytes = bare.len() as u64;
        let mut staging = self.blobs.stage();
        staging.write(bare.into()).await?;
        self.blobs.publish(vec![(staging.finish(|_| ()).await?.0, key.clone())]).await?;
        Ok(Some(StoredBlob { key, format: "plain".to_owned(), size_bytes, sha256 }))
    }

    fn key_now(&self, name: &str) -> String {
        blobs::key_at((self.clock)().as_second(), name)
    }

    /// Removes what a run published whose effect did not take place.
    pub async fn discard(&self, effect: Effect) {
        let Effect::Processed(processed) = effect else { return };
        self.remove_derivatives(&processed.derivatives).await;
        if let Some(blob) = processed.replacement
            && let Err(error) = self.blobs.unpublish(vec![PublishedBlob { key: blob.key }]).await
        {
            tracing::warn!(%error, "a photo that took nobody's place could not be removed; the next start sets it aside");
        }
    }

    async fn remove_derivatives(&self, derivatives: &[Derivative]) {
        let keys: BTreeSet<&String> = derivatives.iter().map(|derivative| &derivative.blob_key).collect();
        let blobs = keys.into_iter().map(|key| PublishedBlob { key: key.clone() }).collect();
        if let Err(error) = self.derivatives.unpublish(blobs).await {
            tracing::warn!(%error, "derivatives that belong to no capture could not be removed; a sweep will");
        }
    }

    /// Decodes each photo before its upload is answered, for deployments that want to know by then.
    pub(crate) async fn decode_all(&self, staged: Vec<StagedCapture>) -> Result<Vec<StagedCapture>, Refusal> {
        let mut decoded = Vec::with_capacity(staged.len());
        let of_event = staged.iter().any(|capture| capture.metadata.trigger != Trigger::Interval);
        for StagedCapture { key, metadata, received_at, blob, structure } in staged {
            // Photos are read back whole: only so many at once, however many uploads there are.
            let turn = self.verifying.take(of_event).await;
            let (blob, photo) = blob.read().await?;
            match self.decoder.verify(photo).await {
                // What no build of ours can decode is taken on the word of its structure.
                Ok(()) | Err(DecodeError::Unsupported(_)) => {}
                Err(DecodeError::Undecodable(reason)) => return Err(Refusal::Undecodable { key, reason }),
                Err(DecodeError::Died(reason)) => {
                    tracing::warn!(reason, "a photo could not be decoded before its answer");
                    return Err(Refusal::Undecided);
                }
            }
            drop(turn);
            decoded.push(StagedCapture { key, metadata, received_at, blob, structure });
        }
        Ok(decoded)
    }
}

/// Bytes read from the disk at once.
const PIECE_BYTES: usize = 256 * 1024;
