//! Who works: a server, perhaps a worker, perhaps Redis; and how each is struck down and raised again.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use testkit::random::Random;
use testkit::rig::catalog::Catalog;
use testkit::rig::picture::Picture;
use testkit::rig::queue::{Queue, Queued};
use testkit::rig::redis::Redis;
use testkit::rig::{Checks, Faults, Rig};
use testkit::{Api, Server, Worker, api, process};

use super::strikes::Strike;

/// How long anybody may take to end when asked.
const END_LIMIT: Duration = Duration::from_secs(40);

pub struct House {
    pub server: Server,
    pub catalog: Catalog,
    pub faults: Faults,
    worker: Option<Worker>,
    redis: Option<Redis>,
}

impl House {
    pub fn open(rig: &Rig, data: &Path) -> Result<Self> {
        let redis = match rig.args.text("engine") {
            "embedded" => None,
            "redis" => Some(Redis::start()?),
            other => anyhow::bail!("--engine {other}: embedded or redis"),
        };
        let mut builder = rig
            .server()
            .data(data)
            // A lost worker's tasks come back while the run still lasts.
            .env("FILMGATE__JOBS__LEASE_MS", "1500")
            .env("FILMGATE__JOBS__RETRY_DELAY_MIN_MS", "50")
            .env("FILMGATE__JOBS__POLL_MS", "200")
            .env("FILMGATE__LOG__LEVEL", "info,filmgate::exit=warn");
        if let Some(redis) = &redis {
            builder = builder.env("FILMGATE__JOBS__REDIS_URL", &redis.url());
        }
        let server = builder.start()?;
        let worker = if rig.args.has("worker") { Some(server.start_worker()?) } else { None };
        Ok(Self { catalog: Catalog::open(data)?, server, faults: Faults::default(), worker, redis })
    }

    pub fn data(&self) -> &Path {
        self.server.data()
    }

    pub fn has_worker(&self) -> bool {
        self.worker.is_some()
    }

    pub fn has_redis(&self) -> bool {
        self.redis.is_some()
    }

    /// The ends of all logs, for whoever looks for the reason.
    pub fn logs(&self) -> String {
        let worker = self.worker.as_ref().map(Worker::log).unwrap_or_default();
        let worker: Vec<&str> = worker.lines().rev().take(20).collect();
        let worker = worker.into_iter().rev().collect::<Vec<_>>().join("\n");
        format!("the server's log ends:\n{}\nthe worker's:\n{worker}", self.server.log_tail(20))
    }

    pub fn strike(&mut self, strike: Strike, queue: &Queue, random: &mut Random) -> Result<()> {
        match strike {
            Strike::Server => {
                queue.halt();
                if random.one_in(2) {
                    self.server.kill_alone();
                    self.faults.count("kill -9 of the server alone");
                } else {
                    self.server.kill();
                    self.faults.count("kill -9 of the server and its children");
                }
                self.server = self.server.start_again()?;
                queue.go_to(&self.server);
            }
            Strike::Worker => {
                let worker = self.worker.as_mut().context("no worker to kill")?;
                if random.one_in(2) {
                    worker.kill_alone();
                    self.faults.count("kill -9 of the worker alone");
                } else {
                    worker.kill();
                    self.faults.count("kill -9 of the worker and its children");
                }
                *worker = self.server.start_worker()?;
            }
            Strike::Decoder => {
                let mut decoders = process::decoders(self.server.pid());
                decoders.extend(self.worker.as_ref().map(|worker| process::decoders(worker.pid())).unwrap_or_default());
                if !decoders.is_empty() {
                    let at = usize::try_from(random.between(0, decoders.len() as u64))?;
                    process::signal(decoders[at], Signal::KILL);
                    self.faults.count("kill -9 of a decoder");
                }
            }
            Strike::Flush => {
                self.redis.as_ref().context("no Redis to flush")?.flush_all()?;
                self.faults.count("FLUSHALL of Redis");
            }
            Strike::Redis => {
                let redis = self.redis.as_mut().context("no Redis to kill")?;
                redis.kill();
                self.faults.count("kill -9 of Redis");
                thread::sleep(Duration::from_millis(random.between(200, 1_500)));
                redis.start_again()?;
            }
        }
        Ok(())
    }

    /// Ends everybody as an administrator does. The server is started once more in between: what those who were killed
    /// left behind, a start removes.
    pub fn close(&mut self, checks: &mut Checks) -> Result<()> {
        if let Some(worker) = &mut self.worker {
            let ended = worker.terminate(END_LIMIT)?;
            checks.check(ended.success(), || format!("the worker ended with {ended}: {}", worker.log()));
        }
        for start_again in [true, false] {
            let ended = self.server.terminate(END_LIMIT)?;
            checks.check(ended.success(), || format!("the server ended with {ended}: {}", self.server.log_tail(20)));
            if start_again {
                self.server = self.server.start_again()?;
            }
        }
        Ok(())
    }
}

/// One photo by its task, as its owner sees it: done, still the bytes that were sent, and a thumbnail of just these.
pub fn look_at(api: &mut Api, queued: &Queued, filenames: &BTreeMap<String, String>) -> Result<()> {
    let task = &queued.task_id;
    let answer = api.get(&format!("/assessment/camera/tasks/{}", hyphenated(task)))?;
    let state = answer.json()["data"]["state"].clone();
    ensure!(answer.status == 200 && state == "SUCCESS", "task {task}: {}: {}", answer.status, answer.text());
    let filename = filenames.get(task).with_context(|| format!("task {task} has no capture"))?;
    let photo = api.file(filename)?;
    ensure!(photo.status == 200, "{filename}: status {}: {}", photo.status, photo.text());
    ensure!(api::sha256(&photo.body) == queued.sha256, "{filename}: not the bytes that were sent");
    let thumb = api.get(&format!("/assessment/camera/file/{filename}?size=thumb"))?;
    ensure!(thumb.status == 200, "{filename}: thumb: status {}: {}", thumb.status, thumb.text());
    let small = Picture::decode(&thumb.body).with_context(|| format!("{filename}: thumb"))?;
    ensure!(small.width.max(small.height) == 320, "{filename}: a thumb of {} x {}", small.width, small.height);
    let whole = Picture::decode(&photo.body).with_context(|| filename.clone())?;
    ensure!(small.shows(&whole), "{filename}: its thumb shows something else ({:.1})", small.difference(&whole));
    Ok(())
}

fn hyphenated(id: &str) -> String {
    [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-")
}
