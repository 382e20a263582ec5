//! The check of rows against files, and their repair.

use std::collections::HashSet;
use std::time::Duration;

use blobs::Part;
use records::Capture;
use serde::Serialize;
use uuid::Uuid;

use crate::Intake;
use crate::delete::part_of;

/// Rows looked at in one step.
pub(crate) const STEP: usize = 500;

/// How to check.
#[derive(Clone, Copy, Debug)]
pub struct FsckOptions {
    /// Read every photo and compare its checksum.
    pub deep: bool,
    /// Set aside what does not fit: files into quarantine, rows into a note beside them.
    pub repair: bool,
    /// Files younger than this may still be on their way to their row: beside a running server, some minutes.
    pub orphan_age_min: Duration,
}

/// What a check found. Names are of captures and keys, never of people.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FsckReport {
    /// Rows looked at.
    pub captures_checked: u64,
    /// Files looked at.
    pub files_checked: u64,
    /// Captures whose photo is still on another node, which took it (`ingest.durability = "node"`): not judged.
    pub captures_not_shipped: u64,
    /// Captures whose file is not there.
    pub captures_without_file: Vec<Uuid>,
    /// Captures whose file has another size.
    pub captures_of_wrong_size: Vec<Uuid>,
    /// Captures whose bytes are not those that were stored (only with `deep`).
    pub captures_damaged: Vec<Uuid>,
    /// Files that no row names.
    pub files_without_capture: Vec<String>,
    /// Files of deleted captures.
    pub files_of_deleted_captures: Vec<String>,
    /// Derivatives looked at.
    pub derivatives_checked: u64,
    /// Captures with a derivative that is missing or (with `deep`) damaged: `repair` has them processed again.
    pub captures_of_lost_derivatives: Vec<Uuid>,
    /// Derivatives that no row names.
    pub derivatives_without_capture: Vec<String>,
    /// What the catalog's own check says.
    pub catalog_problems: Vec<String>,
    /// What `repair` set aside or removed.
    pub repaired: u64,
}

impl FsckReport {
    /// Whether nothing was found wrong.
    pub fn is_clean(&self) -> bool {
        self.captures_without_file.is_empty()
            && self.captures_of_wrong_size.is_empty()
            && self.captures_damaged.is_empty()
            && self.files_without_capture.is_empty()
            && self.files_of_deleted_captures.is_empty()
            && self.captures_of_lost_derivatives.is_empty()
            && self.derivatives_without_capture.is_empty()
            && self.catalog_problems.is_empty()
    }
}

/// Why a check could not be done.
pub type FsckError = Box<dyn std::error::Error + Send + Sync>;

enum Fault {
    NotShipped,
    Missing,
    WrongSize,
    Damaged,
}

impl Intake {
    /// Checks every row against its file and every file against its row. `progress` hears of rows done.
    ///
    /// # Errors
    /// Where the catalog or the store cannot be read at all.
    pub async fn fsck(&self, options: FsckOptions, progress: impl Fn(u64)) -> Result<FsckReport, FsckError> {
        let mut report =
            FsckReport { catalog_problems: self.records.check_integrity().await?, ..FsckReport::default() };
        self.check_rows(options, &mut report, progress).await?;
        for folder in self.blobs.time_folders().await? {
            let orphans = self.orphans_in(folder, options.orphan_age_min, &mut report.files_checked).await?;
            report.files_without_capture.extend(orphans.unknown);
            report.files_of_deleted_captures.extend(orphans.buried);
        }
        self.check_derivatives(options, &mut report).await?;
        if options.repair {
            report.repaired += self.set_aside(&report.files_without_capture, &report.files_of_deleted_captures).await?;
        }
        Ok(report)
    }

    async fn check_rows(
        &self,
        options: FsckOptions,
        report: &mut FsckReport,
        progress: impl Fn(u64),
    ) -> Result<(), FsckError> {
        let mut after = Uuid::nil();
        loop {
            let captures = self.records.captures_by_id(after, STEP).await?;
            let Some(last) = captures.last() else { return Ok(()) };
            after = last.id;
            for capture in &captures {
                report.captures_checked += 1;
                let Some(fault) = self.check_row(capture, options.deep).await? else { continue };
                if matches!(fault, Fault::NotShipped) {
                    report.captures_not_shipped += 1;
                    continue;
                }
                // Deleted or replaced while we looked is no fault.
                if self.records.capture(capture.id).await?.is_none_or(|now| now.blob != capture.blob) {
                    continue;
                }
                match fault {
                    Fault::NotShipped => {}
                    Fault::Missing => report.captures_without_file.push(capture.id),
                    Fault::WrongSize => report.captures_of_wrong_size.push(capture.id),
                    Fault::Damaged => report.captures_damaged.push(capture.id),
                }
                if options.repair {
                    self.quarantine_capture(capture, matches!(fault, Fault::Missing)).await?;
                    report.repaired += 1;
                }
            }
            progress(report.captures_checked);
        }
    }

    async fn check_derivatives(&self, options: FsckOptions, report: &mut FsckReport) -> Result<(), FsckError> {
        let mut after = (String::new(), None);
        loop {
            let derivatives = self.records.derivatives_by_key(after, STEP).await?;
            let Some((_, last)) = derivatives.last() else { break };
            after = (last.blob_key.clone(), Some(last.offset_bytes));
            for (capture_id, derivative) in derivatives {
                report.derivatives_checked += 1;
                let part = part_of(&derivative);
                let intact = match self.derivatives.look(derivative.blob_key.clone(), part, options.deep).await {
                    Ok(found) => {
                        found.size_bytes == derivative.size_bytes
                            && found.sha256.is_none_or(|sha256| sha256 == derivative.sha256)
                    }
                    Err(blobs::Error::NotFound | blobs::Error::BadKey(_)) => false,
                    Err(error) => return Err(error.into()),
                };
                // Deleted or made anew while we looked is no fault.
                let is_current = |rows: Vec<records::Derivative>| rows.contains(&derivative);
                if intact || !is_current(self.records.derivatives(capture_id).await?) {
                    continue;
                }
                if !report.captures_of_lost_derivatives.contains(&capture_id) {
                    report.captures_of_lost_derivatives.push(capture_id);
                    if options.repair {
                        self.records.rederive(capture_id, (self.clock)()).await?;
                        report.repaired += 1;
                    }
                }
            }
        }
        for folder in self.derivatives.time_folders().await? {
            for key in self.unrecorded_in(folder).await? {
                if options.repair {
                    self.derivatives.delete(key.clone()).await?;
                    report.repaired += 1;
                }
                report.derivatives_without_capture.push(key);
            }
        }
        Ok(())
    }

    async fn check_row(&self, capture: &Capture, deep: bool) -> Result<Option<Fault>, FsckError> {
        let found = match self.blobs.look(capture.blob.key.clone(), Part::WHOLE, deep).await {
            Ok(found) => found,
            Err(blobs::Error::NotShipped) => return Ok(Some(Fault::NotShipped)),
            Err(blobs::Error::NotFound | blobs::Error::BadKey(_)) => return Ok(Some(Fault::Missing)),
            Err(error) => return Err(error.into()),
        };
        Ok(if found.size_bytes != capture.blob.size_bytes {
            Some(Fault::WrongSize)
        } else if found.sha256.is_some_and(|sha256| sha256 != capture.blob.sha256) {
            Some(Fault::Damaged)
        } else {
            None
        })
    }

    /// Everything known of the row goes into a note first, then the file aside, then the row: cut off at any point, a
    /// second run goes on.
    async fn quarantine_capture(&self, capture: &Capture, file_is_missing: bool) -> Result<(), FsckError> {
        let note = serde_json::json!({
            "id": capture.id, "session_id": capture.session_id, "filename": capture.filename,
            "blob_key": capture.blob.key, "size_bytes": capture.blob.size_bytes,
            "sha256": hex::encode(capture.blob.sha256), "content_type": capture.content_type,
            "capture_trigger": capture.trigger, "assessment_type": capture.assessment_type.as_str(),
            "assessment_id": capture.assessment_id, "captured_at": capture.captured_at,
            "received_at": capture.received_at.to_string(), "metadata": capture.metadata,
        });
        self.blobs.quarantine_note(format!("{}.json", capture.id), note.to_string()).await?;
        if !file_is_missing {
            self.blobs.quarantine(capture.blob.key.clone()).await?;
        }
        match self.records.delete_capture(capture.id, "fsck: set aside".to_owned(), (self.clock)()).await {
            // Deleted in the meantime: gone is what it should be.
            Ok(_) | Err(records::Error::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The files of one time folder that no row names.
    pub(crate) async fn orphans_in(
        &self,
        folder: String,
        age_min: Duration,
        checked: &mut u64,
    ) -> Result<Orphans, FsckError> {
        // Files first, rows second: a photo recorded in between has its row by then.
        let files = self.blobs.list(folder.clone()).await?;
        let mut being_made = HashSet::new();
        for file in &files {
            if self.is_being_made(&file.key).await? {
                being_made.insert(file.key.clone());
            }
        }
        let known: HashSet<String> = self.records.blob_keys_in(folder).await?.into_iter().collect();
        *checked += files.len() as u64;
        let mut orphans = Orphans::default();
        let orphaned = |file: &blobs::ListedBlob| {
            !known.contains(&file.key) && !being_made.contains(&file.key) && file.age >= age_min
        };
        for file in files.into_iter().filter(orphaned) {
            if self.records.blob_is_buried(file.key.clone()).await? {
                orphans.buried.push(file.key);
            } else {
                orphans.unknown.push(file.key);
            }
        }
        Ok(orphans)
    }

    /// Quarantines files that nobody knows; deletes those whose capture was deleted.
    pub(crate) async fn set_aside(&self, unknown: &[String], buried: &[String]) -> Result<u64, FsckError> {
        for key in unknown {
            self.blobs.quarantine(key.clone()).await?;
        }
        for key in buried {
            self.blobs.delete(key.clone()).await?;
        }
        Ok((unknown.len() + buried.len()) as u64)
    }
}

/// Files without a row.
#[derive(Default)]
pub(crate) struct Orphans {
    /// That no tombstone names either.
    pub(crate) unknown: Vec<String>,
    /// Of deleted captures.
    pub(crate) buried: Vec<String>,
}
