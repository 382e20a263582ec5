//! The command line: a file for each command.
//!
//! Commands work on the data folder itself, beside a running server as well as without one: SQLite's locks order
//! them, and the server holds no cache that a command could make stale (`docs/decisions/0005`).

mod app_rows;
mod backup;
mod bench;
mod blobs;
mod capture;
mod config;
mod copying;
mod demo;
mod doctor;
mod export;
mod fsck;
mod health;
mod host;
mod import;
mod migrate;
mod output;
mod plan;
mod progress;
mod serve;
mod session;
mod settings;
mod shadow;
mod task;
mod token;
mod tune;
mod user;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::App;
use crate::config::{Config, process_environment};

/// The hidden command that child processes run.
pub const DECODER_COMMAND: &str = "decode-photos";

/// Takes the photos of many cameras at once and never makes anyone wait.
#[derive(Debug, Parser)]
#[command(name = "filmgate", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
struct Common {
    /// Configuration file [default: ./filmgate.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder [default: filmgate-data; the demo's: filmgate-demo]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Any setting, as in --set ingest.disk_workers=8; see filmgate.example.toml
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Answer as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a server with an admin, two participants and a session, to try things out
    Demo(demo::DemoArgs),
    /// Start the server
    Serve(serve::ServeArgs),
    /// Run the tasks of a server's folder in a process apart
    Worker(worker::WorkerArgs),
    /// What decodes photos, a process each; started by the server itself
    #[command(name = DECODER_COMMAND, hide = true)]
    Decoder,
    /// Users: who may sign in
    #[command(subcommand)]
    User(user::UserCommand),
    /// Bearer tokens, for the app's backend and for programs
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Assessment sessions
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Camera settings: how photos are taken
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// Captures: stored photos
    #[command(subcommand)]
    Capture(capture::CaptureCommand),
    /// The photos' bytes: copy them to another store
    #[command(subcommand)]
    Blobs(blobs::BlobsCommand),
    /// Tasks: the work after an upload, and dead letters
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Make a ZIP archive of photos, tables and a codebook; exit status 0 where every photo is whole, 1 where not
    Export(export::ExportArgs),
    /// Check every row against its file and every file against its row; exit status 0 where clean, 1 where not
    Fsck(fsck::FsckArgs),
    /// Back up catalog and photos into a folder, beside the running server
    Backup(backup::BackupArgs),
    /// Bring a backup back, onto whatever engines the configuration names
    Restore(backup::RestoreArgs),
    /// Take over the photos and rows that the app has from before; exit status 1 where some could not be
    Import(import::ImportArgs),
    /// Uploads sent to both, the app and Filmgate: whether both have the same
    #[command(subcommand)]
    Shadow(shadow::ShadowCommand),
    /// Bring the catalog up to date, or move it to another engine: every row, verified
    Migrate(migrate::MigrateArgs),
    /// Say in plain words what about this machine and configuration will hurt
    Doctor(doctor::DoctorArgs),
    /// Work out what a load needs: nodes, cores, rows, bytes, requests, money; exit status 1 where it is not carried
    Plan(Box<plan::PlanArgs>),
    /// Put a load on a server that speaks the contract, and report: throughput, latencies, refusals; with plots
    Bench(Box<bench::BenchArgs>),
    /// Measure this machine and work out its settings for a load, and what they hold; exit status 1 where it is not carried
    Tune(Box<tune::TuneArgs>),
    /// The app's own database: what of it fits
    #[command(subcommand)]
    Host(host::HostCommand),
    /// Ask the running server whether it lives; exit status 0 where it does, 1 where it says no, 2 where it is silent
    Health(health::HealthArgs),
    /// The configuration: check it, show it, write an example
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

impl Common {
    /// The settings in force; `flags` are a command's own.
    fn load(&self, mut flags: Vec<(&'static str, String)>) -> anyhow::Result<Config> {
        let mut set = Vec::new();
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                anyhow::anyhow!("--set takes KEY=VALUE, as in --set ingest.disk_workers=8, not '{pair}'")
            })?;
            set.push((key, value.to_owned()));
        }
        if let Some(data) = &self.data {
            flags.push(("data_dir", data.display().to_string()));
        }
        let flags: Vec<(&str, String)> = flags.into_iter().chain(set).collect();
        Ok(Config::load(self.config.as_deref(), &flags, process_environment())?)
    }

    /// The rooms over an existing data folder, for a command beside the server.
    async fn open(&self) -> anyhow::Result<App> {
        let config = self.load(Vec::new())?;
        // A command must not make an empty folder because of a mistyped path.
        anyhow::ensure!(
            config.catalog_server().is_some() || config.catalog_path().exists(),
            "there is no Filmgate data in {}: name the folder with --data, or start a server on it first",
            config.data_dir.display()
        );
        App::open(config).await
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    // Whatever is made from here on, the catalog included, is for this user's eyes alone.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("filmgate: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { command, common } = cli;
    match command {
        Command::Demo(args) => demo::run(args, &common),
        Command::Serve(args) => serve::run(&args, &common),
        Command::Worker(args) => worker::run(&args, &common),
        Command::Decoder => Ok(decoder::child_main()),
        Command::User(command) => beside(&common, async |app| user::run(command, &common, app).await),
        Command::Token(command) => beside(&common, async |app| token::run(command, &common, app).await),
        Command::Session(command) => beside(&common, async |app| session::run(command, &common, app).await),
        Command::Settings(command) => beside(&common, async |app| settings::run(command, &common, app).await),
        Command::Capture(command) => beside(&common, async |app| capture::run(command, &common, app).await),
        Command::Task(command) => beside(&common, async |app| task::run(command, &common, app).await),
        Command::Blobs(command) => on_runtime(blobs::run(command, &common)),
        Command::Export(args) => on_runtime(export::run(args, &common)),
        Command::Fsck(args) => on_runtime(fsck::run(args, &common)),
        Command::Backup(args) => on_runtime(backup::backup(args, &common)),
        Command::Restore(args) => on_runtime(backup::restore(args, &common)),
        Command::Import(args) => on_runtime(import::run(args, &common)),
        Command::Shadow(command) => on_runtime(shadow::run(command, &common)),
        Command::Migrate(args) => on_runtime(migrate::run(args, &common)),
        Command::Doctor(args) => on_runtime(doctor::run(args, &common)),
        Command::Plan(args) => plan::run(&args, &common),
        Command::Bench(args) => bench::run(&args, &common),
        Command::Tune(args) => tune::run(&args, &common),
        Command::Host(command) => on_runtime(host::run(command, &common)),
        Command::Health(args) => health::run(&args, &common),
        Command::Config(command) => config::run(command, &common),
    }
}

fn on_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Runs a command over an existing folder, beside its server or without one.
fn beside(common: &Common, work: impl AsyncFnOnce(&App) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    on_runtime(async {
        let app = common.open().await?;
        work(&app).await?;
        // What this command took from somebody, the server refuses from when the command has ended.
        app.records.noticed().await;
        Ok(ExitCode::SUCCESS)
    })
}
