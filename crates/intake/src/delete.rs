//! Showing and deleting what is stored.

use std::fs::File;

use blobs::Part;
use records::{Capture, Derivative, Store};
use uuid::Uuid;

use crate::Intake;
use crate::fsck::STEP;

/// Where a derivative lies in its blob.
pub(crate) fn part_of(derivative: &Derivative) -> Part {
    Part { offset_bytes: derivative.offset_bytes, size_bytes: derivative.size_bytes }
}

/// Why a stored photo cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum FileRefusal {
    /// The bytes are not those that were stored: never served.
    #[error("the stored photo is damaged")]
    Damaged,
    /// The store does not give it.
    #[error(transparent)]
    Store(blobs::Error),
}

impl Intake {
    /// Opens a capture's photo, its bytes checked against the checksum taken as it came in.
    ///
    /// # Errors
    /// [`FileRefusal::Damaged`] on bit rot, which is also logged as an error: an operator must hear of it.
    pub async fn open_photo(&self, capture: &Capture) -> Result<(File, u64), FileRefusal> {
        match self.blobs.open_verified(capture.blob.key.clone(), Part::WHOLE, capture.blob.sha256).await {
            Ok(opened) => Ok(opened),
            Err(blobs::Error::Damaged) => {
                tracing::error!(capture_id = %capture.id, "a stored photo is damaged; it is not served. Run filmgate fsck --deep");
                Err(FileRefusal::Damaged)
            }
            Err(error) => {
                tracing::error!(capture_id = %capture.id, %error, "a stored photo cannot be read");
                Err(FileRefusal::Store(error))
            }
        }
    }

    /// Opens a picture made of a photo where it begins, its bytes checked as those of a photo are.
    ///
    /// # Errors
    /// As [`Intake::open_photo`].
    pub async fn open_derivative(
        &self,
        capture: &Capture,
        derivative: &Derivative,
    ) -> Result<(File, u64), FileRefusal> {
        match self.derivatives.open_verified(derivative.blob_key.clone(), part_of(derivative), derivative.sha256).await
        {
            Ok(opened) => Ok(opened),
            Err(blobs::Error::Damaged) => {
                tracing::error!(capture_id = %capture.id, "a derivative is damaged; it is not served. Run filmgate fsck --deep --repair");
                Err(FileRefusal::Damaged)
            }
            Err(error) => {
                tracing::error!(capture_id = %capture.id, %error, "a derivative cannot be read");
                Err(FileRefusal::Store(error))
            }
        }
    }

    /// Deletes a capture: its row gives way to a tombstone, then its bytes go.
    pub async fn delete_capture(&self, id: Uuid, reason: &str) -> records::Result<Capture> {
        let (intake, reason) = (self.clone(), reason.to_owned());
        detached(async move {
            let capture = intake.records.delete_capture(id, reason, (intake.clock)()).await?;
            intake.tidy().await;
            Ok(capture)
        })
        .await
    }

    /// Deletes a session's captures that belong to no assessment; how many.
    pub async fn delete_unlinked(&self, session_id: Uuid, reason: &str) -> records::Result<usize> {
        let (intake, reason) = (self.clone(), reason.to_owned());
        detached(async move {
            let captures = intake.records.delete_unlinked_captures(session_id, reason, (intake.clock)()).await?;
            intake.tidy().await;
            Ok(captures.len())
        })
        .await
    }

    /// Removes bytes that the catalog has given up, as far as that can be done now.
    pub async fn tidy(&self) {
        if let Err(error) = self.remove_doomed().await {
            tracing::error!(%error, "bytes that should be gone are still there; the next sweep goes on");
        }
    }

    /// Removes the bytes that the catalog has given up: of deleted captures, and of originals that were replaced.
    pub(crate) async fn remove_doomed(&self) -> Result<(), crate::fsck::FsckError> {
        for (store, blobs) in [(Store::Derivatives, &self.derivatives), (Store::Originals, &self.blobs)] {
            let mut after = String::new();
            loop {
                let keys = self.records.doomed_blobs(store, after, STEP).await?;
                let Some(last) = keys.last() else { break };
                after = last.clone();
                let mut gone = Vec::with_capacity(keys.len());
                for key in keys {
                    match blobs.delete(key.clone()).await {
                        Ok(()) => gone.push(key),
                        Err(error) => tracing::error!(%error, key, "bytes that should be gone are still there"),
                    }
                }
                self.records.forget_doomed(store, gone).await?;
            }
        }
        Ok(())
    }
}

/// Runs a deletion to its end, also when its client leaves in the middle: the bytes must go where the row has gone.
async fn detached<T: Send + 'static>(
    deletion: impl Future<Output = records::Result<T>> + Send + 'static,
) -> records::Result<T> {
    // Only a server that ends cuts it off.
    tokio::spawn(deletion).await.unwrap_or(Err(records::Error::Stopped))
}
