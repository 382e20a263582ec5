//! `filmgate worker`: tasks, run in a process apart from the server.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::sync::watch;

use super::Common;
use crate::app::App;
use crate::config::Config;
use crate::filesystem::Filesystem;
use crate::listen::{self, Stage};
use crate::work::{self, Role, Tasks};

#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// Photos decoded at once [default: processing.workers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
}

pub(super) fn run(args: &WorkerArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let flags = args.workers.iter().map(|workers| ("processing.workers", workers.to_string())).collect();
    let config = common.load(flags)?;
    anyhow::ensure!(config.processing.workers > 0, "processing.workers is 0: give this worker some with --workers 2");
    if config.catalog_server().is_none() {
        let catalog = config.catalog_path();
        anyhow::ensure!(
            catalog.exists(),
            "there is no catalog {}: a worker runs the tasks of a server, on the server's machine and with its folder. \
             Start `filmgate serve` first, or name its folder with --data. A worker on another machine needs a catalog \
             on PostgreSQL and photos on S3",
            catalog.display()
        );
        refuse_network_filesystem(&catalog)?;
        refuse_network_filesystem(&config.blobs_path())?;
    } else if !config.blobs.is_bucket() {
        // In a folder of its own it would find every photo missing, and say so of each.
        anyhow::ensure!(
            config.data_dir.join("node-name").exists(),
            "the photos are in a folder, and {} is no server's: start the worker on the server's machine with its data \
             folder, or give server and worker the same bucket in blobs.url",
            config.data_dir.display()
        );
        refuse_network_filesystem(&config.blobs_path())?;
    }
    super::serve::start_logging(&config)?;
    super::serve::raise_descriptor_limit();
    super::on_runtime(work(config))
}

async fn work(config: Config) -> anyhow::Result<ExitCode> {
    let app = App::open(config).await?;
    let mut stage = listen::signals(Duration::ZERO)?;
    let tasks = Arc::new(Tasks::new(app.clone())?);
    let jobs = work::open(&app, Role::Worker).await?;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(jobs.run(tasks.clone(), stopped));
    tracing::info!(workers = app.config.processing.workers, "working");
    listen::systemd::ready();
    stage.wait_for(|stage| *stage >= Stage::Draining).await.context("signals")?;
    listen::systemd::stopping();
    stop.send_replace(true);
    tokio::select! {
        outcome = running => outcome.context("the running of tasks broke off")?,
        // A second signal: what runs is lost to this worker and taken back once its lease is over.
        _ = stage.wait_for(|stage| *stage > Stage::Draining) => {}
    }
    tasks.close();
    app.records.clone().close().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Two machines on one embedded catalog would destroy it.
fn refuse_network_filesystem(path: &Path) -> anyhow::Result<()> {
    let found = Filesystem::of(path).with_context(|| format!("cannot look at {}", path.display()))?;
    if let Filesystem::Network(name) = found {
        anyhow::bail!(
            "{} lies on a network filesystem ({name}): an embedded catalog works on one machine alone. Run the worker \
             on the server's machine, or put the catalog on PostgreSQL",
            path.display()
        );
    }
    Ok(())
}
