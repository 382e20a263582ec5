//! A catalog, perhaps a Redis, a clock that can be set, and processes that run tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use jobs::{Clock, Jobs, JobsOptions, Lane, RedisOptions, RetryPolicy};
use prometheus_client::registry::Registry;
use records::{
    AssessmentType, CatalogOptions, Claim, ClaimTerms, EventKind, EventSink, NewCapture, Recording, Records,
    Registered, SettingsChoice, StoredBlob, Task, TaskKind, TaskState,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::server::Server;
use crate::work::{Log, Script};

/// Longer than anything takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Rig {
    pub records: Records,
    pub server: Option<Arc<Server>>,
    pub log: Arc<Log>,
    set_ahead_s: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

impl Rig {
    pub fn embedded() -> Self {
        Self::new(None)
    }

    pub fn redis() -> Self {
        Self::new(Some(Server::start(Some("hush-hush"))))
    }

    pub fn new(server: Option<Server>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let records = open(&folder.path().join("catalog.sqlite"));
        let (set_ahead_s, log) = (Arc::default(), Arc::default());
        Self { records, server: server.map(Arc::new), log, set_ahead_s, folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("catalog.sqlite")
    }

    /// The catalog as another process has it open.
    pub fn beside(&self) -> Records {
        open(&self.path())
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub fn clock(&self) -> Clock {
        let ahead = self.set_ahead_s.clone();
        Arc::new(move || Timestamp::now() + SignedDuration::from_secs(ahead.load(Ordering::Relaxed)))
    }

    pub fn now(&self) -> Timestamp {
        self.clock()()
    }

    /// Sets the clock so far ahead of the true time.
    pub fn set_clock(&self, ahead_s: i64) {
        self.set_ahead_s.store(ahead_s, Ordering::Relaxed);
    }

    /// Four at once, three attempts shortly after each other, a lease that no slow machine misses.
    pub fn options(&self, worker: &str) -> JobsOptions {
        let retry =
            RetryPolicy { attempts_max: 3, delay_min: Duration::from_millis(20), delay_max: Duration::from_millis(80) };
        JobsOptions {
            worker: worker.to_owned(),
            dead_workers_prefix: None,
            lease: Duration::from_secs(30),
            poll: Duration::from_millis(200),
            drain: Duration::from_secs(60),
            process: Lane { parallel: 4, retry },
            deliver: Lane { parallel: 0, retry },
            sweep: Lane { parallel: 0, retry },
            redis: self
                .server
                .as_ref()
                .map(|server| RedisOptions { url: server.url(), key_prefix: "filmgate:".to_owned() }),
        }
    }

    /// A process of four at once that does this.
    pub async fn start(&self, script: Arc<Script>) -> Process {
        self.start_with(self.options("serve/one"), self.records.clone(), script).await
    }

    pub async fn start_with(&self, options: JobsOptions, records: Records, script: Arc<Script>) -> Process {
        let jobs = Jobs::open(records, options, self.clock()).await.unwrap();
        let mut registry = Registry::default();
        jobs.register_metrics(&mut registry);
        let (stop, stopped) = watch::channel(false);
        Process { stop, registry, running: tokio::spawn(jobs.run(script, stopped)) }
    }

    /// Records so many captures of a user in one transaction; their tasks.
    pub async fn upload(&self, user_id: i64, many: usize) -> Vec<Uuid> {
        self.upload_by(&self.records, user_id, many, 1).await
    }

    pub async fn upload_by(&self, records: &Records, user_id: i64, many: usize, priority: u32) -> Vec<Uuid> {
        let now = self.now();
        let session = records.register_session(Uuid::now_v7(), user_id, SettingsChoice::Default, now).await.unwrap();
        let Registered::Created(session) = session else { panic!("{session:?}") };
        let gate = records.session_gate(session.id).await.unwrap().unwrap();
        let captures: Vec<_> = (0..many).map(|_| capture(priority, now)).collect();
        let tasks = captures.iter().map(|capture| capture.task_id).collect();
        records.record_captures(Recording { gate, captures, idempotency: None, now }).await.unwrap();
        tasks
    }

    pub async fn task(&self, id: Uuid) -> Task {
        self.records.task(id).await.unwrap().unwrap()
    }

    /// How many tasks of a kind are in a state that is not the end.
    pub async fn count(&self, kind: TaskKind, state: TaskState) -> u64 {
        let counts = self.records.count_tasks().await.unwrap();
        counts.iter().find(|(of, is, _)| (*of, *is) == (kind, state)).map_or(0, |count| count.2)
    }

    pub async fn wait_for_effects(&self, effects: u64) {
        until("effects", async || self.records.count_effects().await.unwrap() >= effects).await;
        assert_eq!(self.records.count_effects().await.unwrap(), effects, "once each");
    }

    /// Waits until the task is in this state.
    pub async fn wait_for(&self, id: Uuid, state: TaskState) -> Task {
        until(state.as_str(), async || self.task(id).await.state == state).await;
        self.task(id).await
    }

    /// Waits until so many runs have begun.
    pub async fn wait_for_runs(&self, runs: usize) {
        until("runs", async || self.log.count() >= runs).await;
    }

    /// As a worker elsewhere whose clock says that every lease is over.
    pub async fn steal(&self, worker: &str) -> Vec<Claim> {
        let terms = ClaimTerms {
            kind: TaskKind::Process,
            worker: worker.to_owned(),
            lease: SignedDuration::from_secs(30),
            attempts_max: 9,
            takes_back: true,
        };
        let late = self.now() + SignedDuration::from_mins(10);
        self.records.claim_tasks(terms, 100, late).await.unwrap().claims
    }
}

/// A process that runs tasks.
pub struct Process {
    stop: watch::Sender<bool>,
    registry: Registry,
    running: tokio::task::JoinHandle<()>,
}

impl Process {
    pub fn tell_to_stop(&self) {
        self.stop.send_replace(true);
    }

    pub async fn stop(self) {
        self.tell_to_stop();
        tokio::time::timeout(PATIENCE, self.running).await.expect("it does not stop").unwrap();
    }

    /// Running on, with nobody left to stop it.
    pub fn abandoned(self) -> tokio::task::JoinHandle<()> {
        self.running
    }

    /// The value of a metric, by its name and labels as shown.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// Waits, with patience, until it is so.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn open(path: &std::path::Path) -> Records {
    // Not fsynced: a test that cuts the power stands elsewhere, and these write much.
    let sink = EventSink { name: "hook".to_owned(), kinds: vec![EventKind::Processed] };
    let options = CatalogOptions { sync: records::Sync::Relaxed, event_sinks: vec![sink], ..CatalogOptions::default() };
    Records::open(path, &options).unwrap()
}

fn capture(task_priority: u32, received_at: Timestamp) -> NewCapture {
    let id = Uuid::now_v7();
    NewCapture {
        id,
        task_id: Uuid::now_v7(),
        task_priority,
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
