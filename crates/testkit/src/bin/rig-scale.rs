//! Measures what one capture costs, and what one, two and three nodes carry on this machine: the figures behind
//! `filmgate plan`.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]
#![allow(clippy::cast_precision_loss, reason = "figures for a person")]

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::rig::catalog::Catalog;
use testkit::rig::cleanup;
use testkit::rig::drip::Held;
use testkit::rig::garage::{self, Garage};
use testkit::rig::postgres::{self, Postgres};
use testkit::rig::stats::Samples;
use testkit::rig::usage::{Counted, Usage, machine_us, tree_us};
use testkit::rig::{About, Args, Opt, Rig};
use testkit::{Api, Request, Server, Shot, api, photo, process};

const ABOUT: About = About {
    name: "rig-scale",
    text: "measures. --what units: processor, writes and bytes of one upload at several sizes, of one processed photo \
           at several sizes, its rows, and the memory of held uploads and resting connections. --what nodes: \
           throughput and processor per upload of 1, 2 and 3 nodes over one catalog and one store, by uploaders that \
           begin again as soon as they are answered; more than one node needs one catalog and one store: --engines, \
           which starts PostgreSQL and Garage, or settings that name others (--env, --beside). --what postgres: \
           processor, transactions, log and rows of PostgreSQL for one capture. The last line is JSON, for bench/scale/run. Fails on an error, a refusal or a lost count, never on \
           a time.",
    options: &[
        Opt::value("what", "units|nodes|postgres", "units", "what to measure"),
        Opt::value("uploads", "N", "1500", "uploads of one measurement"),
        Opt::value("photo-bytes", "N,N…", "20000,120000,1000000", "sizes of photos"),
        Opt::value("nodes", "N,N…", "1", "how many nodes, one measurement each"),
        Opt::value("uploaders", "N,N…", "1,4,16,64", "uploaders at once, one measurement each"),
        Opt::value("seconds", "N", "5", "length of one measurement of nodes"),
        Opt::value("held", "N", "500", "uploads held at once, for their memory"),
        Opt::flag("engines", "start a PostgreSQL and a Garage, and give their settings to the nodes"),
        Opt::value("beside", "NAME=PID,…", "", "engines whose processor counts too, such as postgres=4711"),
    ],
    needs: |args: &Args| match (args.text("what"), args.has("engines")) {
        ("postgres", _) => vec![postgres::NEED],
        (_, true) => vec![postgres::NEED, garage::NEED],
        _ => Vec::new(),
    },
};

/// The database of this rig, in a cluster of its own.
const DATABASE: &str = "scale";

/// Sizes of photos to be processed: small, a webcam's, a large webcam's, and a phone's.
const PICTURES: [(u16, u16, u64); 4] = [(640, 480, 160), (1280, 720, 120), (1920, 1080, 60), (4000, 3000, 24)];

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

fn run(rig: &Rig) -> Result<bool> {
    let found = match rig.args.text("what") {
        "units" => units(rig)?,
        "nodes" => nodes(rig)?,
        "postgres" => database(rig)?,
        other => bail!("--what {other}: units, nodes or postgres"),
    };
    println!("{found}");
    Ok(true)
}

fn numbers(rig: &Rig, name: &str) -> Result<Vec<usize>> {
    let parse = |text: &str| text.trim().parse().with_context(|| format!("--{name} {text}: no number"));
    rig.args.text(name).split(',').map(parse).collect()
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// One upload under a key of its own, as the page sends them.
fn upload(client: &mut Api, photo: Vec<u8>, key: u64) -> Result<()> {
    let request = api::upload_request(&client.cookie, &client.session_id, &[Shot::interval(photo)])
        .header("Idempotency-Key", &format!("rig-scale-00000000-{key:016x}"));
    let captures = api::captures(&client.send(&request)?)?;
    ensure!(captures.len() == 1, "{} captures of one photo", captures.len());
    Ok(())
}

// --- units --------------------------------------------------------------------------------------------------------

fn units(rig: &Rig) -> Result<Value> {
    let count: u64 = rig.args.number("uploads")?;
    let mut server = rig.server().env("FILMGATE__PROCESSING__WORKERS", "0").start()?;
    let memory = memory(rig, &server)?;
    let mut uploads = Vec::new();
    let mut key = rig.seed << 32;
    for bytes in numbers(rig, "photo-bytes")? {
        // As many bytes of each size, within reason: the ticks of a clock must be many.
        let count = count.min(600_000_000 / bytes as u64);
        uploads.push(one_size(&server, bytes, count, &mut key)?);
    }
    let rows = rows(&mut server)?;
    let processing = PICTURES.iter().map(|picture| processing(rig, *picture)).collect::<Result<Vec<_>>>()?;
    Ok(json!({"memory": memory, "uploads": uploads, "rows": rows, "processing": processing}))
}

/// Uploads of one size, one after the other: nothing is shared between them, so each pays for its own commit.
fn one_size(server: &Server, bytes: usize, count: u64, key: &mut u64) -> Result<Value> {
    let mut client = server.participant();
    let mut some = |count: u64| -> Result<()> {
        for _ in 0..count {
            *key += 1;
            upload(&mut client, photo::jpeg_bytes(bytes, *key), *key)?;
        }
        Ok(())
    };
    some(50)?;
    let (counted, used) = (Counted::of(&[server.address()])?, Usage::of(&[server.pid()]));
    some(count)?;
    let used = Usage::of(&[server.pid()]).since(&used);
    let after = Counted::of(&[server.address()])?;
    let each = |name: &str| round(after.since(&counted, name) / count as f64);
    let mean_ms = |name: &str| {
        let count = after.since(&counted, &format!("{name}_count"));
        round(after.since(&counted, &format!("{name}_sum")) / count.max(1.0) * 1000.0)
    };
    ensure!(each("filmgate_captures_stored_total") >= 1.0, "the server counts fewer photos than it answered");
    let found = json!({
        "photo_bytes": bytes,
        "uploads": count,
        "cpu_us": round(used.server_us / count as f64),
        "writer_us": round(used.writer_us / count as f64),
        "written_bytes": round(used.written_bytes / count as f64),
        "commits": each("filmgate_commit_seconds_count"),
        "writes": each("filmgate_commit_requests_sum"),
        "file_fsyncs": each("filmgate_file_fsync_seconds_count"),
        "directory_fsyncs": each("filmgate_directory_fsync_seconds_count"),
        "file_fsync_ms": mean_ms("filmgate_file_fsync_seconds"),
        "directory_fsync_ms": mean_ms("filmgate_directory_fsync_seconds"),
        "commit_ms": mean_ms("filmgate_commit_seconds"),
    });
    println!("  upload: {found}");
    Ok(found)
}

/// Memory of a server at rest, of a connection that rests, and of an upload that is held half way.
fn memory(rig: &Rig, server: &Server) -> Result<Value> {
    let held: usize = rig.args.number("held")?;
    thread::sleep(Duration::from_millis(300));
    let at_rest = server.rss_kb() as f64;
    let resting = (0..held)
        .map(|_| {
            let mut client = server.participant();
            ensure!(client.is_up("/livez"), "livez");
            Ok(client)
        })
        .collect::<Result<Vec<Api>>>()?;
    let with_resting = server.rss_kb() as f64;
    drop(resting);
    // Another server: what the connections left behind would be taken for the uploads'.
    let fresh = rig
        .server()
        .env("FILMGATE__INGEST__UPLOADS_IN_FLIGHT_PER_USER_MAX", "12000")
        .env("FILMGATE__INGEST__BYTES_IN_FLIGHT_PER_USER_MAX", "8000000000")
        .env("FILMGATE__PROCESSING__WORKERS", "0")
        .start()?;
    let before = fresh.rss_kb() as f64;
    // More than is kept in memory has arrived: from there on an upload costs the same however long it lasts.
    let uploads = Held::open(&fresh, held, 1_000_000, 20_000, rig.seed << 48)?;
    thread::sleep(Duration::from_secs(6));
    let with_held = fresh.rss_kb() as f64;
    let finished = uploads.finish();
    ensure!(
        finished.stored.len() == held,
        "of {held} held uploads {}: {:?}",
        finished.stored.len(),
        finished.otherwise
    );
    let each = |with: f64, without: f64| round((with - without).max(0.0) * 1024.0 / held as f64);
    let found = json!({
        "held": held,
        "at_rest_bytes": at_rest * 1024.0,
        "resting_connection_bytes": each(with_resting, at_rest),
        "held_upload_bytes": each(with_held, before),
    });
    println!("  memory: {found}");
    Ok(found)
}

/// Bytes of one capture's rows, page by page as SQLite counts them, indexes included.
fn rows(server: &mut Server) -> Result<Value> {
    server.terminate(Duration::from_secs(30))?;
    let catalog = Catalog::open(server.data())?;
    let bytes = |table: &str| {
        catalog.number(&format!(
            "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = '{table}')"
        ))
    };
    let each = |table: &str| -> Result<f64> {
        let count = catalog.number(&format!("SELECT count(*) FROM {table}"))?;
        Ok(round(bytes(table)? as f64 / count.max(1) as f64))
    };
    let found = json!({
        "captures": catalog.number("SELECT count(*) FROM captures")?,
        "bytes_per_capture": each("captures")?,
        "bytes_per_task": each("tasks")?,
        "bytes_per_key": each("idempotency_keys")?,
    });
    println!("  rows: {found}");
    Ok(found)
}

/// Photos of one size, put in line while nobody works on them, then processed with nothing else to do.
fn processing(rig: &Rig, (width, height, count): (u16, u16, u64)) -> Result<Value> {
    let mut filling = rig.server().env("FILMGATE__PROCESSING__WORKERS", "0").start()?;
    let picture = photo::jpeg(width, height, rig.seed);
    let mut client = filling.participant();
    for number in 0..count {
        upload(&mut client, photo::commented(&picture, number), (rig.seed << 40) + number)?;
    }
    filling.terminate(Duration::from_secs(30))?;
    let server = filling.builder().env("FILMGATE__PROCESSING__WORKERS", "1").start()?;
    let catalog = Catalog::open(server.data())?;
    let until = |done: u64| -> Result<()> {
        let end = Instant::now() + Duration::from_secs(300);
        while catalog.succeeded()? < done {
            ensure!(Instant::now() < end, "the photos were not processed in time");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    };
    // The first ones start the decoders.
    until(4)?;
    let (before, counted, used) = (catalog.succeeded()?, Counted::of(&[server.address()])?, Usage::of(&[server.pid()]));
    until(count)?;
    let used = Usage::of(&[server.pid()]).since(&used);
    let after = Counted::of(&[server.address()])?;
    let done = (count - before) as f64;
    let row_bytes = catalog.number(
        "SELECT sum(pgsize) FROM dbstat WHERE name IN \
         (SELECT name FROM sqlite_schema WHERE tbl_name IN ('captures', 'derivatives'))",
    )? as f64
        / count as f64;
    let derivatives = catalog.number("SELECT sum(size_bytes) FROM derivatives")? as f64 / count as f64;
    let found = json!({
        "megapixels": f64::from(width) * f64::from(height) / 1e6,
        "photo_bytes": picture.len(),
        "photos": done,
        "decoder_ms": round(used.decoders_us / done / 1000.0),
        "server_us": round(used.server_us / done),
        "writer_us": round(used.writer_us / done),
        "writes": round(after.since(&counted, "filmgate_commit_requests_sum") / done),
        "derivatives_bytes": round(derivatives),
        "row_bytes": round(row_bytes),
    });
    println!("  processing: {found}");
    Ok(found)
}

// --- PostgreSQL ---------------------------------------------------------------------------------------------------

/// What PostgreSQL had done at one moment. It counts transactions of others with a delay, and this waits for it.
struct Done {
    cpu_us: f64,
    transactions: f64,
    log_bytes: f64,
}

impl Done {
    fn by(postgres: &Postgres) -> Result<Self> {
        thread::sleep(Duration::from_millis(1500));
        let number = |sql: &str| postgres.number(DATABASE, sql).map(|number| number as f64);
        Ok(Self {
            cpu_us: tree_us(postgres.pid()),
            transactions: number(&format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{DATABASE}'"))?,
            log_bytes: number("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")?,
        })
    }

    fn since(&self, before: &Self, count: f64) -> Value {
        json!({
            "cpu_us": round((self.cpu_us - before.cpu_us) / count),
            "transactions": round((self.transactions - before.transactions) / count),
            "log_bytes": round((self.log_bytes - before.log_bytes) / count),
        })
    }
}

/// Uploads one after the other, then their processing, over a PostgreSQL of this rig's own with every fsync.
fn database(rig: &Rig) -> Result<Value> {
    let count: u64 = rig.args.number("uploads")?;
    let postgres = Postgres::start()?;
    postgres.create_database(DATABASE)?;
    let with = |workers: &str, server: testkit::ServerBuilder| {
        server.env("FILMGATE__RECORDS__URL", &postgres.url(DATABASE)).env("FILMGATE__PROCESSING__WORKERS", workers)
    };
    let mut server = with("0", rig.server()).start()?;
    let picture = photo::jpeg(640, 480, rig.seed);
    let mut client = server.participant();
    for key in 0..50 {
        upload(&mut client, photo::commented(&picture, key), key)?;
    }
    let before = Done::by(&postgres)?;
    for key in 50..50 + count {
        upload(&mut client, photo::commented(&picture, key), key)?;
    }
    let uploads = Done::by(&postgres)?.since(&before, count as f64);
    println!("  uploads: {uploads}");

    server.terminate(Duration::from_secs(30))?;
    let server = with("1", server.builder()).start()?;
    let processed = || postgres.number(DATABASE, "SELECT count(*) FROM captures WHERE processed_count = 1");
    let (begun, before) = (processed()?, Done::by(&postgres)?);
    let end = Instant::now() + Duration::from_secs(300);
    while processed()? < i64::try_from(count + 50)? {
        ensure!(Instant::now() < end, "the photos were not processed in time");
        thread::sleep(Duration::from_secs(1));
    }
    let done = (processed()? - begun) as f64;
    let processing = Done::by(&postgres)?.since(&before, done);
    println!("  processing: {processing}");
    drop(server);

    let captures = processed()? as f64;
    let bytes = |table: &str| -> Result<f64> {
        Ok(round(postgres.number(DATABASE, &format!("SELECT pg_total_relation_size('{table}')"))? as f64 / captures))
    };
    Ok(json!({
        "captures": captures,
        "uploads": uploads,
        "processing": processing,
        "bytes": {
            "captures": bytes("captures")?,
            "derivatives": bytes("derivatives")?,
            "tasks": bytes("tasks")?,
            "keys": bytes("idempotency_keys")?,
        },
    }))
}

// --- nodes --------------------------------------------------------------------------------------------------------

/// A further node over the first one's catalog and store.
struct Node {
    child: Child,
    address: SocketAddr,
    _home: cleanup::Folder,
}

impl Drop for Node {
    fn drop(&mut self) {
        process::kill_tree(self.child.id());
        if let Err(error) = self.child.wait() {
            eprintln!("a node did not end: {error}");
        }
    }
}

impl Node {
    fn start(binary: &Path, envs: &[(String, String)]) -> Result<Self> {
        let home = cleanup::Folder::new()?;
        // Free at this moment; whoever takes it in between makes the node end, and the rig with it.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(binary)
            .args(["serve", "--data"])
            .arg(home.path().join("data"))
            .args(["--set", &format!("server.listen={address}"), "--set", "processing.workers=0"])
            .envs(envs.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(home.path().join("node.log")).context("making a node's log")?)
            .spawn()
            .context("starting a node")?;
        let node = Self { child, address, _home: home };
        let end = Instant::now() + Duration::from_secs(30);
        while !Request::get("/readyz").send(address).is_ok_and(|answer| answer.status == 200) {
            ensure!(Instant::now() < end, "a node is not ready after 30 s");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(node)
    }
}

/// The engines that this rig starts, and what nodes must be told of them.
struct Engines {
    postgres: Postgres,
    garage: Garage,
}

impl Engines {
    fn start() -> Result<Self> {
        let engines = Self { postgres: Postgres::start()?, garage: Garage::start()? };
        engines.postgres.create_database(DATABASE)?;
        Ok(engines)
    }

    fn settings(&self) -> Vec<(String, String)> {
        let bucket = self.garage.bucket();
        let setting = |name: &str, value: &str| (format!("FILMGATE__{name}"), value.to_owned());
        vec![
            setting("RECORDS__URL", &self.postgres.url(DATABASE)),
            setting("BLOBS__URL", &format!("s3://{}/scale", bucket.name)),
            setting("BLOBS__S3_ENDPOINT", &self.garage.endpoint()),
            setting("BLOBS__S3_REGION", &bucket.region),
            setting("BLOBS__S3_ACCESS_KEY_ID", &bucket.access_key_id),
            setting("BLOBS__S3_SECRET_ACCESS_KEY", &bucket.secret_access_key),
            setting("BLOBS__S3_PATH_STYLE", "true"),
        ]
    }
}

fn nodes(rig: &Rig) -> Result<Value> {
    let mut rig = rig.clone();
    let own = if rig.args.has("engines") { Some(Engines::start()?) } else { None };
    let mut beside = engines(&rig)?;
    if let Some(own) = &own {
        rig.envs.extend(own.settings());
        beside.push(("postgres".to_owned(), own.postgres.pid()));
        beside.push(("garage".to_owned(), own.garage.pid()));
    }
    let rig = &rig;
    let wanted = numbers(rig, "nodes")?;
    let most = wanted.iter().copied().max().unwrap_or(1);
    let shares = |name: &str| rig.envs.iter().any(|(known, value)| known.ends_with(name) && !value.is_empty());
    ensure!(
        most == 1 || (shares("RECORDS__URL") && shares("BLOBS__URL")),
        "several nodes need one catalog and one store: --engines, or --env FILMGATE__RECORDS__URL=… --env FILMGATE__BLOBS__URL=…"
    );
    let seconds = Duration::from_secs(rig.args.number("seconds")?);
    let sizes = numbers(rig, "photo-bytes")?;
    let bytes = *sizes.get(1).or(sizes.first()).context("no size")?;
    let first = rig
        .server()
        .env("FILMGATE__PROCESSING__WORKERS", "0")
        .env("FILMGATE__INGEST__UPLOADS_IN_FLIGHT_PER_USER_MAX", "12000")
        .start()?;
    let mut further = Vec::new();
    let mut found = Vec::new();
    for count in wanted {
        while further.len() + 1 < count {
            further.push(Node::start(&rig.binary, &rig.envs)?);
        }
        further.truncate(count.max(1) - 1);
        for uploaders in numbers(rig, "uploaders")? {
            found.push(together(rig.seed, &beside, &first, &further, uploaders, bytes, seconds)?);
        }
    }
    Ok(json!({"cores": thread::available_parallelism()?.get(), "photo_bytes": bytes, "nodes": found}))
}

/// Uploaders that begin again as soon as they are answered, each on one of the nodes.
fn together(
    seed: u64,
    engines: &[(String, u32)],
    first: &Server,
    further: &[Node],
    uploaders: usize,
    bytes: usize,
    length: Duration,
) -> Result<Value> {
    let addresses: Vec<SocketAddr> =
        std::iter::once(first.address()).chain(further.iter().map(|node| node.address)).collect();
    let pids: Vec<u32> = std::iter::once(first.pid()).chain(further.iter().map(|node| node.child.id())).collect();
    let person = &first.demo().participant;
    let sequence = AtomicU64::new((seed << 52) | ((addresses.len() as u64) << 44) | ((uploaders as u64) << 32));
    let phase = |length: Duration| -> Result<(Samples, f64)> {
        let began = Instant::now();
        let all = thread::scope(|scope| {
            let threads: Vec<_> = (0..uploaders)
                .map(|number| {
                    let mut client = Api::new(addresses[number % addresses.len()], &person.cookie, &person.session_id);
                    let next = &sequence;
                    scope.spawn(move || -> Result<Samples> {
                        let mut samples = Samples::default();
                        while began.elapsed() < length {
                            let seed = next.fetch_add(1, Ordering::Relaxed);
                            let photo = photo::jpeg_bytes(bytes, seed);
                            let start = Instant::now();
                            upload(&mut client, photo, seed)?;
                            samples.push(start.elapsed());
                        }
                        Ok(samples)
                    })
                })
                .collect();
            let joined =
                threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("an uploader panicked")));
            joined.collect::<Result<Vec<_>>>()
        })?;
        let mut samples = Samples::default();
        for some in &all {
            samples.extend(some);
        }
        Ok((samples, began.elapsed().as_secs_f64()))
    };
    phase(Duration::from_secs(1))?;
    let me = std::process::id();
    let (counted, used, own) = (Counted::of(&addresses)?, Usage::of(&pids), process::cpu_ms(me).unwrap_or(0));
    let engines_before: Vec<f64> = engines.iter().map(|(_, pid)| tree_us(*pid)).collect();
    let machine = machine_us();
    let (samples, seconds) = phase(length)?;
    let after_machine = machine_us();
    let used = Usage::of(&pids).since(&used);
    let own_us = (process::cpu_ms(me).unwrap_or(0) - own) as f64 * 1000.0;
    let after = Counted::of(&addresses)?;
    let uploads = samples.len() as f64;
    let mut beside = serde_json::Map::new();
    for ((name, pid), before) in engines.iter().zip(&engines_before) {
        beside.insert(name.clone(), json!(round((tree_us(*pid) - before) / uploads)));
    }
    let engines_us: f64 = engines.iter().zip(&engines_before).map(|((_, pid), before)| tree_us(*pid) - before).sum();
    let ours_us = used.server_us + used.decoders_us + own_us + engines_us;
    let others_us = (after_machine.0 - machine.0 - ours_us).max(0.0);
    let found = json!({
        "others_cores": round(others_us / seconds / 1e6),
        "idle_cores": round((after_machine.1 - machine.1) / seconds / 1e6),
        "nodes": addresses.len(),
        "uploaders": uploaders,
        "uploads": uploads,
        "per_second": round(uploads / seconds),
        "cpu_us": round(used.server_us / uploads),
        "writer_us": round(used.writer_us / uploads),
        "sender_cpu_us": round(own_us / uploads),
        "engines_cpu_us": beside,
        "written_bytes": round(used.written_bytes / uploads),
        "commits": round(after.since(&counted, "filmgate_commit_seconds_count") / uploads),
        "writes": round(after.since(&counted, "filmgate_commit_requests_sum") / uploads),
        "p50_ms": round(samples.percentile_ms(50)),
        "p95_ms": round(samples.percentile_ms(95)),
    });
    println!("  {found}");
    Ok(found)
}

/// The engines beside, by name.
fn engines(rig: &Rig) -> Result<Vec<(String, u32)>> {
    let text = rig.args.text("beside");
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, pid) = pair.split_once('=').with_context(|| format!("--beside {pair}: no NAME=PID"))?;
            Ok((name.to_owned(), pid.parse().with_context(|| format!("--beside {pair}: no process number"))?))
        })
        .collect()
}
