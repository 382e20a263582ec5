//! The house put together: every room opened over one data folder.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use blobs::{Blobs, BlobsOptions, S3Options};
use decoder::{Decoder, DecoderOptions, Recipe};
use identity::{FlaskOptions, ForwardOptions, Identity, IdentityOptions, JwtOptions, ProviderOptions};
use intake::Intake;
use jiff::Timestamp;
use records::{CatalogOptions, EventKind, EventSink, Records};

use crate::app_database::AppDatabase;
use crate::config::{Config, Durability, Flask, Forward, Jwt, Original, Provider, SessionProtection, Verify};
use crate::figures::Figures;
use crate::metrics::Metrics;

/// Where derivatives lie, in the photo store: on the same disk, and no time folder of photos.
const DERIVATIVES: &str = ".derivatives";

/// Everything a handler or a command works with. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Rooms>);

/// The rooms of an [`App`]. In one place that is shared: the router and its layers clone the app several times for each
/// request, and each counter of each room would be counted up and down again.
pub struct Rooms {
    /// The settings in force.
    pub config: Arc<Config>,
    /// The rows.
    pub records: Records,
    /// The bytes.
    pub blobs: Blobs,
    /// Who decodes.
    pub decoder: Decoder,
    /// Who asks.
    pub identity: Identity,
    /// The way of a capture.
    pub intake: Intake,
    /// The app's own database, where one is configured.
    pub host: Option<AppDatabase>,
    /// What is counted.
    pub metrics: Metrics,
    /// What was counted over the last hour.
    pub figures: Figures,
    draining: AtomicBool,
}

impl Deref for App {
    type Target = Rooms;
    fn deref(&self) -> &Rooms {
        &self.0
    }
}

/// The system's clock. The one place outside tests where time comes from.
pub(crate) fn system_clock() -> Timestamp {
    Timestamp::now()
}

impl App {
    /// Opens every room, making the data folder where there is none.
    ///
    /// # Errors
    /// Says which part could not be opened, and where.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let durable = config.ingest.durability != Durability::Relaxed;
        make_data_dir(&config.data_dir, durable)?;
        let blobs = open_blobs(&config, &config.blobs_path(), durable)?;
        refuse_lost_catalog(&config, &blobs).await?;
        let records = open_catalog(&config).await?;
        let host = AppDatabase::open(&config.host, records.clone())?;
        let mut identity = Identity::new(records.clone(), identity_options(&config), Arc::new(system_clock))
            .map_err(|error| anyhow::anyhow!("identity: {error}"))?;
        if let Some(host) = &host {
            identity = identity.with_directory(Arc::new(host.clone()));
        }
        let derivatives = open_derivatives(&config, &config.blobs_path(), durable)?;
        let decoder = Decoder::new(decoder_options(&config));
        let rooms = intake::Rooms {
            records: records.clone(),
            blobs: blobs.clone(),
            derivatives,
            decoder: decoder.clone(),
            sessions: host.clone().map(|host| Arc::new(host) as Arc<dyn intake::SessionSource>),
            clock: Arc::new(system_clock),
        };
        let intake = Intake::new(rooms, intake_limits(&config), intake_options(&config));
        let metrics = Metrics::new(|registry| {
            records.register_metrics(registry);
            blobs.register_metrics(registry);
            intake.register_metrics(registry);
            decoder.register_metrics(registry);
            identity.register_metrics(registry);
            if let Some(host) = &host {
                host.host().register_metrics(registry);
            }
        });
        let config = Arc::new(config);
        let (figures, draining) = (Figures::default(), AtomicBool::new(false));
        Ok(Self(Arc::new(Rooms {
            config,
            records,
            blobs,
            decoder,
            identity,
            intake,
            host,
            metrics,
            figures,
            draining,
        })))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        system_clock()
    }

    /// Tells readiness that the server takes its leave.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the server takes its leave.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// To recovery, photos without a catalog would all be photos that were never answered, to be set aside and one day
/// deleted.
async fn refuse_lost_catalog(config: &Config, blobs: &Blobs) -> anyhow::Result<()> {
    let catalog = config.catalog_path();
    if config.catalog_server().is_none() && !is_there(&catalog) && !blobs.is_empty().await? {
        bail!(
            "the photo store {} holds photos, but their catalog {} is lost: restore it from a backup. To begin anew \
             without these photos, move them away first",
            blobs.place(),
            catalog.display()
        );
    }
    Ok(())
}

/// Opens the catalog alone.
///
/// # Errors
/// Says where it is and why it cannot be opened.
pub async fn open_catalog(config: &Config) -> anyhow::Result<Records> {
    let durable = config.ingest.durability != Durability::Relaxed;
    let options = CatalogOptions {
        sync: if durable { records::Sync::Durable } else { records::Sync::Relaxed },
        read_connections: config.records.read_connections,
        commit_batch_max: config.records.commit_batch_max,
        event_sinks: event_sinks(config),
    };
    if let Some(mut server) = config.catalog_server() {
        let ca_file = &config.records.tls_ca_file;
        if !ca_file.as_os_str().is_empty() {
            let read = std::fs::read(ca_file);
            server.tls_ca_pem =
                Some(read.with_context(|| format!("records.tls_ca_file: cannot read {}", ca_file.display()))?);
        }
        return Records::open_postgres(&server, &options)
            .await
            .with_context(|| format!("cannot open the catalog on {}", server.place()));
    }
    let catalog = config.catalog_path();
    let records =
        Records::open(&catalog, &options).with_context(|| format!("cannot open the catalog {}", catalog.display()))?;
    if durable {
        // The catalog's own directory entry: without it a power cut could take the whole new file.
        fsync_parent(&catalog)?;
    }
    Ok(records)
}

/// Connections that this process's descriptors allow: they come first, but commits and reads need some too.
pub fn connections_max(config: &Config) -> usize {
    let descriptors = descriptors_max();
    let reserved = reserved_descriptors(config);
    config.server.connections_max.min((descriptors / 4 * 3).min(descriptors.saturating_sub(reserved)).max(8))
}

fn descriptors_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// What the catalog, the disk workers and the runtime open by themselves.
fn reserved_descriptors(config: &Config) -> usize {
    64 + 3 * (config.records.read_connections + 1) + config.records.connections_max + 3 * config.ingest.disk_workers
}

/// Opens both stores beside those of a server, staging in this folder where they are in a bucket.
///
/// # Errors
/// Says which could not be opened, and where.
pub fn open_stores(config: &Config, staging: &Path) -> anyhow::Result<(Blobs, Blobs)> {
    let folder = if config.blobs.is_bucket() { staging.to_owned() } else { config.blobs_path() };
    Ok((open_blobs(config, &folder, true)?, open_derivatives(config, &folder, true)?))
}

/// Opens the store of photos.
fn open_blobs(config: &Config, folder: &Path, durable: bool) -> anyhow::Result<Blobs> {
    let bucket = config.blobs.bucket_at(&config.blobs.url);
    let bucket = bucket.map(|bucket| S3Options { ship_later: config.ingest.durability == Durability::Node, ..bucket });
    open_store(bucket, folder, blobs_options(config, durable))
}

/// Opens the store of derivatives: below that of photos, and no time folder of theirs.
fn open_derivatives(config: &Config, folder: &Path, durable: bool) -> anyhow::Result<Blobs> {
    let below = format!("{}/{DERIVATIVES}", config.blobs.url.trim_end_matches('/'));
    open_store(config.blobs.bucket_at(&below), &folder.join(DERIVATIVES), derivatives_options(config, durable))
}

/// A store in this bucket, or in this folder; the folder is where bytes are staged in any case.
fn open_store(bucket: Option<S3Options>, folder: &Path, options: BlobsOptions) -> anyhow::Result<Blobs> {
    let place = bucket.as_ref().map(|bucket| format!("{bucket}, staged in ")).unwrap_or_default();
    let opened = match bucket {
        Some(bucket) => Blobs::open_s3(folder, options, bucket),
        None => Blobs::open(folder, options),
    };
    opened.with_context(|| format!("cannot open the photo store {place}{}", folder.display()))
}

fn blobs_options(config: &Config, durable: bool) -> BlobsOptions {
    let used = connections_max(config) + reserved_descriptors(config);
    BlobsOptions {
        durable,
        disk_workers: config.ingest.disk_workers,
        disk_queue_max: config.ingest.disk_queue_max,
        free_bytes_min: config.ingest.free_bytes_min,
        open_staging_files_max: descriptors_max().saturating_sub(used),
    }
}

/// Decoding waits for the disk like everybody, and must not keep an upload waiting for it.
fn derivatives_options(config: &Config, durable: bool) -> BlobsOptions {
    BlobsOptions {
        durable,
        disk_workers: config.processing.workers.clamp(1, config.ingest.disk_workers),
        free_bytes_min: config.ingest.free_bytes_min,
        ..BlobsOptions::default()
    }
}

fn decoder_options(config: &Config) -> DecoderOptions {
    let processing = &config.processing;
    DecoderOptions {
        // This very program, also after a new version was put in its place.
        program: "/proc/self/exe".into(),
        arguments: vec![crate::cli::DECODER_COMMAND.to_owned()],
        // Also where workers run apart: with ingest.verify = "decode" the server decodes too.
        processes_max: processing.workers.max(1),
        memory_bytes_max: processing.decode_memory_bytes_max,
        timeout: processing.decode_timeout(),
        niceness: i32::try_from(processing.niceness).unwrap_or(19),
        recipe: recipe(config),
    }
}

fn recipe(config: &Config) -> Recipe {
    let processing = &config.processing;
    let quality = |quality: u32| u8::try_from(quality.min(100)).unwrap_or(100);
    let types = [imaging::ImageType::Jpeg, imaging::ImageType::WebP];
    let named = |kind: imaging::ImageType| kind.content_type().trim_start_matches("image/").to_owned();
    Recipe {
        limits: image_limits(config),
        thumb_px: processing.thumb_px,
        preview_px: processing.preview_px,
        jpeg_quality: quality(processing.jpeg_quality),
        webp_quality: quality(processing.webp_quality),
        formats: types.into_iter().filter(|kind| processing.formats.contains(&named(*kind))).collect(),
    }
}

/// The names of sinks, in the catalog and in the configuration.
pub const WEBHOOK: &str = "webhook";
/// As above.
pub const CELERY: &str = "celery";
/// The app's own table of captures: no setting names its events, it needs just these.
pub const HOST: &str = "host";
const HOST_EVENTS: [EventKind; 3] = [EventKind::Stored, EventKind::Linked, EventKind::Deleted];

fn event_sinks(config: &Config) -> Vec<EventSink> {
    let kinds = |words: &[String]| words.iter().filter_map(|word| EventKind::parse(word)).collect();
    let webhook = (!config.webhook.url.is_empty())
        .then(|| EventSink { name: WEBHOOK.to_owned(), kinds: kinds(&config.webhook.events) });
    let celery = (!config.celery.broker_url.is_empty())
        .then(|| EventSink { name: CELERY.to_owned(), kinds: kinds(&config.celery.events) });
    let host = (config.host.write_captures && !config.host.database_url.is_empty())
        .then(|| EventSink { name: HOST.to_owned(), kinds: HOST_EVENTS.to_vec() });
    webhook.into_iter().chain(celery).chain(host).collect()
}

fn intake_options(config: &Config) -> intake::Options {
    intake::Options {
        verify: match config.ingest.verify {
            Verify::Structure => intake::Verify::Structure,
            Verify::Decode => intake::Verify::Decode,
        },
        original: match config.processing.original {
            Original::Keep => intake::Original::Keep,
            Original::Strip => intake::Original::Strip,
        },
        near_duplicate_bits_max: config.processing.near_duplicate_bits_max,
        hints: intake::HintOptions {
            enabled: config.hints.enabled,
            answer_max: config.hints.answer_max(),
            interval_max: config.hints.interval_max(),
            quality_percent_min: config.hints.quality_percent_min,
            event_places_percent: config.hints.event_places_percent,
        },
    }
}

fn image_limits(config: &Config) -> imaging::Limits {
    imaging::Limits {
        pixels_max: config.ingest.image_pixels_max,
        scans_max: config.ingest.image_scans_max,
        frames_max: config.ingest.image_frames_max,
    }
}

fn identity_options(config: &Config) -> IdentityOptions {
    IdentityOptions {
        sign_in_duration: config.identity.sign_in_lifetime(),
        password_bytes_min: config.identity.password_bytes_min,
        sign_ins_per_minute_per_user: config.identity.sign_ins_per_minute_per_user,
        sign_ins_per_minute_per_address: config.identity.sign_ins_per_minute_per_address,
        shared_guesses: (!config.jobs.redis_url.is_empty()).then(|| identity::SharedGuesses {
            redis_url: config.jobs.redis_url.expose().to_owned(),
            key_prefix: format!("{}:", config.jobs.redis_key_prefix),
        }),
        password_hashing_parallel: config.identity.password_hashing_parallel,
        provider: provider_options(config),
        admin_user_ids: config.identity.admin_user_ids.clone(),
    }
}

fn provider_options(config: &Config) -> ProviderOptions {
    match config.identity.provider {
        Provider::Local => ProviderOptions::Local,
        Provider::Flask => ProviderOptions::Flask(flask_options(&config.flask)),
        Provider::Forward => ProviderOptions::Forward(forward_options(&config.forward)),
        Provider::Jwt => ProviderOptions::Jwt(jwt_options(&config.jwt)),
    }
}

fn flask_options(flask: &Flask) -> FlaskOptions {
    FlaskOptions {
        secret_keys: flask.secret_keys.iter().map(|key| key.expose().to_owned()).collect(),
        cookie_name: flask.cookie_name.clone(),
        salt: flask.salt.clone(),
        max_age: flask.max_age(),
        remember_cookie_name: flask.remember_cookie_name.clone(),
        session_protection: match flask.session_protection {
            SessionProtection::Basic => identity::SessionProtection::Basic,
            SessionProtection::Strong => identity::SessionProtection::Strong,
            SessionProtection::None => identity::SessionProtection::None,
        },
    }
}

fn forward_options(forward: &Forward) -> ForwardOptions {
    ForwardOptions {
        url: forward.url.expose().to_owned(),
        timeout: forward.timeout(),
        cache: forward.cache(),
        user_headers: forward.user_headers.clone(),
        user_member: forward.user_member.clone(),
        username_member: forward.username_member.clone(),
        admin_header: forward.admin_header.clone(),
        admin_member: forward.admin_member.clone(),
        admin_value: forward.admin_value.clone(),
        cookie_names: forward.cookie_names.clone(),
    }
}

fn jwt_options(jwt: &Jwt) -> JwtOptions {
    JwtOptions {
        jwks_url: jwt.jwks_url.expose().to_owned(),
        jwks_file: jwt.jwks_file.clone(),
        secret: jwt.secret.expose().to_owned(),
        timeout: jwt.timeout(),
        refresh: jwt.refresh(),
        keep: jwt.keep(),
        refetch: jwt.refetch(),
        issuer: jwt.issuer.clone(),
        audiences: jwt.audiences.clone(),
        user_claim: jwt.user_claim.clone(),
        username_claim: jwt.username_claim.clone(),
        admin_claim: jwt.admin_claim.clone(),
        admin_value: jwt.admin_value.clone(),
        leeway: jwt.leeway(),
    }
}

fn intake_limits(config: &Config) -> intake::Limits {
    let ingest = &config.ingest;
    intake::Limits {
        upload_bytes_max: ingest.upload_bytes_max,
        request_bytes_max: ingest.request_bytes_max,
        captures_per_request_max: ingest.captures_per_request_max,
        parts_per_request_max: ingest.parts_per_request_max,
        metadata_bytes_max: ingest.metadata_bytes_max,
        metadata_depth_max: ingest.metadata_depth_max,
        uploads_in_flight_max: ingest.uploads_in_flight_max,
        uploads_in_flight_per_user_max: ingest.uploads_in_flight_per_user_max,
        bytes_in_flight_max: ingest.bytes_in_flight_max,
        bytes_in_flight_per_user_max: ingest.bytes_in_flight_per_user_max,
        image: image_limits(config),
    }
}

/// Whether a catalog lies there; a file without even SQLite's header of 100 bytes is none.
fn is_there(catalog: &Path) -> bool {
    std::fs::metadata(catalog).is_ok_and(|metadata| metadata.len() >= 100)
}

fn make_data_dir(path: &Path, durable: bool) -> anyhow::Result<()> {
    blobs::create_folder(path, durable).with_context(|| format!("cannot make the data folder {}", path.display()))
}

fn fsync_parent(path: &Path) -> anyhow::Result<()> {
    let path = std::fs::canonicalize(path)?;
    if let Some(parent) = path.parent() {
        File::open(parent)?.sync_all().with_context(|| format!("cannot fsync {}", parent.display()))?;
    }
    Ok(())
}

/// Writes a small file so that it survives a power cut.
///
/// # Errors
/// Names the file that cannot be written.
pub fn write_durably(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fsync_parent(path)
}

/// What this node calls itself wherever several share a catalog; the same after a restart, as its folder is.
///
/// # Errors
/// Where the folder cannot be written.
pub fn node_name(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("node-name");
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let name = uuid::Uuid::now_v7().simple().to_string();
    // A power cut that took it would make a stranger of this node: its own tasks would wait for their leases.
    write_durably(&path, &name)?;
    Ok(name)
}

/// The data folder is owned by this process for as long as this lives.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the folder: one server owns it. Commands beside it do not take it.
    ///
    /// # Errors
    /// Names the process that holds it.
    pub fn take(data_dir: &Path) -> anyhow::Result<Self> {
        // Only to have a place for the lock: App::open makes the folder durable.
        make_data_dir(data_dir, false)?;
        let path = data_dir.join("filmgate.lock");
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder)?;
                let holder = holder.trim();
                let holder = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
                bail!(
                    "the data folder {} is in use by another filmgate{holder}: stop it first, or choose another folder with --data",
                    data_dir.display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }

    /// Whether another process owns the folder just now.
    pub fn is_held(data_dir: &Path) -> bool {
        File::open(data_dir.join("filmgate.lock"))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}
