//! Clients as they are in the field, and everything that happened to them: each uploads one photo after the other under
//! an `Idempotency-Key`, and where it is refused or cut off it waits as it was told and sends the same again. Readers
//! fetch what was acknowledged and compare it.
//!
//! The book is kept in this process, outside whatever is killed. What was acknowledged counts from the moment that its
//! 2xx was read whole.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::load::Ack;
use crate::api::{Api, Shot, captures, sha256, upload_request};
use crate::demo::Person;
use crate::http::Response;
use crate::photo;
use crate::random::Random;

/// Before the same is sent again to somebody who did not say when.
const PAUSE: Duration = Duration::from_millis(250);
/// More wrong answers than these tell nothing new.
const WRONG_MAX: usize = 20;

/// What a client met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    Success,
    /// An answer that asks to come again, or says that something failed.
    Status(u16),
    /// No answer.
    Broken,
}

/// One try of one client.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub client: usize,
    /// Whether it was an upload, else a read.
    pub is_upload: bool,
    pub began: Instant,
    pub ended: Instant,
    pub met: Met,
}

/// Who uploads, how fast, and what.
#[derive(Clone, Debug)]
pub struct Style {
    pub uploaders: usize,
    pub readers: usize,
    /// Between two photos of one client.
    pub interval: Duration,
    pub seed: u64,
    /// A prefix of the keys: two fleets of one user must not share them.
    pub name: String,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    person: Person,
    style: Style,
    stops: AtomicBool,
    gives_up: AtomicBool,
    next: AtomicU64,
    acks: Mutex<Vec<Ack>>,
    events: Mutex<Vec<Event>>,
    /// Answers that no correct server gives.
    wrong: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clients at work.
#[derive(Debug)]
pub struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Everybody begins at once, as this person, at this address.
    pub fn begin(address: SocketAddr, person: &Person, style: Style) -> io::Result<Self> {
        let (uploaders, readers) = (style.uploaders, style.readers);
        let mut random = Random::new(style.seed);
        let shared = Arc::new(Shared {
            address,
            person: person.clone(),
            style,
            stops: AtomicBool::new(false),
            gives_up: AtomicBool::new(false),
            next: AtomicU64::new(0),
            acks: Mutex::default(),
            events: Mutex::default(),
            wrong: Mutex::default(),
        });
        let threads = (0..uploaders + readers)
            .map(|client| {
                let (shared, random) = (shared.clone(), Random::new(random.next_u64()));
                let work = if client < uploaders { uploader } else { reader };
                thread::Builder::new().spawn(move || work(&shared, client, random))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { shared, threads })
    }

    pub fn acks(&self) -> Vec<Ack> {
        lock(&self.shared.acks).clone()
    }

    pub fn acked(&self) -> usize {
        lock(&self.shared.acks).len()
    }

    /// Everything that anybody met since then.
    pub fn events_since(&self, then: Instant) -> Vec<Event> {
        lock(&self.shared.events).iter().filter(|event| event.ended >= then).copied().collect()
    }

    /// Whether every uploader had an answer that it was glad of since then, and nobody any other for so long.
    pub fn are_well(&self, since: Instant, calm: Duration) -> bool {
        let events = self.events_since(since);
        let is_glad = |client: usize| {
            events.iter().any(|event| event.client == client && event.began >= since && event.met == Met::Success)
        };
        (0..self.shared.style.uploaders).all(is_glad)
            && !events.iter().any(|event| event.met != Met::Success && event.ended.elapsed() < calm)
    }

    /// Answers that no correct server gives.
    pub fn wrong(&self) -> Vec<String> {
        lock(&self.shared.wrong).clone()
    }

    /// Lets every client bring the photo in its hands to its end, and sends everybody home.
    pub fn finish(&mut self, limit: Duration) -> Result<()> {
        self.shared.stops.store(true, Ordering::Relaxed);
        let end = Instant::now() + limit;
        while self.threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        self.shared.gives_up.store(true, Ordering::Relaxed);
        let late = self.threads.iter().filter(|thread| !thread.is_finished()).count();
        for thread in self.threads.drain(..) {
            ensure!(thread.join().is_ok(), "a client panicked");
        }
        ensure!(late == 0, "{late} clients did not get their last photo stored within {limit:?}");
        Ok(())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::Relaxed);
        self.shared.gives_up.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there has been printed already.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn stops(&self) -> bool {
        self.stops.load(Ordering::Relaxed)
    }

    fn note(&self, what: String) {
        let mut wrong = lock(&self.wrong);
        if wrong.len() < WRONG_MAX {
            wrong.push(what);
        }
    }

    fn met(&self, client: usize, is_upload: bool, began: Instant, met: Met) {
        lock(&self.events).push(Event { client, is_upload, began, ended: Instant::now(), met });
    }

    fn api(&self) -> Api {
        Api::new(self.address, &self.person.cookie, &self.person.session_id)
    }
}

fn uploader(shared: &Shared, client: usize, mut random: Random) {
    let mut api = shared.api();
    while !shared.stops() {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let photo = photo::jpeg(320, 240, shared.style.seed << 32 | number);
        let key = format!("{}-{}-{number}", shared.style.name, shared.style.seed);
        store(shared, client, &mut api, photo, &key);
        let interval = u64::try_from(shared.style.interval.as_millis()).unwrap_or(u64::MAX);
        thread::sleep(Duration::from_millis(random.between(interval / 2, interval * 3 / 2 + 1)));
    }
}

/// Sends one photo until it is acknowledged.
fn store(shared: &Shared, client: usize, api: &mut Api, photo: Vec<u8>, key: &str) {
    let sent = sha256(&photo);
    let request = upload_request(&api.cookie, &api.session_id, &[Shot::interval(photo)]).header("Idempotency-Key", key);
    let first = Instant::now();
    while !shared.gives_up.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = api.send(&request);
        let met = match &answer {
            Ok(answer) if answer.is_success() => Met::Success,
            Ok(answer) => Met::Status(answer.status),
            Err(_) => Met::Broken,
        };
        shared.met(client, true, began, met);
        match answer {
            Ok(answer) if answer.is_success() => {
                acknowledged(shared, &answer, sent, first, key);
                return;
            }
            // Its first try may still be under way (409), its node may be full, stopping, gone, or cut off.
            Ok(answer) if matches!(answer.status, 408 | 409 | 429 | 500 | 502 | 503 | 504) => {
                if answer.status == 500 {
                    shared.note(format!("{key}: status 500: {}", answer.text()));
                }
                thread::sleep(wait_of(&answer));
            }
            Ok(answer) => {
                shared.note(format!("{key}: status {}: {}", answer.status, answer.text()));
                return;
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn acknowledged(shared: &Shared, answer: &Response, sent: String, begun: Instant, key: &str) {
    match captures(answer) {
        Ok(captures) if captures.len() == 1 && captures[0].sha256 == sent => {
            let filename = captures[0].filename.clone();
            lock(&shared.acks).push(Ack { filename, sha256: sent, begun, answered: Instant::now() });
        }
        Ok(captures) => shared.note(format!("{key}: sent {sent}, acknowledged {captures:?}")),
        Err(error) => shared.note(format!("{key}: {error:#}")),
    }
}

/// How long the server asks to wait.
fn wait_of(answer: &Response) -> Duration {
    answer.header("retry-after").and_then(|value| value.parse().ok()).map_or(PAUSE, Duration::from_secs)
}

/// Fetches photos that were acknowledged, at random, most of them young: another node may have taken them a moment ago.
fn reader(shared: &Shared, client: usize, mut random: Random) {
    let mut api = shared.api();
    while !shared.stops() {
        thread::sleep(Duration::from_millis(random.between(20, 60)));
        let ack = {
            let acks = lock(&shared.acks);
            let Some(last) = acks.len().checked_sub(1) else { continue };
            let reach = if random.one_in(2) { last.min(5) } else { last };
            let back = random.between(0, reach as u64 + 1);
            acks[last - usize::try_from(back).unwrap_or(0)].clone()
        };
        let began = Instant::now();
        let answer = api.file(&ack.filename);
        let met = match &answer {
            Ok(answer) if answer.status == 200 => Met::Success,
            Ok(answer) => Met::Status(answer.status),
            Err(_) => Met::Broken,
        };
        shared.met(client, false, began, met);
        match answer {
            Ok(answer) if answer.status == 200 => {
                let found = sha256(&answer.body);
                if found != ack.sha256 {
                    shared.note(format!("{}: acknowledged {}, read {found}", ack.filename, ack.sha256));
                }
            }
            Ok(answer) if matches!(answer.status, 429 | 502 | 503 | 504) => thread::sleep(PAUSE),
            // Whatever is away, nobody may say that an acknowledged photo is not there, or not theirs.
            Ok(answer) => shared.note(format!("{}: read: status {}: {}", ack.filename, answer.status, answer.text())),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// What clients met in a stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub uploads: u64,
    pub reads: u64,
    /// Everything but successes, by what it was; uploads and reads together.
    pub failures: BTreeMap<Met, u64>,
    /// The longest that one uploader went without a success.
    pub longest_gap: Duration,
    /// From the end of the fault to the last failure that began after it.
    pub recovery: Duration,
}

impl Figures {
    /// Of the stretch from `from` to `to`, in which the fault was over at `healed`; `events` may reach further.
    pub fn of(events: &[Event], uploaders: usize, from: Instant, healed: Instant, to: Instant) -> Self {
        let mut figures = Self::default();
        for event in events.iter().filter(|event| event.ended >= from && event.ended <= to) {
            match (event.met, event.is_upload) {
                (Met::Success, true) => figures.uploads += 1,
                (Met::Success, false) => figures.reads += 1,
                (met, _) => {
                    *figures.failures.entry(met).or_default() += 1;
                    figures.recovery = figures.recovery.max(event.ended.saturating_duration_since(healed));
                }
            }
        }
        figures.longest_gap =
            (0..uploaders).map(|client| longest_gap(events, client, from, to)).max().unwrap_or_default();
        figures
    }

    pub fn failed(&self, which: impl Fn(Met) -> bool) -> u64 {
        self.failures.iter().filter(|(met, _)| which(**met)).map(|(_, count)| count).sum()
    }
}

/// The longest time between two successes of one uploader that has a part in the stretch.
fn longest_gap(events: &[Event], client: usize, from: Instant, to: Instant) -> Duration {
    let mut last = None;
    let mut longest = Duration::ZERO;
    let is_theirs = |event: &&Event| event.client == client && event.is_upload && event.met == Met::Success;
    for event in events.iter().filter(is_theirs) {
        if let Some(last) = last
            && event.ended >= from
            && last <= to
        {
            longest = longest.max(event.ended.saturating_duration_since(last));
        }
        last = Some(event.ended);
    }
    // Whoever has none since counts to the end of the stretch.
    longest.max(to.saturating_duration_since(last.unwrap_or(from).max(from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_reach_over_the_edges_of_a_stretch() {
        let began = Instant::now();
        let at = |second: u64| began + Duration::from_secs(second);
        let event = |client, second, met| Event { client, is_upload: true, began: at(second), ended: at(second), met };
        let events = [
            event(0, 1, Met::Success),
            event(1, 1, Met::Success),
            event(0, 4, Met::Status(503)),
            event(0, 9, Met::Success),
            event(1, 5, Met::Success),
            event(1, 11, Met::Success),
            event(0, 12, Met::Success),
        ];
        let figures = Figures::of(&events, 2, at(3), at(3), at(10));
        assert_eq!(figures.longest_gap, Duration::from_secs(8));
        assert_eq!((figures.uploads, figures.failed(|met| met == Met::Status(503))), (2, 1));
        assert_eq!(figures.recovery, Duration::from_secs(1));
        let figures = Figures::of(&events, 2, at(13), at(13), at(20));
        assert_eq!(figures.longest_gap, Duration::from_secs(7));
    }
}
