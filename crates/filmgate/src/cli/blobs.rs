//! `filmgate blobs`: the photos' bytes, moved from one store to another.
//!
//! What the catalog names is copied, each photo verified against its SHA-256 on the way in and read back on the other
//! side. The server may run meanwhile: what it takes in during one pass, the next one copies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use blobs::{Blobs, Part};
use clap::{Args, Subcommand};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use records::{Capture, Derivative};
use serde::Serialize;
use uuid::Uuid;

use super::{Common, output};
use crate::app::{self, App};
use crate::config::Config;

/// Captures copied at once.
const COPIED_AT_ONCE: usize = 8;
/// Rows read in one step.
const STEP: usize = 500;
/// Bytes read from the disk at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Between two lines of progress where nobody watches a bar.
const LINE_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(super) enum BlobsCommand {
    /// Copy photos and derivatives to another store; may be repeated, and goes on where it was
    Copy(CopyArgs),
}

#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// The store to copy to: s3://BUCKET/PREFIX or file:PATH; a bucket's keys are those of [blobs]
    #[arg(long, value_name = "URL")]
    to: String,
    /// Read [blobs] for the other store from this file, where it has keys or an endpoint of its own
    #[arg(long, value_name = "FILE")]
    to_config: Option<PathBuf>,
    /// The store to copy from [default: blobs.url]
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// As --to-config, for the store to copy from
    #[arg(long, value_name = "FILE")]
    from_config: Option<PathBuf>,
    /// Read what is there already through, too, instead of trusting size and noted checksum
    #[arg(long)]
    deep: bool,
    /// Say what would be copied
    #[arg(long)]
    dry_run: bool,
}

/// What a copy did.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Captures looked at.
    captures: u64,
    /// Blobs copied and read back, or that would be.
    copied: u64,
    /// Their bytes.
    bytes: u64,
    /// Blobs that were there already.
    skipped: u64,
    /// Blobs whose capture was deleted or processed anew meanwhile.
    gone: u64,
    /// Blobs that were not copied.
    failed: Vec<Failed>,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Failed {
    capture_id: Uuid,
    key: String,
    why: String,
}

/// What became of one blob.
enum Outcome {
    Copied(u64),
    Skipped,
    Gone,
    Failed(String),
}

/// The two stores of one place.
struct Place {
    photos: Blobs,
    derivatives: Blobs,
}

impl Place {
    fn open(config: &Config, staging: &Path) -> anyhow::Result<Self> {
        let (photos, derivatives) = app::open_stores(config, staging)?;
        Ok(Self { photos, derivatives })
    }
}

pub(super) async fn run(command: BlobsCommand, common: &Common) -> anyhow::Result<ExitCode> {
    let BlobsCommand::Copy(args) = command;
    let app = common.open().await?;
    // Of this run alone: the server clears its own staging folder when it starts.
    let staging = app.config.data_dir.join(format!(".copy-{}", std::process::id()));
    let copied = copy(&app, &args, common, &staging).await;
    if staging.exists() {
        std::fs::remove_dir_all(&staging).with_context(|| format!("cannot remove {}", staging.display()))?;
    }
    let report = copied?;
    if common.json {
        output::one(true, &report)?;
    } else {
        output::say(words(&report))?;
    }
    Ok(ExitCode::from(u8::from(!report.failed.is_empty())))
}

async fn copy(app: &App, args: &CopyArgs, common: &Common, staging: &Path) -> anyhow::Result<Report> {
    let of = |url: Option<&String>, file: Option<&PathBuf>| {
        let mut flags = Vec::new();
        if let Some(url) = url {
            flags.push(("blobs.url", url.clone()));
            // What goes with a bucket alone does not matter here.
            flags.push(("blobs.serve", "stream".to_owned()));
            flags.push(("ingest.durability", "durable".to_owned()));
        }
        Common { config: file.or(common.config.as_ref()).cloned(), ..common.clone() }.load(flags)
    };
    let from_config = of(args.from.as_ref(), args.from_config.as_ref()).context("the store to copy from")?;
    let to_config = of(Some(&args.to), args.to_config.as_ref()).context("the store to copy to")?;
    // What waits to be shipped lies beside the store's own staging files.
    let from_staging = if args.from.is_some() { staging.join("from") } else { from_config.blobs_path() };
    let from = Place::open(&from_config, &from_staging)?;
    let to = Place::open(&to_config, &staging.join("to"))?;
    anyhow::ensure!(
        from.photos.place() != to.photos.place(),
        "both stores are {}: name another one with --to",
        to.photos.place()
    );
    let total = app.records.count_captures().await?;
    let progress = Progress::new(total, &to.photos.place(), common.json);
    let mut report = Report { dry_run: args.dry_run, ..Report::default() };
    let mut after = Uuid::nil();
    loop {
        let captures = app.records.captures_by_id(after, STEP).await?;
        let Some(last) = captures.last() else { break };
        after = last.id;
        let copies = captures.into_iter().map(|capture| copy_capture(app, &from, &to, args, capture));
        let mut copies = futures_util::stream::iter(copies).buffer_unordered(COPIED_AT_ONCE);
        while let Some(blobs) = copies.next().await {
            report.add(blobs?);
            progress.tell(&report);
        }
    }
    progress.end();
    Ok(report)
}

/// A capture's blobs, each with its key and what became of it.
type Copied = (Uuid, Vec<(String, Outcome)>);

async fn copy_capture(
    app: &App,
    from: &Place,
    to: &Place,
    args: &CopyArgs,
    capture: Capture,
) -> anyhow::Result<Copied> {
    let mut blobs = Vec::new();
    let key = &capture.blob.key;
    let mut outcome = copy_photo(&from.photos, &to.photos, args, &capture).await;
    if matches!(outcome, Outcome::Failed(_)) {
        let now = app.records.capture(capture.id).await?;
        if now.is_none_or(|now| now.blob.key != *key) {
            outcome = Outcome::Gone;
        }
    }
    blobs.push((key.clone(), outcome));
    let mut by_key: BTreeMap<String, Vec<Derivative>> = BTreeMap::new();
    for derivative in app.records.derivatives(capture.id).await? {
        by_key.entry(derivative.blob_key.clone()).or_default().push(derivative);
    }
    for (key, parts) in by_key {
        let mut outcome = copy_derivatives(&from.derivatives, &to.derivatives, args, &key, &parts).await;
        if matches!(outcome, Outcome::Failed(_)) {
            let now = app.records.derivatives(capture.id).await?;
            if now.iter().all(|derivative| derivative.blob_key != key) {
                outcome = Outcome::Gone;
            }
        }
        blobs.push((key, outcome));
    }
    Ok((capture.id, blobs))
}

async fn copy_photo(from: &Blobs, to: &Blobs, args: &CopyArgs, capture: &Capture) -> Outcome {
    let (size_bytes, sha256) = (capture.blob.size_bytes, capture.blob.sha256);
    let outcome = async {
        if to.holds(&capture.blob.key, size_bytes, sha256, args.deep).await? {
            return Ok(Outcome::Skipped);
        }
        if !args.dry_run {
            move_over(from, to, &capture.blob.key, sha256).await?;
        }
        Ok::<_, anyhow::Error>(Outcome::Copied(size_bytes))
    };
    outcome.await.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")))
}

/// Those of one run share a blob, whose own checksum nobody knows: each part has one.
async fn copy_derivatives(from: &Blobs, to: &Blobs, args: &CopyArgs, key: &str, parts: &[Derivative]) -> Outcome {
    let outcome = async {
        let there = from.look(key.to_owned(), Part::WHOLE, true).await?;
        let sha256 = there.sha256.context("no checksum")?;
        if to.holds(key, there.size_bytes, sha256, args.deep).await? {
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
        if !args.dry_run {
            move_over(from, to, key, sha256).await?;
        }
        Ok::<_, anyhow::Error>(Outcome::Copied(there.size_bytes))
    };
    outcome.await.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")))
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
        staging.write(&piece).await.context("staging it")?;
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
                Outcome::Gone => self.gone += 1,
                Outcome::Failed(why) => self.failed.push(Failed { capture_id, key, why }),
            }
        }
    }
}

fn words(report: &Report) -> String {
    let verb = if report.dry_run { "would be copied" } else { "copied and read back" };
    let mut lines = vec![format!(
        "{} captures: {} blobs ({:.1} MB) {verb}, {} were there already",
        report.captures,
        report.copied,
        f64::from(u32::try_from(report.bytes / 100_000).unwrap_or(u32::MAX)) / 10.0,
        report.skipped
    )];
    if report.gone > 0 {
        lines.push(format!("{} were deleted or made anew meanwhile", report.gone));
    }
    if !report.failed.is_empty() {
        lines.push(format!("{} failed; run it again, and look at these:", report.failed.len()));
        lines.extend(
            report.failed.iter().map(|failed| format!("  {} of {}: {}", failed.key, failed.capture_id, failed.why)),
        );
    } else if report.copied > 0 && !report.dry_run {
        lines.push(
            "what was added meanwhile is copied by another run: repeat it until nothing is copied, stop the server, run it \
             once more, and set blobs.url"
                .to_owned(),
        );
    }
    lines.join("\n")
}

/// A bar where somebody watches, and lines now and then where not.
struct Progress {
    bar: ProgressBar,
    is_quiet: bool,
    total: u64,
    told: std::cell::Cell<Instant>,
}

impl Progress {
    fn new(total: u64, to: &str, is_quiet: bool) -> Self {
        let target = if is_quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        // A template that is wrong shows indicatif's own.
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} captures to {prefix}, {msg} [{eta}]") {
            bar.set_style(style);
        }
        bar.set_prefix(to.to_owned());
        Self { bar, is_quiet, total, told: std::cell::Cell::new(Instant::now()) }
    }

    fn tell(&self, report: &Report) {
        self.bar.set_position(report.captures);
        self.bar.set_message(format!("{} copied, {} failed", report.copied, report.failed.len()));
        if self.bar.is_hidden() && !self.is_quiet && self.told.get().elapsed() > LINE_EVERY {
            self.told.set(Instant::now());
            eprintln!(
                "{} of {} captures, {} copied, {} failed",
                report.captures,
                self.total,
                report.copied,
                report.failed.len()
            );
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
