//! `filmgate serve`: the server, from its folder's lock to its last connection.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use intake::Recovered;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::Common;
use super::import::ImportLock;
use crate::app::{App, FolderLock, connections_max};
use crate::config::{Config, Durability, LogFormat};
use crate::listen::{self, ListenLimits, Stage, Tls, TlsFiles};
use crate::work::{self, Role, Tasks};

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Address to listen on, as in 0.0.0.0:8080 [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<String>,
}

pub(super) fn run(args: &ServeArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let flags = args.listen.iter().map(|address| ("server.listen", address.clone())).collect();
    let config = common.load(flags)?;
    start(config, async |_, url| {
        tracing::info!(url, "listening");
        Ok(())
    })
}

/// Starts a server and serves until it is told to stop. `announce` hears once that it listens, and where.
pub(super) fn start<F>(config: Config, announce: F) -> anyhow::Result<ExitCode>
where
    F: AsyncFnOnce(&App, &str) -> anyhow::Result<()>,
{
    start_logging(&config)?;
    raise_descriptor_limit();
    // Before any thread: taking sockets over changes the environment.
    let passed = listen::systemd::sockets().context("cannot take the sockets that systemd passed")?;
    let lock = FolderLock::take(&config.data_dir)?;
    // Reads of the catalog go by the runtime's blocking threads: never fewer than they may use.
    let blocking = config.records.read_connections.max(config.records.connections_max) + 64;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().max_blocking_threads(blocking.max(512)).build()?;
    let outcome = runtime.block_on(serve(config, passed, announce));
    drop(runtime);
    // Kept until the process is gone: a thread of the disk may be within a rename that nobody waits for any more, and who
    // takes the folder next looks through it.
    std::mem::forget(lock);
    outcome
}

async fn serve<F>(config: Config, passed: Vec<std::net::TcpListener>, announce: F) -> anyhow::Result<ExitCode>
where
    F: AsyncFnOnce(&App, &str) -> anyhow::Result<()>,
{
    let mut stage = listen::signals(config.server.drain_delay())?;
    let app = App::open(config).await?;
    let tasks = Arc::new(Tasks::new(app.clone())?);
    let jobs = work::open(&app, Role::Serve).await?;
    // Before recovery: what the last run's workers published and did not record would look as if it were being made.
    jobs.take_back().await?;
    app.metrics.add(|registry| {
        jobs.register_metrics(registry);
        tasks.register_metrics(registry);
    });
    let recovered = recover(&app).await?;
    if recovered.staging_files > 0 || recovered.files_quarantined > 0 {
        tracing::warn!(
            staging_files = recovered.staging_files,
            files_quarantined = recovered.files_quarantined,
            "the last run ended in the middle of uploads; what was never answered is set aside"
        );
    }
    if app.config.ingest.durability == Durability::Relaxed {
        tracing::warn!("ingest.durability is relaxed: a power cut may lose photos that were answered with a 2xx");
    }
    if app.config.ingest.durability == Durability::Node {
        tracing::warn!(
            "ingest.durability is node: photos that were answered are lost if this disk is, until S3 has them"
        );
    }
    let tls = match app.config.server.tls_files() {
        Some((certificate, key)) => {
            Some(Tls::load(TlsFiles { certificate: certificate.to_owned(), key: key.to_owned() })?)
        }
        None => None,
    };
    let listener = match passed.into_iter().next() {
        Some(socket) => TcpListener::from_std(socket)?,
        None => listen::bind(address(&app.config)?)?,
    };
    let local = listener.local_addr()?;
    let url = format!("{}://{}", if tls.is_some() { "https" } else { "http" }, reachable(local));
    let router = crate::router::router(app.clone());
    let (stop_tasks, tasks_stop) = watch::channel(false);
    let mut running = tokio::spawn(jobs.run(tasks.clone(), tasks_stop));
    let leaving = tokio::spawn({
        let (app, mut stage, stop_tasks) = (app.clone(), stage.clone(), stop_tasks.clone());
        async move {
            // Readiness must say so while connections are still taken, or still drain.
            if stage.wait_for(|stage| *stage >= Stage::Leaving).await.is_err() {
                return;
            }
            app.begin_draining();
            if stage.wait_for(|stage| *stage >= Stage::Draining).await.is_ok() {
                // Both drain at once; tasks of uploads that still come in are in line for the next start.
                stop_tasks.send_replace(true);
                listen::systemd::stopping();
            }
        }
    });
    let shipping = tokio::spawn({
        let (blobs, stop) = (app.blobs.clone(), stop_tasks.subscribe());
        async move { blobs.ship(stop).await }
    });
    let sampling = tokio::spawn(crate::figures::take_samples(app.clone()));
    let watchdog = listen::systemd::watchdog();
    stage.mark_unchanged();
    let mut cut = stage.clone();
    let serving = listen::serve(listener, router, tls, limits(&app.config), crate::error::render_at_edge, stage);
    let (drained, announced) = tokio::join!(serving, async {
        let announced = announce(&app, &url).await;
        listen::systemd::ready();
        if announced.is_err() {
            // Nobody knows the address: a server that runs on unseen helps nobody.
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).ok();
        }
        announced
    });
    leaving.abort();
    sampling.abort();
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    stop_tasks.send_replace(true);
    tokio::select! {
        ended = &mut running => {
            if let Err(error) = ended {
                tracing::error!(%error, "the running of tasks broke off");
            }
        }
        // What runs is taken back by the next start.
        _ = cut.wait_for(|stage| *stage == Stage::Cut) => running.abort(),
    }
    // What still waits is on the disk, for the next start.
    shipping.abort();
    tasks.close();
    tracing::info!(served = drained.served, refused = drained.refused, cut = drained.cut, "stopped");
    app.records.clone().close().await;
    announced?;
    Ok(ExitCode::SUCCESS)
}

/// Puts in order what the last run left, unless an import is at work: what that has on its way would be taken for litter.
async fn recover(app: &App) -> anyhow::Result<Recovered> {
    let Some(_nobody_imports) = ImportLock::try_take(&app.config.data_dir)? else {
        tracing::warn!("filmgate import is at work: what the last run left is put in order by the next start");
        return Ok(Recovered::default());
    };
    app.intake.recover().await.map_err(|error| anyhow::anyhow!("recovery failed: {error}"))
}

pub(super) fn address(config: &Config) -> anyhow::Result<SocketAddr> {
    let listen = &config.server.listen;
    let mut addresses = listen.to_socket_addrs().with_context(|| format!("cannot resolve server.listen '{listen}'"))?;
    addresses.next().with_context(|| format!("server.listen '{listen}' names no address"))
}

/// An address that a browser on this machine can open.
pub(super) fn reachable(local: SocketAddr) -> SocketAddr {
    match local {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v6.port())),
        other => other,
    }
}

fn limits(config: &Config) -> ListenLimits {
    let server = &config.server;
    ListenLimits {
        header_read_timeout: server.header_read_timeout(),
        body_idle_timeout: server.body_idle_timeout(),
        body_grace: server.body_grace(),
        body_rate_min_bytes_per_second: server.body_rate_min_bytes_per_second,
        body_crawl_time: listen::BODY_CRAWL_TIME,
        body_total_timeout: server.body_total_timeout(),
        write_timeout: server.write_timeout(),
        connections_max: connections_max(config),
        header_buffer_bytes: server.header_bytes_max,
        linger_bytes_max: server.linger_bytes_max,
        linger_timeout: server.linger_timeout(),
        handshake_timeout: server.tls_handshake_timeout(),
        drain_deadline: server.drain_deadline(),
    }
}

pub(super) fn start_logging(config: &Config) -> anyhow::Result<()> {
    // At "debug" the driver writes every statement with its values: names, hashes of passwords, sessions. Whoever wants
    // them must name it, as in "info,tokio_postgres=debug".
    let filter = EnvFilter::try_new(format!("tokio_postgres=warn,{}", config.log.level)).context("log.level")?;
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.log.format {
        LogFormat::Text => logging.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => logging.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// Ten thousand uploads need ten thousand descriptors; the soft limit is 1024 on most machines.
pub(super) fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}
