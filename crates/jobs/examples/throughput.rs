//! How many tasks a second, and how much CPU for each: the catalog itself against Redis in between.
//!
//! `cargo run --release -p jobs --example throughput -- [FOLDER]`: the catalog is durable and lies in FOLDER, which ought
//! to be on the disk in question. Tasks do nothing. Redis, if there is one to be started, is asked for ids alone.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jobs::{Jobs, JobsOptions, Lane, Outcome, RedisOptions, RetryPolicy, Work};
use records::{
    AssessmentType, CatalogOptions, Claim, Effect, NewCapture, Recording, Records, Registered, SettingsChoice,
    StoredBlob, TaskKind, TaskState,
};
use tokio::sync::watch;
use uuid::Uuid;

const TASKS: usize = 10_000;
const USERS: usize = 100;

struct Nothing;

impl Work for Nothing {
    async fn run(&self, _claim: Claim) -> Outcome {
        Outcome::Success(Effect::None)
    }

    async fn discard(&self, _claim: Claim, _effect: Effect) {}
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    println!("{TASKS} tasks of {USERS} users, fsync of 4 KiB here: {:?} (median)", fsync(&folder));
    println!("{:<10} {:>8} {:>12} {:>14} {:>16}", "engine", "at once", "tasks/s", "CPU us/task", "of it Redis us");
    for parallel in [1, 4, 16, 64] {
        measure(&folder, parallel, false).await;
        measure(&folder, parallel, true).await;
    }
}

/// The median of a hundred.
fn fsync(folder: &Path) -> Duration {
    let file = tempfile::tempfile_in(folder).unwrap();
    let mut times: Vec<_> = (0..100)
        .map(|number| {
            std::os::unix::fs::FileExt::write_all_at(&file, &[0; 4096], number * 4096).unwrap();
            let began = Instant::now();
            file.sync_all().unwrap();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[50]
}

async fn measure(folder: &Path, parallel: usize, with_redis: bool) {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let records = Records::open(&folder.path().join("catalog.sqlite"), &CatalogOptions::default()).unwrap();
    fill(&records).await;
    let socket = folder.path().join("redis.sock");
    let mut server = with_redis.then(|| redis_server(&socket)).flatten();
    if with_redis && server.is_none() {
        println!("{:<10} {parallel:>8} not measured: apt-get install redis-server", "redis");
        return;
    }
    let retry = RetryPolicy { attempts_max: 3, delay_min: Duration::from_secs(1), delay_max: Duration::from_secs(1) };
    let url = format!("redis+unix://{}", socket.display());
    let options = JobsOptions {
        worker: "serve/measured".to_owned(),
        dead_workers_prefix: None,
        lease: Duration::from_secs(60),
        poll: Duration::from_secs(1),
        drain: Duration::from_secs(5),
        process: Lane { parallel, retry },
        deliver: Lane { parallel: 0, retry },
        sweep: Lane { parallel: 0, retry },
        redis: server.is_some().then(|| RedisOptions { url, key_prefix: "measured:".to_owned() }),
    };
    let jobs = Jobs::open(records.clone(), options, Arc::new(Timestamp::now)).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let id = server.as_ref().map(Child::id);
    let (cpu, cpu_redis, began) = (cpu_us(None), id.map(|id| cpu_us(Some(id))), Instant::now());
    let running = tokio::spawn(jobs.run(Arc::new(Nothing), stopped));
    while open_tasks(&records).await > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed();
    let of_redis = id.map_or(0.0, |id| cpu_us(Some(id)) - cpu_redis.unwrap_or_default());
    let of_all = cpu_us(None) - cpu + of_redis;
    stop.send_replace(true);
    running.await.unwrap();
    records.close().await;
    if let Some(server) = &mut server {
        server.kill().unwrap();
        server.wait().unwrap();
    }
    #[allow(clippy::cast_precision_loss)] // ten thousand
    let tasks = TASKS as f64;
    let engine = if with_redis { "redis" } else { "embedded" };
    let (a_second, all, redis) = (tasks / took.as_secs_f64(), of_all / tasks, of_redis / tasks);
    println!("{engine:<10} {parallel:>8} {a_second:>12.0} {all:>14.0} {redis:>16.0}");
}

async fn open_tasks(records: &Records) -> u64 {
    let counts = records.count_tasks().await.unwrap();
    counts
        .iter()
        .filter(|(kind, state, _)| *kind == TaskKind::Process && *state != TaskState::Failure)
        .map(|c| c.2)
        .sum()
}

/// CPU time of a process so far; of this one where none is named.
fn cpu_us(process: Option<u32>) -> f64 {
    let process = process.map_or_else(|| "self".to_owned(), |id| id.to_string());
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Behind the name in brackets, which may hold anything: state is the first, user and system time are 12th and 13th.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    // A hundred a second on every Linux that Filmgate runs on.
    ticks * 10_000.0
}

fn redis_server(socket: &Path) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(socket);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    while std::os::unix::net::UnixStream::connect(socket).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(child)
}

async fn fill(records: &Records) {
    let now = Timestamp::now();
    for user in 1..=USERS {
        let user_id = i64::try_from(user).unwrap();
        let session = records.register_session(Uuid::now_v7(), user_id, SettingsChoice::Default, now).await.unwrap();
        let Registered::Created(session) = session else { panic!("{session:?}") };
        let gate = records.session_gate(session.id).await.unwrap().unwrap();
        let captures = (0..TASKS / USERS).map(|_| capture(now)).collect();
        records.record_captures(Recording { gate, captures, idempotency: None, now }).await.unwrap();
    }
}

fn capture(received_at: Timestamp) -> NewCapture {
    let id = Uuid::now_v7();
    NewCapture {
        id,
        task_id: Uuid::now_v7(),
        task_priority: 1,
        filename: format!("{id}.jpg"),
        blob: StoredBlob { key: format!("a/b/{id}"), format: "plain".to_owned(), size_bytes: 1, sha256: [7; 32] },
        content_type: "image/jpeg".to_owned(),
        width_px: 1,
        height_px: 1,
        trigger: "INTERVAL".to_owned(),
        assessment_type: AssessmentType::General,
        assessment_id: None,
        captured_at: None,
        received_at,
        metadata: "{}".to_owned(),
    }
}
