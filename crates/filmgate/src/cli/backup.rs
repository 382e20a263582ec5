//! `filmgate backup` and `filmgate restore`.
//!
//! A backup is a data folder: a catalog in a file and the photos beside it, whatever engines the server has. It can be
//! started as it is, or restored onto other engines. The server goes on meanwhile: the catalog is copied as it was at
//! one moment, then the bytes that it names; what is deleted while they are copied is deleted from the backup too.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Args;
use records::{CatalogOptions, Records, Store};
use serde::{Deserialize, Serialize};

use super::copying::{Copying, Gone, Place, Report};
use super::migrate::telling;
use super::{Common, output};
use crate::app::{App, FolderLock, open_catalog, system_clock, write_durably};
use crate::config::Config;

/// Written last: a folder without it holds half a backup.
const MANIFEST: &str = "backup.json";
/// Written first, and removed last.
const HALF: &str = "backup.incomplete";
const CATALOG: &str = "catalog.sqlite";
const BLOBS: &str = "blobs";

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Folder for the backup; new, or that of a backup that was broken off
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// Folder of a backup
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Go on with a restore that was broken off
    #[arg(long)]
    resume: bool,
}

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// Of this file and the folder's layout.
    format: u32,
    /// The program's version.
    program: String,
    /// Every capture acknowledged before this is in it.
    began_at: String,
    ended_at: String,
    rows: u64,
    captures: u64,
    bytes: u64,
}

pub(super) async fn backup(args: BackupArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let dir = &args.dir;
    ensure!(!dir.join(MANIFEST).exists(), "{} holds a backup already: name another folder", dir.display());
    let is_empty = dir.read_dir().map_or(true, |mut entries| entries.next().is_none());
    // Nothing else tells half a backup from a data folder, whose catalog must not be begun anew.
    ensure!(
        is_empty || dir.join(HALF).exists(),
        "{} is neither empty nor half a backup: name another folder",
        dir.display()
    );
    let app = common.open().await?;
    let began_at = system_clock();
    blobs::create_folder(dir, true).with_context(|| format!("cannot make {}", dir.display()))?;
    write_durably(&dir.join(HALF), "")?;
    let copy = new_catalog(&dir.join(CATALOG))?;
    let rows = app.records.copy_to(&copy, telling("rows copied", common.json)).await.context("copying the catalog")?;
    let from = Place { photos: app.blobs.clone(), derivatives: app.intake.derivatives().clone() };
    let to = folder_place(&app.config, &dir.join(BLOBS))?;
    let report = copy_bytes(&app, &copy, &from, &to, common.json).await?;
    let captures = copy.count_captures().await?;
    copy.close().await;
    if !report.failed.is_empty() {
        return told(&report, "the backup is not complete", common.json);
    }
    let manifest = Manifest {
        format: 1,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        began_at: began_at.to_string(),
        ended_at: system_clock().to_string(),
        rows,
        captures,
        bytes: report.bytes,
    };
    write_durably(&dir.join(MANIFEST), &serde_json::to_string_pretty(&manifest)?)?;
    fs::remove_file(dir.join(HALF))?;
    if common.json {
        output::one(true, &manifest)?;
    } else {
        output::say(format_args!(
            "{captures} captures with {rows} rows and {} bytes backed up to {}, as they were at {began_at}\n\
             it is a data folder: `filmgate fsck --deep --data {}` checks it, `filmgate restore` brings it back",
            report.bytes,
            dir.display(),
            dir.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A catalog of half a backup is made anew: bytes are kept by name and checksum, rows are not.
fn new_catalog(path: &Path) -> anyhow::Result<Records> {
    for beside in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{beside}", path.display()));
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", file.display()));
            }
            _ => {}
        }
    }
    Records::open(path, &CatalogOptions::default()).with_context(|| format!("cannot make {}", path.display()))
}

fn folder_place(config: &Config, folder: &Path) -> anyhow::Result<Place> {
    let mut config = config.clone();
    config.blobs.url = format!("file:{}", folder.display());
    Place::open(&config, folder)
}

/// Copies what the copied catalog names, and takes out of it what was deleted or made anew meanwhile.
async fn copy_bytes(app: &App, copy: &Records, from: &Place, to: &Place, is_quiet: bool) -> anyhow::Result<Report> {
    let copying = Copying { named: copy, live: &app.records, from, to, deep: false, dry_run: false };
    let mut report = copying.all(is_quiet).await?;
    while let Some(Gone { capture_id, is_photo }) = report.gone_blobs.pop() {
        match app.records.capture(capture_id).await? {
            None => {}
            Some(live) if is_photo => {
                copy.set_blob(capture_id, live.blob.clone(), live.processing.received_sha256).await?;
                copying.one(live, &mut report).await?;
            }
            Some(_) => copy.lose_derivatives(capture_id, system_clock()).await?,
        }
    }
    delete_what_was_deleted(&app.records, copy).await?;
    remove_unnamed(copy, to).await?;
    Ok(report)
}

/// Also what was copied before it was deleted: a restore must not bring it back.
async fn delete_what_was_deleted(live: &Records, copy: &Records) -> anyhow::Result<()> {
    let mut after = uuid::Uuid::nil();
    loop {
        let captures = copy.captures_by_id(after, 500).await?;
        let Some(last) = captures.last() else { return Ok(()) };
        after = last.id;
        let there: HashSet<_> =
            live.captures_of(captures.iter().map(|capture| capture.id).collect()).await?.into_iter().collect();
        for capture in captures.iter().filter(|capture| !there.contains(&capture.id)) {
            copy.delete_capture(capture.id, "deleted while the backup ran".to_owned(), system_clock()).await?;
        }
    }
}

/// Bytes that the copied catalog does not name: of what was deleted, and of a backup that was broken off before.
async fn remove_unnamed(copy: &Records, to: &Place) -> anyhow::Result<()> {
    for (store, blobs) in [(Store::Originals, &to.photos), (Store::Derivatives, &to.derivatives)] {
        for folder in blobs.time_folders().await? {
            let named: HashSet<String> = match store {
                Store::Originals => copy.blob_keys_in(folder.clone()).await?,
                Store::Derivatives => copy.derivative_keys_in(folder.clone()).await?,
            }
            .into_iter()
            .collect();
            for blob in blobs.list(folder).await?.into_iter().filter(|blob| !named.contains(&blob.key)) {
                blobs.delete(blob.key).await?;
            }
        }
        loop {
            let keys = copy.doomed_blobs(store, String::new(), 500).await?;
            if keys.is_empty() {
                break;
            }
            copy.forget_doomed(store, keys).await?;
        }
    }
    Ok(())
}

pub(super) async fn restore(args: RestoreArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let dir = &args.dir;
    let manifest = dir.join(MANIFEST);
    let text = fs::read_to_string(&manifest)
        .with_context(|| format!("{} holds no whole backup: {} cannot be read", dir.display(), manifest.display()))?;
    let manifest: Manifest = serde_json::from_str(&text).with_context(|| format!("{}", manifest.display()))?;
    if manifest.format > 1 {
        bail!("{} was made by a newer filmgate ({}): use that", dir.display(), manifest.program);
    }
    let config = common.load(Vec::new())?;
    let _lock = FolderLock::take(&config.data_dir)?;
    let backup = Records::open(&dir.join(CATALOG), &CatalogOptions::default()).context("the backup's catalog")?;
    let records = open_catalog(&config).await?;
    ensure!(
        args.resume || records.is_empty().await?,
        "the catalog {} is not empty: a backup is restored into an empty one. To go on with a restore that was broken \
         off, say --resume",
        config.catalog_place()
    );
    let others = records.connected_programs().await?;
    ensure!(
        others == 0,
        "{others} other programs of Filmgate's are connected to {}: stop all nodes and workers first",
        config.catalog_place()
    );
    // Bytes first: a row without its photo is what must never be.
    let from = folder_place(&config, &dir.join(BLOBS))?;
    let to = Place::open(&config, &config.blobs_path())?;
    let copying = Copying { named: &backup, live: &backup, from: &from, to: &to, deep: false, dry_run: false };
    let report = copying.all(common.json).await?;
    if !report.failed.is_empty() {
        return told(&report, "nothing of the catalog was restored", common.json);
    }
    let rows = backup.copy_to(&records, telling("rows copied", common.json)).await.context("copying the catalog")?;
    let compared = backup.compare(&records, telling("rows compared", common.json)).await?;
    records.close().await;
    backup.close().await;
    ensure!(
        compared.is_same(),
        "the restored catalog differs from the backup:\n  {}",
        compared.differences.join("\n  ")
    );
    if common.json {
        output::one(true, &manifest)?;
    } else {
        output::say(format_args!(
            "{} captures with {rows} rows restored to {} and {}, as they were at {}: every row compared, every photo \
             read back",
            manifest.captures,
            config.catalog_place(),
            to.photos.place(),
            manifest.began_at
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(report: &Report, what: &str, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        output::one(true, report)?;
    } else {
        output::say(format_args!("{report}\n{what}"))?;
    }
    Ok(ExitCode::FAILURE)
}
