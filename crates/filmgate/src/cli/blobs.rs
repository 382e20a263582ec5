//! `filmgate blobs`: the photos' bytes, moved from one store to another.
//!
//! The server may run meanwhile: what it takes in during one pass, the next one copies.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::copying::{Copying, Place, Report};
use super::{Common, output};
use crate::app::App;

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
    let records = &app.records;
    let copying =
        Copying { named: records, live: records, from: &from, to: &to, deep: args.deep, dry_run: args.dry_run };
    copying.all(common.json).await
}

fn words(report: &Report) -> String {
    let mut words = report.to_string();
    if report.failed.is_empty() && report.copied > 0 && !report.dry_run {
        words.push_str(
            "\nwhat was added meanwhile is copied by another run: repeat it until nothing is copied, stop the server, \
             run it once more, and set blobs.url",
        );
    }
    words
}
