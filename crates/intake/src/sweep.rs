//! What is put in order at the start, and from time to time.

use std::collections::HashSet;
use std::time::Duration;

use blobs::Part;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::Intake;
use crate::fsck::{FsckError, Orphans, STEP};

/// Time folders that recovery looks at: a crash leaves photos without a row only in the newest.
const RECOVERY_FOLDERS: usize = 120;

/// On a shared catalog other nodes record while this one looks: a photo may be on its way to its row for this long.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);
/// And so many time folders may have had uploads since the sweep before the last.
const SWEPT_FOLDERS: usize = 240;

/// A worker beside the server may be writing a staging file of derivatives just now; one that has not changed for so
/// long is nobody's.
const STAGING_AGE: Duration = Duration::from_secs(6 * 3600);

/// How long an upload in parts may take before it is taken for abandoned: longer than any request's time allows.
const PARTS_AGE: Duration = Duration::from_secs(24 * 3600);

/// What recovery found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovered {
    /// Staging files of uploads that a crash cut off: removed.
    pub staging_files: usize,
    /// Photos that were published and not recorded, so never answered: set aside.
    pub files_quarantined: u64,
}

/// For how long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Tombstones and idempotency keys.
    pub idempotency: Duration,
    /// Files in quarantine.
    pub quarantine: Duration,
    /// Tasks that are done.
    pub tasks: Duration,
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
    /// Derivatives that a worker published and never recorded.
    pub derivatives: usize,
    /// Tasks that were done long ago.
    pub tasks: usize,
    /// Files past their time in quarantine.
    pub quarantined_files: usize,
}

impl Intake {
    /// Puts in order what a crash left. Only for the owner of the folder, before it takes requests.
    ///
    /// # Errors
    /// Where the catalog or the store cannot be read.
    pub async fn recover(&self) -> Result<Recovered, FsckError> {
        let staging_files = self.blobs.clear_staging(Duration::ZERO).await?;
        self.derivatives.clear_staging(STAGING_AGE).await?;
        if self.records.is_shared() {
            // Other nodes are at work: their photos have no rows yet. The sweep knows which are too old for that. What a
            // worker made under a claim that it has lost is nobody's at once.
            self.remove_doomed().await?;
            self.remove_unrecorded_derivatives(RECOVERY_FOLDERS).await?;
            return Ok(Recovered { staging_files, files_quarantined: 0 });
        }
        let folders = self.blobs.newest_time_folders(RECOVERY_FOLDERS).await?;
        let mut orphans = Orphans::default();
        for folder in folders {
            let found = self.orphans_in(folder, Duration::ZERO, &mut 0).await?;
            orphans.unknown.extend(found.unknown);
            orphans.buried.extend(found.buried);
        }
        let files_quarantined = self.set_aside(&orphans.unknown, &orphans.buried).await?;
        // Wherever they lie: a photo may be years old when it is deleted. What fails was logged, and is no reason not
        // to start.
        // (A bucket is not asked for each: what is still to go is noted as doomed.)
        if !self.blobs.is_shared() {
            self.finish_deletions(None).await?;
        }
        self.remove_doomed().await?;
        self.remove_unrecorded_derivatives(RECOVERY_FOLDERS).await?;
        Ok(Recovered { staging_files, files_quarantined })
    }

    /// Forgets what is past its time.
    ///
    /// # Errors
    /// Where the catalog or the store fails; the next sweep goes on.
    pub async fn sweep(&self, keep: Keep) -> Result<Swept, FsckError> {
        let now = (self.clock)();
        let before = now.checked_sub(SignedDuration::try_from(keep.idempotency)?)?;
        // A tombstone is all that is known of bytes that should be gone.
        let failed = self.finish_deletions(Some(before)).await?;
        if failed > 0 {
            return Err(format!("{failed} photos of deleted captures cannot be removed; nothing is forgotten").into());
        }
        // Also those of derivatives, which lie below the same prefix.
        self.blobs.abort_abandoned(PARTS_AGE).await?;
        let (tombstones, idempotency_keys) = self.records.forget_before(before).await?;
        self.remove_doomed().await?;
        self.derivatives.clear_staging(STAGING_AGE).await?;
        // A bucket is asked folder by folder, and for years there are half a million of them.
        let is_far = self.records.is_shared() || self.derivatives.is_shared();
        let folders_max = if is_far { SWEPT_FOLDERS } else { usize::MAX };
        let derivatives = self.remove_unrecorded_derivatives(folders_max).await?;
        if self.records.is_shared() {
            self.set_aside_unrecorded().await?;
        }
        let tasks = self.records.forget_tasks(now.checked_sub(SignedDuration::try_from(keep.tasks)?)?).await?;
        Ok(Swept {
            sign_ins: self.records.forget_expired_sign_ins(now).await?,
            tombstones,
            idempotency_keys,
            derivatives,
            tasks,
            quarantined_files: self.blobs.clear_quarantine(keep.quarantine).await?,
        })
    }

    /// Sets aside photos that nodes published and did not live to record.
    async fn set_aside_unrecorded(&self) -> Result<(), FsckError> {
        for folder in self.blobs.newest_time_folders(SWEPT_FOLDERS).await? {
            let orphans = self.orphans_in(folder, ORPHAN_AGE, &mut 0).await?;
            let aside = self.set_aside(&orphans.unknown, &orphans.buried).await?;
            if aside > 0 {
                tracing::warn!(aside, "photos that a node left without a row, never answered, are set aside");
            }
        }
        Ok(())
    }

    /// Removes what workers published and did not live to record, in the newest folders.
    async fn remove_unrecorded_derivatives(&self, folders_max: usize) -> Result<usize, FsckError> {
        let mut removed = 0;
        for folder in self.derivatives.newest_time_folders(folders_max).await? {
            for key in self.unrecorded_in(folder).await? {
                self.derivatives.delete(key).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Derivatives of one time folder that no row names and none ever will.
    pub(crate) async fn unrecorded_in(&self, folder: String) -> Result<Vec<String>, FsckError> {
        let mut unrecorded: Vec<String> =
            self.derivatives.list(folder.clone()).await?.into_iter().map(|file| file.key).collect();
        // Nearly all have their row: only of the rest is asked, one by one, whether they are being made.
        self.drop_recorded(&folder, &mut unrecorded).await?;
        let mut orphans = Vec::new();
        for key in unrecorded {
            if !self.is_being_made(&key).await? {
                orphans.push(key);
            }
        }
        if !orphans.is_empty() {
            // Rows last: what was recorded in between has its row by then.
            self.drop_recorded(&folder, &mut orphans).await?;
        }
        Ok(orphans)
    }

    async fn drop_recorded(&self, folder: &str, keys: &mut Vec<String>) -> Result<(), FsckError> {
        let known: HashSet<String> = self.records.derivative_keys_in(folder.to_owned()).await?.into_iter().collect();
        keys.retain(|key| !known.contains(key));
        Ok(())
    }

    /// Whether a worker that still holds its task published this, and may record it yet. Fences only go up, so what
    /// is not held any more never will be.
    pub(crate) async fn is_being_made(&self, key: &str) -> Result<bool, FsckError> {
        match claim_in(key) {
            Some((capture_id, fence)) => Ok(self.records.is_processing(capture_id, fence).await?),
            None => Ok(false),
        }
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
                if matches!(self.blobs.look(key.clone(), Part::WHOLE, false).await, Err(blobs::Error::NotFound)) {
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

/// The capture and the fence in the name of what a processing task made: `<capture>.<fence>.…`.
fn claim_in(key: &str) -> Option<(Uuid, i64)> {
    let mut parts = key.rsplit('/').next()?.split('.');
    let (capture_id, fence) = (parts.next()?, parts.next()?);
    parts.next()?;
    Some((Uuid::try_parse(capture_id).ok()?, fence.parse().ok()?))
}
