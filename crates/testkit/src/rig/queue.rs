//! So many uploads in queued mode, each of which ends with its task: whoever is cut off asks again under the same
//! `Idempotency-Key`, as a page does that was promised nothing yet.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::api::{Api, Shot, sha256, upload_request};
use crate::http::Response;
use crate::server::Server;

/// Between two looks for a server, or after an answer that says: later.
const PAUSE: Duration = Duration::from_millis(20);

/// A photo that was answered with a 202.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    pub task_id: String,
    pub sha256: String,
}

#[derive(Debug, Default)]
struct Shared {
    target: Mutex<Option<(SocketAddr, String, String)>>,
    next: AtomicU64,
    gives_up: AtomicBool,
    queued: Mutex<Vec<Queued>>,
    /// Uploads sent again after they were cut off.
    again: AtomicU64,
    /// Answers that no correct server gives.
    wrong: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Uploaders at work.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Queue {
    /// Sends `count` photos by so many uploaders, as soon as there is a server; `make` gives the photo of a number.
    pub fn begin(
        count: u64,
        uploaders: usize,
        seed: u64,
        make: impl Fn(u64) -> Vec<u8> + Clone + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let threads = (0..uploaders)
            .map(|_| {
                let (shared, make) = (shared.clone(), make.clone());
                thread::spawn(move || {
                    loop {
                        let number = shared.next.fetch_add(1, Ordering::Relaxed);
                        if number >= count || shared.gives_up.load(Ordering::Relaxed) {
                            return;
                        }
                        upload(&shared, &make(number), &format!("rig-{seed}-{number}"));
                    }
                })
            })
            .collect();
        Self { shared, threads }
    }

    /// Sends everybody to this server.
    pub fn go_to(&self, server: &Server) {
        let person = &server.demo().participant;
        *lock(&self.shared.target) = Some((server.address(), person.cookie.clone(), person.session_id.clone()));
    }

    /// There is no server for now.
    pub fn halt(&self) {
        *lock(&self.shared.target) = None;
    }

    /// How many were answered with a 202.
    pub fn queued(&self) -> u64 {
        lock(&self.shared.queued).len() as u64
    }

    /// Uploads that were sent again after they were cut off.
    pub fn again(&self) -> u64 {
        self.shared.again.load(Ordering::Relaxed)
    }

    /// Waits until each photo has its task.
    pub fn finish(mut self) -> Result<Vec<Queued>> {
        for thread in self.threads.drain(..) {
            ensure!(thread.join().is_ok(), "an uploader panicked");
        }
        let wrong = lock(&self.shared.wrong);
        ensure!(wrong.is_empty(), "{} uploads refused, such as {}", wrong.len(), wrong[0]);
        Ok(lock(&self.shared.queued).clone())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Whoever still waits for a server would wait for ever.
        self.shared.gives_up.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there has been printed already.
            drop(thread.join());
        }
    }
}

fn upload(shared: &Shared, photo: &[u8], key: &str) {
    let mut was_cut = false;
    while !shared.gives_up.load(Ordering::Relaxed) {
        let Some((address, cookie, session_id)) = lock(&shared.target).clone() else {
            thread::sleep(PAUSE);
            continue;
        };
        let request = upload_request(&cookie, &session_id, &[Shot::interval(photo.to_vec())])
            .header("Prefer", "respond-async")
            .header("Idempotency-Key", key);
        shared.again.fetch_add(u64::from(was_cut), Ordering::Relaxed);
        match Api::new(address, &cookie, &session_id).send(&request) {
            // Its first try may still be under way (409), or the server is just starting or full.
            Ok(response) if matches!(response.status, 409 | 429 | 503) => {}
            Ok(response) => {
                match task_ids(&response) {
                    Ok(ids) if ids.len() == 1 => {
                        lock(&shared.queued).push(Queued { task_id: ids[0].clone(), sha256: sha256(photo) });
                    }
                    Ok(ids) => lock(&shared.wrong).push(format!("one photo, {} tasks: {ids:?}", ids.len())),
                    Err(error) => lock(&shared.wrong).push(format!("{error:#}")),
                }
                return;
            }
            Err(_) => was_cut = true,
        }
        thread::sleep(PAUSE);
    }
}

/// The tasks that a 202 names, without the hyphens of their ids.
pub fn task_ids(response: &Response) -> Result<Vec<String>> {
    ensure!(response.status == 202, "status {}: {}", response.status, response.text());
    let body: Value = serde_json::from_slice(&response.body).context("an answer that is no JSON")?;
    let ids = body["task_ids"].as_array().with_context(|| format!("no task_ids in {body}"))?;
    ids.iter().map(|id| Ok(id.as_str().context("a task id that is no text")?.replace('-', ""))).collect()
}
