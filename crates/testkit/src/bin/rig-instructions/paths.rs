//! The hot paths, each counted: what a server does for one client after the other, what imaging makes of a photo.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::rig::callgrind::{Counted, cost_of_program};
use testkit::rig::catalog::Catalog;
use testkit::rig::inject::Tracer;
use testkit::rig::trace::Call;
use testkit::rig::{CannotRun, Rig, run};
use testkit::{Api, Server, ServerBuilder, api, photo};

use super::baseline::Figure;

const UPLOAD: &str = "upload_instructions";
pub const SYNCS: &str = "upload_syncs";

const PHOTO_BYTES: usize = 100_000;
/// Little enough that what an upload costs whatever its size is most of it.
const SMALL_PHOTO_BYTES: usize = 5_000;
/// The control's: a tenth more to read, hash and write.
const LARGER_PHOTO_BYTES: usize = 110_000;
/// How long a task may take until it has succeeded.
const TASK_LIMIT: Duration = Duration::from_secs(60);
/// How many uploads' calls are counted, and how many uploads' with their task.
const UPLOADS_TRACED: u32 = 100;
const TASKS_TRACED: u32 = 30;

/// A server's figures were within 0.8 % of each other in five runs on a machine with three to eight times the work it had
/// cores for; imaging's are the same to the instruction.
const SERVER_TOLERANCE_PERCENT: f64 = 3.0;
const IMAGING_TOLERANCE_PERCENT: f64 = 1.0;

#[allow(clippy::cast_precision_loss, reason = "no path takes 2^53 instructions")]
fn figure(name: &'static str, tolerance_percent: f64, instructions: u64) -> Figure {
    println!("counted: {name} {instructions}");
    Figure { name, value: instructions as f64, tolerance_percent }
}

/// Without what comes by the clock: decoders' tasks, and looking for tasks of other processes.
fn alone(rig: &Rig) -> ServerBuilder {
    rig.server().env("FILMGATE__PROCESSING__WORKERS", "0").env("FILMGATE__JOBS__POLL_MS", "60000")
}

/// Uploads photos of this size, no two alike.
fn uploads(api: &mut Api, bytes: usize, first_seed: u64) -> impl FnMut(&Server) -> Result<()> + '_ {
    let mut seed = first_seed;
    move |_| {
        seed += 1;
        let stored = api::captures(&api.upload_photo(&photo::jpeg_bytes(bytes, seed))?)?;
        ensure!(stored.len() == 1, "an upload of one photo stored {}", stored.len());
        Ok(())
    }
}

fn gets(api: &mut Api, target: String) -> impl FnMut(&Server) -> Result<()> + '_ {
    move |_| {
        let answer = api.get(&target)?;
        ensure!(answer.status == 200, "{target}: {answer:?}");
        Ok(())
    }
}

/// What one server does in the requests that come all the time.
pub fn server(rig: &Rig, folder: &Path) -> Result<Vec<Figure>> {
    let mut counted = Counted::start(alone(rig), folder)?;
    let mut participant = counted.server().participant();
    let mut admin = counted.server().api(&counted.server().demo().admin);
    let settings = format!("/assessment/camera/settings/{}", participant.session_id);
    let seed = rig.seed << 32;
    let mut figures = Vec::new();
    let mut add = |name, instructions| figures.push(figure(name, SERVER_TOLERANCE_PERCENT, instructions));
    add(UPLOAD, counted.cost(10, uploads(&mut participant, PHOTO_BYTES, seed))?);
    add("upload_small_instructions", counted.cost(20, uploads(&mut participant, SMALL_PHOTO_BYTES, seed + 10_000))?);
    add("settings_instructions", counted.cost(100, gets(&mut participant, settings))?);
    add("captures_page_instructions", counted.cost(5, gets(&mut admin, "/api/v1/captures?limit=50".into()))?);
    counted.end()?;
    Ok(figures)
}

/// The control's upload, under the name of the ordinary one.
pub fn larger_upload(rig: &Rig, folder: &Path) -> Result<Figure> {
    let mut counted = Counted::start(alone(rig), folder)?;
    let mut participant = counted.server().participant();
    let cost = counted.cost(10, uploads(&mut participant, LARGER_PHOTO_BYTES, rig.seed << 32))?;
    let figure = figure(UPLOAD, SERVER_TOLERANCE_PERCENT, cost);
    counted.end()?;
    Ok(figure)
}

/// What a decoder does, by imaging's example.
pub fn imaging(rig: &Rig, folder: &Path) -> Result<Vec<Figure>> {
    let example = match rig.args.text("thumbnail") {
        "" => rig.binary.with_file_name("examples").join("thumbnail"),
        file => PathBuf::from(file),
    };
    let example = example.canonicalize().unwrap_or_default();
    let example = example.to_str().filter(|file| Path::new(file).is_file()).ok_or_else(|| {
        CannotRun(
            "it lacks imaging's example; get it with: cargo build --release -p imaging --example thumbnail".into(),
        )
    })?;
    let photos = folder.to_str().context("a path that is not UTF-8")?;
    run(example, &["--make", photos])?;
    let cost = |work: &str, photo: &str, times: u64| {
        let photo = format!("{photos}/{photo}");
        let words = [example, "--untimed", work, &photo].map(str::to_owned);
        cost_of_program(folder, times, |times| words.iter().cloned().chain([times.to_string()]).collect())
    };
    let paths = [
        ("thumbnail_1280x720_instructions", cost("thumbnail", "1280x720.jpg", 2)?),
        ("thumbnail_12_megapixels_instructions", cost("thumbnail", "12-megapixels.jpg", 1)?),
        ("development_1280x720_instructions", cost("development", "1280x720.jpg", 1)?),
    ];
    Ok(paths.map(|(name, cost)| figure(name, IMAGING_TOLERANCE_PERCENT, cost)).into())
}

/// Calls of the system for one upload, by a server outside valgrind.
pub fn upload_calls(rig: &Rig, folder: &Path, relaxed: bool) -> Result<Vec<Figure>> {
    let builder = if relaxed { alone(rig).relaxed() } else { alone(rig) };
    let calls = trace(builder, folder, rig.seed << 32, UPLOADS_TRACED, |_, _| Ok(()))?;
    let per = |name, tolerance, is_one: fn(&Call) -> bool| per(name, &calls, UPLOADS_TRACED, tolerance, is_one);
    Ok(vec![
        // A minute's new folder is synced too, and there may be one among a hundred uploads.
        per(SYNCS, 3.0, Call::is_sync),
        per("upload_opens", 3.0, Call::is_open),
        per("upload_writes", 5.0, Call::is_write),
        // Whether a thread still looks when the next piece of work comes is chance.
        per("upload_futexes", 25.0, |call| call.name == "futex"),
        per("upload_calls", 10.0, |_| true),
    ])
}

/// Calls of the system for one upload and its task: claimed, decoded, published, finished. Instructions of that are not
/// counted: a server that starts its own program anew, as for a decoder, starts valgrind's under valgrind.
pub fn task_calls(rig: &Rig, folder: &Path) -> Result<Vec<Figure>> {
    let builder = rig.server().env("FILMGATE__PROCESSING__WORKERS", "1");
    let calls = trace(builder, folder, rig.seed << 32, TASKS_TRACED, |catalog, count| {
        let end = Instant::now() + TASK_LIMIT;
        while catalog.succeeded()? < count {
            ensure!(Instant::now() < end, "a task did not succeed within {TASK_LIMIT:?}: {:?}", catalog.states()?);
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    })?;
    let per = |name, tolerance, is_one: fn(&Call) -> bool| per(name, &calls, TASKS_TRACED, tolerance, is_one);
    Ok(vec![
        per("upload_and_task_syncs", 7.0, Call::is_sync),
        per("upload_and_task_opens", 7.0, Call::is_open),
        per("upload_and_task_writes", 15.0, Call::is_write),
    ])
}

/// A server's calls while it takes uploads one by one; `after` waits for what is to follow each.
fn trace(
    builder: ServerBuilder,
    folder: &Path,
    first_seed: u64,
    times: u32,
    after: impl Fn(&Catalog, u64) -> Result<()>,
) -> Result<Vec<Call>> {
    let mut server = builder.start()?;
    let mut participant = server.participant();
    let catalog = Catalog::open(server.data())?;
    let mut upload = uploads(&mut participant, PHOTO_BYTES, first_seed);
    let mut count = 0;
    let mut many = || -> Result<()> {
        for _ in 0..times {
            upload(&server)?;
            count += 1;
            after(&catalog, count)?;
        }
        Ok(())
    };
    // The first ones make threads, connections and folders, and count for nothing.
    many()?;
    let tracer = Tracer::watch(server.pid(), &folder.join("trace"))?;
    many()?;
    let calls = tracer.detach()?;
    server.terminate(Duration::from_secs(30))?;
    Ok(calls)
}

#[allow(clippy::cast_precision_loss, reason = "nobody makes 2^53 calls")]
fn per(
    name: &'static str,
    calls: &[Call],
    times: u32,
    tolerance_percent: f64,
    is_one: impl Fn(&Call) -> bool,
) -> Figure {
    let count = calls.iter().filter(|call| is_one(call)).count();
    let value = (count as f64 / f64::from(times) * 100.0).round() / 100.0;
    println!("counted: {name} {value}");
    Figure { name, value, tolerance_percent }
}
