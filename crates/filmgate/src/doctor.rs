//! What about this machine and configuration will hurt, in plain words.
//!
//! **Owns** every check, for `filmgate doctor` and for `GET /api/v1/doctor` alike: the same words, whoever asks.
//! **Promises** to leave nothing behind: what is written to see whether it can be written is removed again.
//! **Leaves** to the command the way through the proxy, which only somebody outside can try.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use records::TaskState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, connections_max};
use crate::config::{Config, Durability};
use crate::filesystem::Filesystem;

/// How much a finding hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Not at all.
    Good,
    /// One day, or a little.
    Warning,
    /// Photos are refused or at risk.
    Bad,
}

/// What one check found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Finding {
    /// How much it hurts.
    pub level: Level,
    /// What it is and what to do, in plain words.
    pub what: String,
}

/// Nothing to do.
pub fn good(what: impl Into<String>) -> Finding {
    Finding { level: Level::Good, what: what.into() }
}

/// To be looked at.
pub fn warning(what: impl Into<String>) -> Finding {
    Finding { level: Level::Warning, what: what.into() }
}

/// To be mended.
pub fn bad(what: impl Into<String>) -> Finding {
    Finding { level: Level::Bad, what: what.into() }
}

/// What can be told of machine and configuration alone.
pub fn before_opening(config: &Config) -> Vec<Finding> {
    let mut findings = vec![descriptors(config), durability(config), clock(config)];
    findings.extend(reachability(config));
    if config.data_dir.exists() {
        findings.push(filesystem(config));
    }
    findings
}

/// What can be told of an open house: its disk, its bucket, its decoders, its tasks.
///
/// # Errors
/// Where the catalog does not answer.
pub async fn opened(app: &App) -> records::Result<Vec<Finding>> {
    let mut findings = disk(app).await;
    findings.extend(bucket(app).await);
    findings.push(decoding(app).await);
    findings.extend(tasks(app).await?);
    Ok(findings)
}

fn descriptors(config: &Config) -> Finding {
    // The server raises the soft limit to the hard one at its start.
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let wanted = u64::try_from(config.server.connections_max).unwrap_or(u64::MAX);
    if hard >= wanted + wanted / 4 {
        good(format!("{hard} files may be open at once: enough for {wanted} connections"))
    } else {
        warning(format!(
            "only {hard} files may be open at once, so only some {} connections are taken: raise LimitNOFILE= in the \
             unit (or ulimit -Hn) to {}",
            connections_max(config).min(usize::try_from(hard / 4 * 3).unwrap_or(usize::MAX)),
            wanted + wanted / 4
        ))
    }
}

fn durability(config: &Config) -> Finding {
    match config.ingest.durability {
        Durability::Durable => good("uploads are answered only when they survive a power cut"),
        Durability::Node => warning(
            "ingest.durability is node: uploads survive a power cut of this machine; until they are shipped to S3, they \
             do not survive the loss of its disk",
        ),
        Durability::Relaxed => {
            bad("ingest.durability is relaxed: a power cut loses photos that were answered; for measurements only")
        }
    }
}

fn clock(config: &Config) -> Finding {
    const YEAR_2026: u64 = 1_767_225_600;
    let now = SystemTime::now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    if seconds < YEAR_2026 {
        return bad("the clock stands before 2026: photos get wrong times, sign-ins end at once; set up NTP");
    }
    let newest = std::fs::metadata(config.catalog_path()).and_then(|metadata| metadata.modified());
    match newest {
        Ok(written) if written > now + Duration::from_secs(60) => {
            bad("the clock is behind the catalog's last write: it was set back; check NTP")
        }
        _ => good("the clock looks right"),
    }
}

fn reachability(config: &Config) -> Vec<Finding> {
    let server = &config.server;
    let local_only = server.listen.starts_with("127.")
        || server.listen.starts_with("localhost")
        || server.listen.starts_with("[::1]");
    let encrypted = server.tls_files().is_some() || server.public_url.starts_with("https://");
    let mut findings = Vec::new();
    if local_only && server.trusted_proxies.is_empty() {
        findings.push(warning(
            "the server listens on this machine alone and trusts no proxy: fine to try things; behind nginx set \
             server.trusted_proxies = [\"127.0.0.1\"], or every participant looks like one address to the guess limit",
        ));
    }
    if !local_only && !encrypted {
        findings.push(bad(
            "the server is reachable over the network without TLS: browsers give no camera to such a page, and \
             patients' photos travel readable; set server.tls_certificate_file and tls_key_file, or put a proxy with \
             TLS in front and set server.public_url to its https:// address",
        ));
    }
    if encrypted {
        findings.push(good("browsers reach the server over TLS"));
    }
    findings
}

fn filesystem(config: &Config) -> Finding {
    let folder = config.blobs_path();
    let folder = if folder.exists() { folder } else { config.data_dir.clone() };
    match Filesystem::of(&folder) {
        Ok(Filesystem::Memory) => bad("the data folder lies in memory (tmpfs): everything is gone at the next restart"),
        Ok(Filesystem::Network(name)) => bad(format!(
            "the data folder lies on a network filesystem ({name}): SQLite's locks and fsync are not to be relied on \
             there; use a local disk"
        )),
        Ok(Filesystem::Overlay) => {
            warning("the data folder lies in a container's own layer: it goes with the container; mount a volume there")
        }
        Ok(Filesystem::Disk) => good("the data folder lies on a disk"),
        Err(error) => bad(format!("the data folder's filesystem cannot be asked: {error}")),
    }
}

/// What decodes, and what keeps it from doing harm.
async fn decoding(app: &App) -> Finding {
    match app.decoder.try_out().await {
        Ok(protections) if protections.all_hold() => {
            good(format!("photos are decoded in processes that reach neither files nor network: {protections}"))
        }
        Ok(protections) => warning(format!(
            "photos are decoded in processes of their own, but this kernel does not shut them in fully: {protections}"
        )),
        Err(error) => bad(format!("photos cannot be decoded: {error}")),
    }
}

async fn tasks(app: &App) -> records::Result<Vec<Finding>> {
    let counts = app.records.count_tasks().await?;
    let count = |state| counts.iter().filter(|(_, found, _)| *found == state).map(|(.., count)| count).sum::<u64>();
    let mut findings = Vec::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if app.config.processing.workers > cores {
        findings.push(warning(format!(
            "processing.workers is {}, this machine has {cores} cores: more than that decode no faster",
            app.config.processing.workers
        )));
    }
    findings.push(match count(TaskState::Failure) {
        0 => good("no task was given up"),
        dead => warning(format!("{dead} tasks were given up: filmgate task list --state FAILURE says why")),
    });
    let waiting = count(TaskState::Pending) + count(TaskState::Retry);
    if waiting > 10_000 {
        findings.push(warning(format!(
            "{waiting} tasks are waiting: give processing.workers more (this machine has {cores} processors, and half of \
             them leave uploads as quick as before), or start a filmgate worker beside the server"
        )));
    }
    Ok(findings)
}

async fn disk(app: &App) -> Vec<Finding> {
    let mut findings = Vec::new();
    match app.blobs.free_bytes() {
        Ok(free) if free < app.config.ingest.free_bytes_min => {
            findings.push(bad(format!(
                "only {} MB are free: uploads are refused (ingest.free_bytes_min)",
                free / 1_000_000
            )));
        }
        Ok(free) if free < 10 * app.config.ingest.free_bytes_min => {
            findings.push(warning(format!("only {} MB are free on the photo disk", free / 1_000_000)));
        }
        Ok(free) => findings.push(good(format!("{} GB are free on the photo disk", free / 1_000_000_000))),
        Err(error) => findings.push(bad(format!("free space cannot be asked: {error}"))),
    }
    match app.blobs.measure_fsync(15).await {
        Ok(median) if median < Duration::from_micros(10) => findings.push(bad(format!(
            "an fsync takes {} µs: no disk is that quick, so something (eatmydata, a cache that lies) swallows it, and \
             a power cut would lose answered photos",
            median.as_micros()
        ))),
        Ok(median) if median > Duration::from_millis(50) => findings.push(warning(format!(
            "an fsync takes {} ms: each upload waits for two or three of them; a disk with power-loss protection is \
             many times quicker",
            median.as_millis()
        ))),
        Ok(median) => findings.push(good(format!("an fsync takes {:.2} ms", median.as_secs_f64() * 1000.0))),
        Err(error) => findings.push(bad(format!("the photo disk cannot be written: {error}"))),
    }
    findings
}

/// Whether the bucket takes, gives and gives up a photo.
async fn bucket(app: &App) -> Vec<Finding> {
    if !app.config.blobs.is_bucket() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    match app.blobs.shipping_queue().await {
        Ok(waiting) if waiting.oldest > Duration::from_secs(600) => findings.push(warning(format!(
            "{} answered photos wait to be shipped to S3, the oldest for {} minutes: until then this disk alone has them",
            waiting.photos,
            waiting.oldest.as_secs() / 60
        ))),
        Ok(_) => {}
        Err(error) => findings.push(bad(format!("what waits to be shipped to S3 cannot be read: {error}"))),
    }
    let place = app.blobs.place();
    findings.push(match probe(app).await {
        Ok(took) if took > Duration::from_secs(1) => warning(format!(
            "{place} takes, gives and deletes a photo, but in {:.1} s: each upload waits for the first of these",
            took.as_secs_f64()
        )),
        Ok(took) => good(format!("{place} takes, gives and deletes a photo, in {} ms", took.as_millis())),
        Err(error) => bad(format!("{place}: {error}")),
    });
    findings
}

async fn probe(app: &App) -> anyhow::Result<Duration> {
    let settings = &app.config.blobs;
    // Opened anew: the bucket itself is asked, also where photos are shipped later.
    let bucket = settings.bucket_at(&settings.url).context("no bucket")?;
    let blobs = blobs::Blobs::open_s3(&app.blobs.root(), blobs::BlobsOptions::default(), bucket)?;
    let began = std::time::Instant::now();
    // A place of its own for each: two doctors must not meet.
    let key = blobs::key_at(app.now().as_second(), &format!("{}.probe", uuid::Uuid::now_v7()));
    let mut staging = blobs.stage();
    staging.write("filmgate doctor".into()).await?;
    let (staged, ()) = staging.finish(|_| ()).await?;
    let sha256 = staged.sha256;
    let published = blobs.publish(vec![(staged, key.clone())]).await?;
    let read = blobs.open_verified(key, blobs::Part::WHOLE, sha256).await.map(|_| ());
    // Whatever came of the reading, it must not stay.
    read.and(blobs.unpublish(published).await)?;
    Ok(began.elapsed())
}
