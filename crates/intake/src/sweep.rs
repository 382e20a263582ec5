//! What is put in order at the start, and from time to time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::Intake;
use crate::fsck::{FsckError, Orphans, STEP};

/// Time folders that recovery looks at: a crash leaves photos without a row only in the newest.
const RECOVERY_FOLDERS: usize = 120;

/// What recovery found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovered {
    /// Staging files of uploads that a crash cut off: removed.
    pub staging_files: usize,
    /// Photos that were published and not recorded, so never answered: set aside.
    pub files_quarantined: u64,
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Swept {
    /// Sign-ins that had expired.
    pub sign_ins: usize,
    /// Tombstones past their time.
    pub tombstones: usize,
    /// Idempotency keys past their time.
    pub idempotency_keys: usize,
    /// Files past their time in quarantine.
    pub quarantined_files: usize,
}

impl Intake {
    /// Puts in order what a crash left. Only for the owner of the folder, before it takes requests.
    ///
    /// # Errors
    /// Where the catalog or the store cannot be read.
    pub async fn recover(&self) -> Result<Recovered, FsckError> {
        let staging_files = self.blobs.clear_staging().await?;
        let folders = self.blobs.time_folders().await?;
        let mut orphans = Orphans::default();
        for folder in folders.iter().rev().take(RECOVERY_FOLDERS) {
            let found = self.orphans_in(folder.clone(), Duration::ZERO, &mut 0).await?;
            orphans.unknown.extend(found.unknown);
            orphans.buried.extend(found.buried);
        }
        let files_quarantined = self.set_aside(&orphans.unknown, &orphans.buried).await?;
        // Wherever they lie: a photo may be years old when it is deleted. What fails was logged, and is no reason not
        // to start.
        self.finish_deletions(None).await?;
        Ok(Recovered { staging_files, files_quarantined })
    }

    /// Forgets what is past its time.
    ///
    /// # Errors
    /// Where the catalog or the store fails; the next sweep goes on.
    pub async fn sweep(&self, idempotency_keep: Duration, quarantine_keep: Duration) -> Result<Swept, FsckError> {
        let now = (self.clock)();
        let before = now.checked_sub(SignedDuration::try_from(idempotency_keep)?)?;
        // A tombstone is all that is known of bytes that should be gone.
        let failed = self.finish_deletions(Some(before)).await?;
        if failed > 0 {
            return Err(format!("{failed} photos of deleted captures cannot be removed; nothing is forgotten").into());
        }
        let (tombstones, idempotency_keys) = self.records.forget_before(before).await?;
        Ok(Swept {
            sign_ins: self.records.forget_expired_sign_ins(now).await?,
            tombstones,
            idempotency_keys,
            quarantined_files: self.blobs.clear_quarantine(quarantine_keep).await?,
        })
    }

    /// Deletes the bytes that a crash or a failing disk has kept though their capture was deleted; how many of them
    /// cannot be.
    async fn finish_deletions(&self, deleted_before: Option<Timestamp>) -> Result<u64, FsckError> {
        let mut failed = 0;
        let mut after = String::new();
        loop {
            let keys = self.records.buried_blob_keys(after, deleted_before, STEP).await?;
            let Some(last) = keys.last() else { return Ok(failed) };
            after = last.clone();
            for key in keys {
                if matches!(self.blobs.look(key.clone(), false).await, Err(blobs::Error::NotFound)) {
                    continue;
                }
                if let Err(error) = self.blobs.delete(key.clone()).await {
                    tracing::error!(%error, key, "the bytes of a deleted capture are still there");
                    failed += 1;
                }
            }
        }
    }
}
