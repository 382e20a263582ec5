//! `filmgate migrate`: the catalog brought to a newer schema, or moved from one engine to another.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use records::Records;
use serde::Serialize;

use super::progress::Progress;
use super::{Common, output};
use crate::app::{FolderLock, open_catalog};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Copy every row into this catalog, which must be empty: `postgres://USER:PASSWORD@HOST/DATABASE`
    /// or sqlite:PATH. One with a password is better given by the environment than to everybody who
    /// lists processes. Photos stay where they are; `filmgate blobs copy` moves them
    #[arg(long, value_name = "URL", env = "FILMGATE_MIGRATE_TO", hide_env_values = true)]
    to: Option<String>,
    /// Go on with a copy that was broken off
    #[arg(long, requires = "to")]
    resume: bool,
    /// Compare both catalogs row by row and copy nothing
    #[arg(long, requires = "to")]
    compare: bool,
}

/// What a migration did.
#[derive(Debug, Serialize)]
struct Report {
    catalog: String,
    schema_version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<Moved>,
}

/// What a move did.
#[derive(Debug, Serialize)]
struct Moved {
    to: String,
    rows_copied: u64,
    rows_same: u64,
    differences: Vec<String>,
}

pub(super) async fn run(args: MigrateArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let config = common.load(Vec::new())?;
    let place = config.catalog_place();
    anyhow::ensure!(
        config.catalog_server().is_some() || config.catalog_path().exists(),
        "there is no catalog {place}: name the data folder with --data, or set records.url"
    );
    // To open it is to bring it up to date; a server's start does the same.
    let records = open_catalog(&config).await?;
    let (schema_version, _) = records.schema_version().await?;
    let moved = match &args.to {
        Some(to) => Some(move_to(&records, &config, to, &args, common.json).await?),
        None => None,
    };
    let differs = moved.as_ref().is_some_and(|moved| !moved.differences.is_empty());
    let report = Report { catalog: place, schema_version, moved };
    if common.json {
        output::one(true, &report)?;
    } else {
        output::say(words(&report, args.compare))?;
    }
    records.close().await;
    Ok(ExitCode::from(u8::from(differs)))
}

async fn move_to(from: &Records, config: &Config, to: &str, args: &MigrateArgs, json: bool) -> anyhow::Result<Moved> {
    // Checked as the setting is, with its words.
    let mut to_config = config.clone();
    // Checked as the setting is, with its words.
    let flags = [("records.url", to.to_owned())];
    to_config.records.url = Config::load(None, &flags, std::iter::empty()).context("--to")?.records.url;
    anyhow::ensure!(
        to_config.catalog_place() != config.catalog_place(),
        "--to is the catalog itself: {}",
        config.catalog_place()
    );
    // Rows that come while rows are copied would be left behind.
    let _lock = match config.catalog_server() {
        None => Some(FolderLock::take(&config.data_dir)?),
        Some(_) => None,
    };
    let others = from.connected_programs().await?;
    anyhow::ensure!(
        others == 0 || args.compare,
        "{others} other programs of Filmgate's are connected to {}: stop all nodes and workers first",
        config.catalog_place()
    );
    let destination = open_catalog(&to_config).await.context("--to")?;
    let mut rows_copied = 0;
    if !args.compare {
        anyhow::ensure!(
            args.resume || destination.is_empty().await?,
            "{} is not empty. To go on with a copy that was broken off, say --resume; else name an empty catalog",
            to_config.catalog_place()
        );
        rows_copied = from.copy_to(&destination, telling("rows copied", json)).await.context("copying")?;
    }
    let compared = from.compare(&destination, telling("rows compared", json)).await.context("comparing")?;
    destination.close().await;
    Ok(Moved {
        to: to_config.catalog_place(),
        rows_copied,
        rows_same: compared.same,
        differences: compared.differences,
    })
}

/// Shows how far a copy or a comparison is.
pub(super) fn telling(what: &str, is_quiet: bool) -> impl Fn(records::Progress) + Send + Sync + 'static {
    let progress = Arc::new(Progress::new(0, what, is_quiet));
    move |at: records::Progress| progress.tell(at.done, at.total, at.table)
}

fn words(report: &Report, compared_only: bool) -> String {
    let Some(moved) = &report.moved else {
        return format!("{} has schema version {}: up to date", report.catalog, report.schema_version);
    };
    let mut lines = Vec::new();
    if !compared_only {
        lines.push(format!("{} rows copied from {} to {}", moved.rows_copied, report.catalog, moved.to));
    }
    lines.push(format!("{} rows compared and the same", moved.rows_same));
    if moved.differences.is_empty() {
        if !compared_only {
            lines.push(
                "set records.url to the new catalog before the next start; the old one was not changed".to_owned(),
            );
        }
    } else {
        lines.push(format!("{} differ, at least:", moved.differences.len()));
        lines.extend(moved.differences.iter().map(|difference| format!("  {difference}")));
    }
    lines.join("\n")
}
