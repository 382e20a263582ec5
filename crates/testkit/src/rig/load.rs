//! Many uploaders at once, and the book of what was acknowledged to them.
//!
//! The book is kept in this process, outside whatever is cut or killed. An acknowledgement counts from the moment its
//! 2xx was read whole, whatever happened to the server meanwhile.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::api::{Api, Shot, captures, sha256};
use crate::http::Response;
use crate::photo;
use crate::random::Random;
use crate::server::Server;

/// One photo that the server answered for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub filename: String,
    pub sha256: String,
    /// When its upload began, and when the answer had been read.
    pub begun: Instant,
    pub answered: Instant,
}

impl Ack {
    /// One of an upload whose times nobody asks for.
    pub fn new(filename: &str, sha256: String) -> Self {
        let now = Instant::now();
        Self { filename: filename.to_owned(), sha256, begun: now, answered: now }
    }
}

/// Where the uploaders go: the address is another after each start.
#[derive(Clone, Debug)]
struct Target {
    address: SocketAddr,
    cookie: String,
    session_id: String,
}

#[derive(Debug, Default)]
struct State {
    target: Option<Target>,
    /// Counts the calls of `run`, so that an uploader knows that its connection is an old server's.
    epoch: u64,
    parked: usize,
    quit: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    acks: Mutex<Vec<Ack>>,
    next_photo: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    /// Answers that a correct server never gives, the first few of them.
    wrong: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The uploaders. They rest until [`run`](Self::run).
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn new(uploaders: usize, seed: u64) -> io::Result<Self> {
        let shared = Arc::new(Shared { next_photo: AtomicU64::new(seed << 32), ..Shared::default() });
        let mut random = Random::new(seed);
        let threads = (0..uploaders)
            .map(|_| {
                let shared = shared.clone();
                let random = Random::new(random.next_u64());
                thread::Builder::new().stack_size(256 * 1024).spawn(move || uploader(&shared, random))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { shared, threads })
    }

    /// Sends everybody to this server.
    pub fn run(&self, server: &Server) {
        let person = &server.demo().participant;
        let mut state = lock(&self.shared.state);
        state.target = Some(Target {
            address: server.address(),
            cookie: person.cookie.clone(),
            session_id: person.session_id.clone(),
        });
        state.epoch += 1;
        self.shared.changed.notify_all();
    }

    /// Calls everybody back and returns what was acknowledged since the last call. Ends once nobody waits for an answer
    /// any more, so the server is either gone by now or answers them.
    pub fn pause(&self) -> Vec<Ack> {
        let mut state = lock(&self.shared.state);
        state.target = None;
        while state.parked < self.threads.len() {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        mem::take(&mut *lock(&self.shared.acks))
    }

    /// Bytes of acknowledged photos.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Answers that were not 2xx.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Uploads that ended without an answer.
    pub fn broken(&self) -> u64 {
        self.shared.broken.load(Ordering::Relaxed)
    }

    /// Answers that no correct server gives.
    pub fn wrong(&self) -> Vec<String> {
        lock(&self.shared.wrong).clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.quit = true;
        state.target = None;
        drop(state);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic there has been printed already.
            drop(thread.join());
        }
    }
}

fn uploader(shared: &Shared, mut random: Random) {
    let mut epoch = 0;
    let mut api: Option<Api> = None;
    loop {
        let mut state = lock(&shared.state);
        if state.target.is_none() {
            api = None;
            state.parked += 1;
            shared.changed.notify_all();
            while state.target.is_none() && !state.quit {
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.parked -= 1;
        }
        if state.quit {
            return;
        }
        if let Some(target) = state.target.as_ref().filter(|_| api.is_none() || epoch != state.epoch) {
            api = Some(Api::new(target.address, &target.cookie, &target.session_id));
            epoch = state.epoch;
        }
        drop(state);
        if let Some(api) = &mut api {
            upload(shared, api, &mut random);
        }
    }
}

/// Mostly small photos, some as a camera sends them; mostly one at a time, sometimes several.
fn shots(shared: &Shared, random: &mut Random) -> Vec<Shot> {
    let count = if random.one_in(5) { random.between(2, 5) } else { 1 };
    (0..count)
        .map(|_| {
            let seed = shared.next_photo.fetch_add(1, Ordering::Relaxed);
            let least = photo::jpeg_bytes_min() as u64;
            let length =
                if random.one_in(16) { random.between(30_000, 150_000) } else { least + random.between(0, 6_000) };
            Shot::interval(photo::jpeg_bytes(usize::try_from(length).expect("a photo's length"), seed))
        })
        .collect()
}

fn upload(shared: &Shared, api: &mut Api, random: &mut Random) {
    let shots = shots(shared, random);
    let begun = Instant::now();
    match api.upload(&shots) {
        Ok(response) if response.is_success() => acknowledged(shared, &shots, &response, begun),
        Ok(response) => {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            // Its own fault is any server's right to say so once; a request of ours is never at fault.
            if !matches!(response.status, 408 | 429 | 500 | 503 | 507) {
                note(shared, format!("status {}: {}", response.status, response.text()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(_) => {
            shared.broken.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn acknowledged(shared: &Shared, shots: &[Shot], response: &Response, begun: Instant) {
    let answered = Instant::now();
    let captures = match captures(response) {
        Ok(captures) if captures.len() == shots.len() => captures,
        Ok(captures) => {
            note(shared, format!("{} photos sent, {} acknowledged: {}", shots.len(), captures.len(), response.text()));
            return;
        }
        Err(error) => {
            note(shared, format!("{error:#}"));
            return;
        }
    };
    let mut acks = Vec::with_capacity(captures.len());
    for (shot, capture) in shots.iter().zip(captures) {
        let sent = sha256(&shot.photo);
        if capture.sha256 != sent {
            note(shared, format!("{}: sent {sent}, acknowledged {}", capture.filename, capture.sha256));
        }
        shared.bytes.fetch_add(shot.photo.len() as u64, Ordering::Relaxed);
        acks.push(Ack { filename: capture.filename, sha256: sent, begun, answered });
    }
    lock(&shared.acks).extend(acks);
}

fn note(shared: &Shared, what: String) {
    let mut wrong = lock(&shared.wrong);
    if wrong.len() < 20 {
        wrong.push(what);
    }
}

/// An acknowledged photo that is not there as it was sent.
#[derive(Clone, Debug)]
pub struct Lost {
    pub ack: Ack,
    pub why: String,
}

/// Fetches every photo and compares its SHA-256 with the one acknowledged.
pub fn verify(api: &Api, acks: &[Ack]) -> Vec<Lost> {
    const READERS: usize = 4;
    let share = acks.len().div_ceil(READERS).max(1);
    thread::scope(|scope| {
        let readers: Vec<_> = acks
            .chunks(share)
            .map(|chunk| {
                scope.spawn(move || {
                    let mut api = api.clone();
                    chunk.iter().filter_map(|ack| check(&mut api, ack)).collect::<Vec<_>>()
                })
            })
            .collect();
        readers.into_iter().flat_map(|reader| reader.join().expect("a reader")).collect()
    })
}

fn check(api: &mut Api, ack: &Ack) -> Option<Lost> {
    /// A 429 or 503 asks to come again; ten times is asking enough.
    const TRIES: usize = 10;
    let mut why = String::new();
    for _ in 0..TRIES {
        match api.file(&ack.filename) {
            Ok(response) if response.status == 200 => {
                let found = sha256(&response.body);
                return (found != ack.sha256).then(|| Lost {
                    ack: ack.clone(),
                    why: format!("acknowledged {}, found {found} ({} bytes)", ack.sha256, response.body.len()),
                });
            }
            Ok(response) if matches!(response.status, 429 | 503) => {
                why = format!("status {}: {}", response.status, response.text());
                thread::sleep(Duration::from_millis(200));
            }
            Ok(response) => {
                why = format!("status {}: {}", response.status, response.text());
                break;
            }
            Err(error) => why = error.to_string(),
        }
    }
    Some(Lost { ack: ack.clone(), why })
}
