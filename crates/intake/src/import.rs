//! Photos of another program, taken over from files: checked as uploads are, published as uploads are, and recorded
//! with their own times and settings.
//!
//! The file is read and never changed. A [`Ready`] photo is durable and has no row yet; [`Intake::take_over`] records
//! it or takes its bytes back.

use std::fs::File;

use blobs::PublishedBlob;
use imaging::{Defect, Structure};
use jiff::Timestamp;
use records::{AssessmentType, NewCapture, OldCapture, StoredBlob, TakenOver, uuid_at};
use uuid::Uuid;

use crate::{Intake, Refusal, Trigger};

/// Bytes read from the disk at once.
const PIECE_BYTES: usize = 256 * 1024;
/// When its task is run: after everything that somebody uploads meanwhile, of which there are two kinds.
const TASK_PRIORITY: u32 = 2;

/// What another program knows of a photo.
#[derive(Clone, Debug)]
pub struct OldPhoto {
    /// The id it gets.
    pub id: Uuid,
    /// Its session here.
    pub session_id: Uuid,
    /// The filename it is to keep; none where that cannot be.
    pub filename: Option<String>,
    /// When it was received.
    pub received_at: Timestamp,
    /// Why it was taken, in whatever case.
    pub trigger: String,
    /// What it belongs to.
    pub assessment_type: AssessmentType,
    /// Which one, as a JSON scalar.
    pub assessment_id: Option<String>,
    /// The settings it was taken under: JSON.
    pub settings_snapshot: Option<String>,
    /// What else is to be kept: a JSON object.
    pub metadata: serde_json::Value,
}

/// A photo whose bytes are durable here. Dropped, they stay without a row until recovery sets them aside.
#[must_use]
pub struct Ready {
    old: OldCapture,
    blob: PublishedBlob,
}

impl Ready {
    /// Its id.
    pub fn id(&self) -> Uuid {
        self.old.capture.id
    }

    /// The filename it gets where another capture has the one that it is to keep.
    pub fn filename_otherwise(&self) -> &str {
        &self.old.filename_otherwise
    }
}

/// Why a file is no photo that can be taken over.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Larger than any upload may be.
    #[error("the photo is larger than {0} bytes (ingest.upload_bytes_max)")]
    TooLarge(u64),
    /// No photo, or not a whole one.
    #[error(transparent)]
    Defect(#[from] Defect),
}

impl Unusable {
    /// A stable word for programs: an upload's own.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "photo_too_large",
            Self::Defect(defect) => defect.code(),
        }
    }
}

impl Intake {
    /// What is wrong with a file, without taking it in. Reads it on a thread that may wait.
    ///
    /// # Errors
    /// Where the thread could not be had.
    pub async fn look_at(&self, file: File) -> Result<Result<Structure, Unusable>, Refusal> {
        let limits = self.limits.clone();
        let look = move || {
            let length = file.metadata().map_err(Defect::from)?.len();
            if length > limits.upload_bytes_max {
                return Err(Unusable::TooLarge(limits.upload_bytes_max));
            }
            Ok(imaging::inspect(&file, &limits.image)?)
        };
        tokio::task::spawn_blocking(look).await.map_err(|error| Refusal::Internal(error.to_string()))
    }

    /// Takes a file's bytes in, checks them, and makes them durable under a key of their own.
    ///
    /// # Errors
    /// A [`Refusal`] where the store takes nothing; [`Unusable`] inside where the file is no photo, of which then
    /// nothing stays.
    pub async fn make_ready(&self, old: OldPhoto, mut file: File) -> Result<Result<Ready, Unusable>, Refusal> {
        let limits = self.limits.clone();
        let mut staging = self.blobs.stage();
        let mut bytes_left = limits.upload_bytes_max;
        loop {
            let piece;
            (file, piece) = self.blobs.read_piece(file, PIECE_BYTES).await?;
            if piece.is_empty() {
                break;
            }
            match bytes_left.checked_sub(piece.len() as u64) {
                Some(left) => bytes_left = left,
                None => return Ok(Err(Unusable::TooLarge(limits.upload_bytes_max))),
            }
            staging.write(piece.into()).await?;
        }
        let (blob, structure) = staging.finish(move |file| imaging::inspect(file, &limits.image)).await?;
        let structure = match structure {
            Ok(structure) => structure,
            // Of the disk and not of the photo: it may be whole.
            Err(Defect::Io(error)) => return Err(Refusal::Internal(error.to_string())),
            Err(defect) => return Ok(Err(defect.into())),
        };
        let now = (self.clock)();
        let filename_otherwise = format!("{}.{}", old.id, structure.image_type.extension());
        // By the time it is published, as of every photo: recovery looks at the newest folders. And a name of its own:
        // what an earlier run published and did not live to record may still lie there.
        let key = blobs::key_at(now.as_second(), &format!("{}.{}", uuid_at(now), structure.image_type.extension()));
        let trigger = Trigger::parse(&old.trigger);
        let capture = NewCapture {
            id: old.id,
            task_id: uuid_at(now),
            task_priority: TASK_PRIORITY,
            filename: old.filename.unwrap_or_else(|| filename_otherwise.clone()),
            blob: StoredBlob {
                key: key.clone(),
                format: "plain".to_owned(),
                size_bytes: blob.size_bytes,
                sha256: blob.sha256,
            },
            content_type: structure.image_type.content_type().to_owned(),
            width_px: structure.width_px,
            height_px: structure.height_px,
            trigger: trigger.as_str().to_owned(),
            assessment_type: old.assessment_type,
            assessment_id: old.assessment_id,
            captured_at: None,
            received_at: old.received_at,
            metadata: old.metadata.to_string(),
        };
        let published = self.blobs.publish(vec![(blob, key)]).await?.pop();
        let blob = published.ok_or_else(|| Refusal::Internal("nothing was published".to_owned()))?;
        let session_id = old.session_id;
        let settings_snapshot = old.settings_snapshot;
        Ok(Ok(Ready { old: OldCapture { session_id, capture, filename_otherwise, settings_snapshot }, blob }))
    }

    /// Records photos that are ready, in one transaction; what became of each. The bytes of those that are not
    /// recorded are taken back.
    ///
    /// # Errors
    /// A [`Refusal`]; then none is recorded, but for [`Refusal::OutcomeUnknown`] and [`Refusal::StorageStopped`], where
    /// that is not known: they are tried again, and then it is.
    pub async fn take_over(&self, ready: Vec<Ready>) -> Result<Vec<(Uuid, TakenOver)>, Refusal> {
        let (old, blobs): (Vec<OldCapture>, Vec<PublishedBlob>) =
            ready.into_iter().map(|ready| (ready.old, ready.blob)).unzip();
        let ids: Vec<Uuid> = old.iter().map(|old| old.capture.id).collect();
        let sizes: Vec<u64> = old.iter().map(|old| old.capture.blob.size_bytes).collect();
        let outcome = match self.records.take_over(old).await {
            Ok(outcome) => outcome,
            // The commit may hold: to take the bytes back could leave rows without them.
            Err(error @ (records::Error::OutcomeUnknown(_) | records::Error::Stopped)) => return Err(error.into()),
            Err(error) => {
                self.take_back(blobs).await;
                return Err(error.into());
            }
        };
        let mut in_vain = Vec::new();
        for ((outcome, blob), size) in outcome.iter().zip(blobs).zip(sizes) {
            if matches!(outcome, TakenOver::Recorded { .. }) {
                self.metrics.captures_stored.inc();
                self.metrics.bytes_stored.inc_by(size);
            } else {
                in_vain.push(blob);
            }
        }
        self.take_back(in_vain).await;
        Ok(ids.into_iter().zip(outcome).collect())
    }

    async fn take_back(&self, blobs: Vec<PublishedBlob>) {
        if let Err(error) = self.blobs.unpublish(blobs).await {
            tracing::warn!(%error, "photos that were not recorded could not be removed; the next start sets them aside");
        }
    }
}
