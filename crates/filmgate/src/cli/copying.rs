//! Bytes that a catalog names, copied from one store to another: for moving house, backups and restores.
//!
//! Each photo is verified against its SHA-256 on the way in and read back on the other side. What is there already, of
//! the same size and checksum, is left alone: a copy that was broken off goes on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::Context;
use blobs::{Blobs, Part};
use futures_util::StreamExt;
use records::{Capture, Derivative, Records};
use serde::Serialize;
use uuid::Uuid;

use super::progress::Progress;
use crate::app;
use crate::config::Config;

/// Captures copied at once.
const COPIED_AT_ONCE: usize = 8;
/// Rows read in one step.
const STEP: usize = 500;
/// Bytes read from the disk at once.
const PIECE_BYTES: usize = 256 * 1024;

/// The two stores of one place.
pub(super) struct Place {
    pub(super) photos: Blobs,
    pub(super) derivatives: Blobs,
}

impl Place {
    pub(super) fn open(config: &Config, staging: &Path) -> anyhow::Result<Self> {
        let (photos, derivatives) = app::open_stores(config, staging)?;
        Ok(Self { photos, derivatives })
    }
}

/// What is copied, and how.
pub(super) struct Copying<'a> {
    /// The catalog that names what is copied.
    pub(super) named: &'a Records,
    /// The catalog that the source's server works with: it knows what was deleted meanwhile.
    pub(super) live: &'a Records,
    pub(super) from: &'a Place,
    pub(super) to: &'a Place,
    /// Read what is there already through, too, instead of trusting size and noted checksum.
    pub(super) deep: bool,
    /// Only say what would be copied.
    pub(super) dry_run: bool,
}

/// What a copy did.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Captures looked at.
    pub(super) captures: u64,
    /// Blobs copied and read back, or that would be.
    pub(super) copied: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Blobs that were there already.
    pub(super) skipped: u64,
    /// Blobs whose capture was deleted or processed anew meanwhile.
    pub(super) gone: u64,
    /// Blobs that were not copied.
    pub(super) failed: Vec<Failed>,
    pub(super) dry_run: bool,
    /// Of whom the gone ones were.
    #[serde(skip)]
    pub(super) gone_blobs: Vec<Gone>,
}

/// A blob that is no longer the capture's.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) capture_id: Uuid,
    /// The photo itself, or else what was made of it.
    pub(super) is_photo: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Failed {
    capture_id: Uuid,
    key: String,
    why: String,
}

/// What became of one blob.
enum Outcome {
    Copied(u64),
    Skipped,
    Gone { is_photo: bool },
    Failed(String),
}

/// A capture's blobs, each with its key and what became of it.
type Copied = (Uuid, Vec<(String, Outcome)>);

impl Copying<'_> {
    /// Copies the bytes of every capture.
    pub(super) async fn all(&self, is_quiet: bool) -> anyhow::Result<Report> {
        let total = self.named.count_captures().await?;
        let progress = Progress::new(total, &format!("captures to {}", self.to.photos.place()), is_quiet);
        let mut report = Report { dry_run: self.dry_run, ..Report::default() };
        let mut after = Uuid::nil();
        loop {
            let captures = self.named.captures_by_id(after, STEP).await?;
            let Some(last) = captures.last() else { break };
            after = last.id;
            let copies = captures.into_iter().map(|capture| self.capture(capture));
            let mut copies = futures_util::stream::iter(copies).buffer_unordered(COPIED_AT_ONCE);
            while let Some(blobs) = copies.next().await {
                report.add(blobs?);
                let more = format!("{} copied, {} failed", report.copied, report.failed.len());
                progress.tell(report.captures, total, &more);
            }
        }
        Ok(report)
    }

    /// Copies the bytes of one capture.
    pub(super) async fn one(&self, capture: Capture, report: &mut Report) -> anyhow::Result<()> {
        report.add(self.capture(capture).await?);
        Ok(())
    }

    async fn capture(&self, capture: Capture) -> anyhow::Result<Copied> {
        let mut blobs = Vec::new();
        let key = &capture.blob.key;
        let mut outcome = self.photo(&capture).await;
        if matches!(outcome, Outcome::Failed(_)) {
            let now = self.live.capture(capture.id).await?;
            if now.is_none_or(|now| now.blob.key != *key) {
                outcome = Outcome::Gone { is_photo: true };
            }
        }
        blobs.push((key.clone(), outcome));
        let mut by_key: BTreeMap<String, Vec<Derivative>> = BTreeMap::new();
        for derivative in self.named.derivatives(capture.id).await? {
            by_key.entry(derivative.blob_key.clone()).or_default().push(derivative);
        }
        for (key, parts) in by_key {
            let mut outcome = self.derivatives(&key, &parts).await;
            if matches!(outcome, Outcome::Failed(_)) {
                let now = self.live.derivatives(capture.id).await?;
                if now.iter().all(|derivative| derivative.blob_key != key) {
                    outcome = Outcome::Gone { is_photo: false };
                }
            }
            blobs.push((key, outcome));
        }
        Ok((capture.id, blobs))
    }

    async fn photo(&self, capture: &Capture) -> Outcome {
        let (size_bytes, sha256) = (capture.blob.size_bytes, capture.blob.sha256);
        let outcome = async {
            if self.to.photos.holds(&capture.blob.key, size_bytes, sha256, self.deep).await? {
                return Ok(Outcome::Skipped);
            }
            if !self.dry_run {
                move_over(&self.from.photos, &self.to.photos, &capture.blob.key, sha256).await?;
            }
            Ok::<_, anyhow::Error>(Outcome::Copied(size_bytes))
        };
        outcome.await.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")))
    }

    /// Those of one run share a blob, whose own checksum nobody knows: each part has one.
    async fn derivatives(&self, key: &str, parts: &[Derivative]) -> Outcome {
        let (from, to) = (&self.from.derivatives, &self.to.derivatives);
        let outcome = async {
            let there = from.look(key.to_owned(), Part::WHOLE, true).await?;
            let sha256 = there.sha256.context("no checksum")?;
            if to.holds(key, there.size_bytes, sha256, self.deep).await? {
                return Ok(Outcome::Skipped);
            }
            for part in parts {
                let place = Part { offset_bytes: part.offset_bytes, size_bytes: part.size_bytes };
                anyhow::ensure!(
                    from.look(key.to_owned(), place, true).await?.sha256 == Some(part.sha256),
                    "{} is damaged: filmgate fsck --deep --repair has it made again",
                    part.size
                );
            }
            if !self.dry_run {
                move_over(from, to, key, sha256).await?;
            }
            Ok::<_, anyhow::Error>(Outcome::Copied(there.size_bytes))
        };
        outcome.await.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")))
    }
}

/// Reads it checked, publishes it, and reads it back.
async fn move_over(from: &Blobs, to: &Blobs, key: &str, sha256: [u8; 32]) -> anyhow::Result<()> {
    let (mut file, size_bytes) = from.open_verified(key.to_owned(), Part::WHOLE, sha256).await.context("reading it")?;
    let mut staging = to.stage();
    loop {
        let (again, piece) = from.read_piece(file, PIECE_BYTES).await.context("reading it")?;
        if piece.is_empty() {
            break;
        }
        staging.write(piece.into()).await.context("staging it")?;
        file = again;
    }
    let (staged, ()) = staging.finish(|_| ()).await.context("staging it")?;
    anyhow::ensure!(staged.sha256 == sha256 && staged.size_bytes == size_bytes, "it changed while it was read");
    match to.look(key.to_owned(), Part::WHOLE, false).await {
        Err(blobs::Error::NotFound) => {}
        // Half of an earlier copy, or damaged since: what is there is not what the catalog names.
        Ok(_) => to.delete(key.to_owned()).await.context("removing what was in its place")?,
        Err(error) => return Err(error).context("looking at its place"),
    }
    to.publish(vec![(staged, key.to_owned())]).await.context("writing it")?;
    let back = to.look(key.to_owned(), Part::WHOLE, true).await.context("reading it back")?;
    anyhow::ensure!(back.sha256 == Some(sha256), "it was read back, and its bytes are not those that were written");
    Ok(())
}

impl Report {
    fn add(&mut self, (capture_id, blobs): Copied) {
        self.captures += 1;
        for (key, outcome) in blobs {
            match outcome {
                Outcome::Copied(bytes) => {
                    self.copied += 1;
                    self.bytes += bytes;
                }
                Outcome::Skipped => self.skipped += 1,
                Outcome::Gone { is_photo } => {
                    self.gone += 1;
                    self.gone_blobs.push(Gone { capture_id, is_photo });
                }
                Outcome::Failed(why) => self.failed.push(Failed { capture_id, key, why }),
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.dry_run { "would be copied" } else { "copied and read back" };
        let megabytes = f64::from(u32::try_from(self.bytes / 100_000).unwrap_or(u32::MAX)) / 10.0;
        write!(
            f,
            "{} captures: {} blobs ({megabytes:.1} MB) {verb}, {} were there already",
            self.captures, self.copied, self.skipped
        )?;
        if self.gone > 0 {
            write!(f, "\n{} were deleted or made anew meanwhile", self.gone)?;
        }
        if !self.failed.is_empty() {
            write!(f, "\n{} failed; run it again, and look at these:", self.failed.len())?;
        }
        for failed in &self.failed {
            write!(f, "\n  {} of {}: {}", failed.key, failed.capture_id, failed.why)?;
        }
        Ok(())
    }
}
