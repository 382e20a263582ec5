//! A server at a multiple of its capacity: frames of events come through, frames of the timer are thinned and recover.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::rig::load::{Ack, verify};
use testkit::rig::stats::Samples;
use testkit::rig::{About, Args, Checks, Opt, Rig};
use testkit::{Api, Request, Server, Shot, api, photo};

const ABOUT: About = About {
    name: "rig-pressure",
    text: "a server that decodes each photo before it answers, by one decoder. Its capacity is measured; then so many \
           times as many pages as it has place for take a frame each second and one of an event every five, as the \
           camera client does: by the hints of the answers, by Retry-After, events first. Then most of them leave. \
           Fails where a frame of an event was refused or lost, where frames of the timer were not thinned, where what \
           was acknowledged is not there, and where the hints do not go away; never on a time. With --control the \
           server asks for nothing, and the rig must notice.",
    options: &[
        Opt::value("times", "N", "3", "the load, in capacities"),
        Opt::value("seconds", "N", "15", "how long it lasts"),
        Opt::flag("control", "hints are off, and the run holds only if that was noticed"),
    ],
    needs: |_: &Args| Vec::new(),
};

/// How often a page takes a frame of the timer, and of an event.
const TIMER: Duration = Duration::from_secs(1);
const EVENT: Duration = Duration::from_secs(5);
/// What an average answer may take before fewer frames are asked for.
const ANSWER_MAX_MS: u64 = 500;
const THINNED: &str = "no frame of the timer was thinned";
const REFUSED: &str = "frames of events were refused";

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

/// What all pages know together.
#[derive(Default)]
struct Shared {
    taking: AtomicBool,
    timer_taken: AtomicU64,
    thinned: AtomicU64,
    timer_refused: AtomicU64,
    events_taken: AtomicU64,
    events_refused: AtomicU64,
    broken: AtomicU64,
    /// The longest interval that was asked for, and the one of the last answer.
    interval_max_ms: AtomicU64,
    interval_now_ms: AtomicU64,
    quality_min_percent: AtomicU64,
    acks: Mutex<Vec<(Ack, bool)>>,
    event_times: Mutex<Samples>,
}

/// A frame that waits in a page.
struct Frame {
    photo: Vec<u8>,
    of_event: bool,
    taken: Instant,
}

/// One page: a queue, and the camera client's manners.
struct Page {
    client: Api,
    shared: Arc<Shared>,
    base: Arc<Vec<u8>>,
    seed: u64,
    queue: VecDeque<Frame>,
    interval: Duration,
    last_taken: Option<Instant>,
    timer_waits_until: Instant,
}

impl Page {
    /// Takes its first frame of the timer after `timer`, and of an event after `event`.
    fn run(mut self, timer: Duration, event: Duration, deadline: Duration) {
        let mut event_due = Instant::now() + event;
        thread::sleep(timer);
        let mut timer_due = Instant::now();
        loop {
            let taking = self.shared.taking.load(Ordering::Relaxed);
            let now = Instant::now();
            if taking && now >= timer_due {
                // As the client: half a turn of grace, and what was missed is not made up for.
                if self.last_taken.is_some_and(|last| now.duration_since(last) + TIMER / 2 < self.interval) {
                    self.shared.thinned.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.last_taken = Some(now);
                    self.take(false);
                }
                while timer_due <= now {
                    timer_due += TIMER;
                }
            }
            if taking && now >= event_due {
                self.take(true);
                event_due += EVENT;
            }
            if !taking && (self.queue.is_empty() || now.elapsed() > deadline) {
                return;
            }
            if !self.send_one() {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn take(&mut self, of_event: bool) {
        self.seed += 1;
        let counter = if of_event { &self.shared.events_taken } else { &self.shared.timer_taken };
        counter.fetch_add(1, Ordering::Relaxed);
        self.queue.push_back(Frame { photo: photo::commented(&self.base, self.seed), of_event, taken: Instant::now() });
    }

    /// Sends what comes next, events first; whether there was anything to send.
    fn send_one(&mut self) -> bool {
        let may_timer = Instant::now() >= self.timer_waits_until;
        let event = self.queue.iter().position(|frame| frame.of_event);
        let Some(at) = event.or((may_timer && !self.queue.is_empty()).then_some(0)) else { return false };
        let Some(frame) = self.queue.remove(at) else { return false };
        let trigger = if frame.of_event { "BUTTON_CLICK" } else { "INTERVAL" };
        let shots = [Shot { photo: frame.photo.clone(), trigger: trigger.to_owned() }];
        let request = api::upload_request(&self.client.cookie, &self.client.session_id, &shots)
            .header("Filmgate-Trigger", trigger)
            .header("Idempotency-Key", &format!("page-{}", api::sha256(&frame.photo)));
        let Ok(response) = self.client.send(&request) else {
            self.shared.broken.fetch_add(1, Ordering::Relaxed);
            self.queue.push_front(frame);
            return true;
        };
        let hint = |name: &str| response.header(name).and_then(|value| value.parse::<f64>().ok());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let interval_ms = hint("filmgate-interval-ms").map_or(0, |ms| ms as u64);
        self.interval = TIMER.max(Duration::from_millis(interval_ms));
        self.shared.interval_max_ms.fetch_max(interval_ms, Ordering::Relaxed);
        self.shared.interval_now_ms.store(interval_ms, Ordering::Relaxed);
        if let Some(quality) = hint("filmgate-quality") {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1")]
            self.shared.quality_min_percent.fetch_min((quality * 100.0) as u64, Ordering::Relaxed);
        }
        if let Ok(captures) = api::captures(&response) {
            let ack = Ack::new(&captures[0].filename, api::sha256(&frame.photo));
            lock(&self.shared.acks).push((ack, frame.of_event));
            if frame.of_event {
                lock(&self.shared.event_times).push(frame.taken.elapsed());
            }
            return true;
        }
        let wait = response.header("retry-after").and_then(|value| value.parse().ok()).unwrap_or(1);
        if frame.of_event {
            self.shared.events_refused.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_secs(wait));
        } else {
            self.shared.timer_refused.fetch_add(1, Ordering::Relaxed);
            self.timer_waits_until = Instant::now() + Duration::from_secs(wait);
        }
        self.queue.push_front(frame);
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(rig: &Rig) -> Result<bool> {
    let control = rig.args.has("control");
    let times: u64 = rig.args.number("times")?;
    let seconds: u64 = rig.args.number("seconds")?;
    let base = Arc::new(photo::jpeg(1280, 720, rig.seed));
    let capacity = measure(rig, &base)?;
    println!(
        "capacity: {capacity} uploads a second, of 1280 x 720 and {} bytes, decoded before the answer",
        base.len()
    );

    // Two seconds of work find a place.
    let places = (capacity * 2).max(10);
    let server = limited(rig, places, !control).start()?;
    let client = with_all_triggers(&server)?;
    let mut checks = Checks::default();
    let shared = Arc::new(Shared::default());
    shared.quality_min_percent.store(100, Ordering::Relaxed);
    shared.taking.store(true, Ordering::Relaxed);
    let pages = capacity * times;
    let stay = (capacity / 4).max(1);
    let began = Instant::now();
    let (mut leaving, mut staying) = (Vec::new(), Vec::new());
    // Those that stay stop last; they learn so by a flag of their own.
    let still = Arc::new(Shared::default());
    still.quality_min_percent.store(100, Ordering::Relaxed);
    still.taking.store(true, Ordering::Relaxed);
    for number in 0..pages {
        let of = if number < stay { &still } else { &shared };
        let page = Page {
            client: client.clone(),
            shared: of.clone(),
            base: base.clone(),
            seed: (rig.seed << 40) + (number << 20),
            queue: VecDeque::new(),
            interval: TIMER,
            last_taken: None,
            timer_waits_until: began,
        };
        // All over the interval each: people click when they like. In the same second the events alone would be a
        // multiple of the capacity, and no order among frames could find places for them.
        let nth = u32::try_from(number)?;
        let (timer, event) = (TIMER * nth / u32::try_from(pages)?, EVENT * nth / u32::try_from(pages)?);
        let thread = thread::Builder::new().stack_size(512 * 1024);
        let handle = thread.spawn(move || page.run(timer, event, Duration::from_secs(60)))?;
        if number < stay { staying.push(handle) } else { leaving.push(handle) }
    }
    let mut shown = 0.0_f64;
    for _ in 0..seconds {
        thread::sleep(Duration::from_secs(1));
        shown = shown.max(gauge(&server, "filmgate_hint_interval_seconds")?);
    }
    shared.taking.store(false, Ordering::Relaxed);
    for page in leaving {
        page.join().ok().context("a page panicked")?;
    }
    let drained = began.elapsed();
    // A quarter of the capacity is left: the wish goes away.
    let calm = Instant::now();
    let recovered = loop {
        thread::sleep(Duration::from_millis(200));
        if still.interval_now_ms.load(Ordering::Relaxed) == 0 {
            break Some(calm.elapsed());
        }
        if calm.elapsed() > Duration::from_secs(120) {
            break None;
        }
    };
    thread::sleep(Duration::from_secs(2));
    still.taking.store(false, Ordering::Relaxed);
    for page in staying {
        page.join().ok().context("a page panicked")?;
    }

    let sum = |of: fn(&Shared) -> &AtomicU64| of(&shared).load(Ordering::Relaxed) + of(&still).load(Ordering::Relaxed);
    let events_taken = sum(|all| &all.events_taken);
    let (timer_taken, thinned) = (sum(|all| &all.timer_taken), sum(|all| &all.thinned));
    let (events_refused, timer_refused) = (sum(|all| &all.events_refused), sum(|all| &all.timer_refused));
    let mut acks = std::mem::take(&mut *lock(&shared.acks));
    acks.append(&mut lock(&still.acks));
    let events_stored = acks.iter().filter(|(_, of_event)| *of_event).count() as u64;
    let acks: Vec<Ack> = acks.into_iter().map(|(ack, _)| ack).collect();
    let times_of = std::mem::take(&mut *lock(&shared.event_times));
    let interval_max = shared.interval_max_ms.load(Ordering::Relaxed);
    let quality_min = shared.quality_min_percent.load(Ordering::Relaxed);

    checks.check(sum(|all| &all.broken) == 0, || "connections broke".to_owned());
    checks.check(events_refused == 0, || format!("{REFUSED}: {events_refused}"));
    checks.check(events_stored == events_taken, || format!("{events_taken} frames of events, {events_stored} stored"));
    checks.check(thinned > 0 && interval_max > 1_000, || THINNED.to_owned());
    checks.check(control || shown > 1.0, || "the metric did not show it".to_owned());
    checks.check(recovered.is_some(), || "the hints did not go away".to_owned());
    let lost = verify(&client, &acks);
    checks.check(lost.is_empty(), || format!("{} acknowledged photos lost, such as {:?}", lost.len(), lost[0]));
    println!(
        "{pages} pages for {seconds} s: {events_taken} frames of events taken, {events_stored} stored, {events_refused} \
         refused on the way (p95 {:.0} ms from taken to answered); of the timer {timer_taken} taken, {thinned} thinned, \
         {timer_refused} refused and sent again",
        times_of.percentile_ms(95)
    );
    println!(
        "asked for: {interval_max} ms apart and quality {quality_min} % at the most; all queues empty after {:.1} s, no \
         wish {:.1} s later",
        drained.as_secs_f64(),
        recovered.unwrap_or_default().as_secs_f64()
    );
    println!(
        "{}\n{checks}",
        json!({"capacity": capacity, "pages": pages, "thinned": thinned, "interval_max_ms": interval_max, "event_p95_ms": times_of.percentile_ms(95).round()})
    );
    if control {
        let noticed = [REFUSED, THINNED].iter().all(|what| checks.failed.iter().any(|text| text.contains(what)));
        println!(
            "control: {}",
            if noticed { "a server without hints was noticed" } else { "NOT noticed: the rig is broken" }
        );
        return Ok(noticed);
    }
    Ok(checks.held())
}

/// Uploads a second, by as many clients as keep the decoder busy.
fn measure(rig: &Rig, base: &Arc<Vec<u8>>) -> Result<u64> {
    const CLIENTS: u64 = 6;
    const SECONDS: u64 = 3;
    let server = limited(rig, 1_000, true).start()?;
    let client = with_all_triggers(&server)?;
    let done = Arc::new(AtomicU64::new(0));
    // The first second warms up.
    let (from, to) = (Instant::now() + Duration::from_secs(1), Instant::now() + Duration::from_secs(1 + SECONDS));
    let threads: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (mut client, base, done) = (client.clone(), base.clone(), done.clone());
            thread::spawn(move || {
                let mut seed = number << 32;
                while Instant::now() < to {
                    seed += 1;
                    let answer = client.upload_photo(&photo::commented(&base, seed));
                    if answer.is_ok_and(|answer| answer.is_success()) && Instant::now() > from {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().ok().context("a client panicked")?;
    }
    let capacity = done.load(Ordering::Relaxed) / SECONDS;
    ensure!(capacity > 0, "nothing was stored");
    Ok(capacity)
}

/// A server whose capacity is one decoder's.
fn limited(rig: &Rig, places: u64, hints: bool) -> testkit::ServerBuilder {
    let places = places.to_string();
    [
        ("INGEST__VERIFY", "decode"),
        ("PROCESSING__WORKERS", "1"),
        ("INGEST__UPLOADS_IN_FLIGHT_MAX", &places),
        ("INGEST__UPLOADS_IN_FLIGHT_PER_USER_MAX", &places),
        ("HINTS__ENABLED", if hints { "true" } else { "false" }),
        ("HINTS__ANSWER_MAX_MS", &ANSWER_MAX_MS.to_string()),
    ]
    .iter()
    .fold(rig.server(), |server, (name, value)| server.env(&format!("FILMGATE__{name}"), value))
}

/// A session of settings that are switched off takes frames of every trigger.
fn with_all_triggers(server: &Server) -> Result<Api> {
    let demo = server.demo();
    let user_id: i64 = demo.participant.user_id.parse().context("the participant's id")?;
    let make = |target: &str, body: &Value| -> Result<Value> {
        let answer = Request::post(target).cookie(&demo.admin.cookie).json(body).send(server.address())?;
        ensure!(answer.status == 201, "{target} answered {}: {}", answer.status, answer.text());
        Ok(answer.json())
    };
    let settings =
        json!({"setting_name": "off", "recording_mode": "EVENT_DRIVEN", "resolution": "1280x720", "is_active": false});
    let settings = make("/api/v1/camera-settings", &settings)?;
    let session = make("/api/v1/sessions", &json!({"user_id": user_id, "camera_settings_id": settings["id"]}))?;
    let session_id = session["id"].as_str().context("a session without an id")?;
    Ok(Api::new(server.address(), &demo.participant.cookie, session_id))
}

fn gauge(server: &Server, name: &str) -> Result<f64> {
    let answer = Request::get("/metrics").send(server.address())?;
    let text = answer.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no {name} in the metrics"))?.trim().parse().context("a gauge that is no number")
}
