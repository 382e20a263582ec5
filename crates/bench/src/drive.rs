//! The run itself: a look, the quick route alone, the slow uploads opened, the load, the drain.
//!
//! Arrivals are told by a thread of its own that sleeps on the kernel's clock: a runtime's timers are a millisecond
//! coarse, which is more than many an answer takes.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::body::{Sending, Trickle};
use crate::client::{Answer, Connection, Failure, Target};
use crate::load::{Dialect, Load, Outgoing, User, Verdict};
use crate::photo::Photo;
use crate::quick::{self, Asker};
use crate::report::Report;
use crate::schedule::{Due, schedule};
use crate::tally::{Outcome, QuickTally, Tally};
use crate::this_process::{Processor, descriptors};

/// Between two looks at how far it is.
const TICK: Duration = Duration::from_millis(100);
/// Slow uploads opened in a second: a thousand at once would measure the accept queue.
const OPENED_PER_SECOND: u32 = 1000;
/// How much longer than that the opening may take.
const OPENING_GRACE: Duration = Duration::from_secs(30);
/// Descriptors that a process has anyway.
const DESCRIPTORS_BESIDE: u64 = 64;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The quick route is asked alone.
    Alone,
    /// The slow uploads are opened.
    Opening,
    /// The load runs, uncounted.
    WarmUp,
    /// The load runs and counts.
    Measuring,
    /// The last answers are waited for.
    Draining,
    /// The slow uploads send their rest.
    Finishing,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named as in the report")]
pub struct Moment {
    pub phase: Phase,
    pub done: Duration,
    pub total: Duration,
    pub taken: u64,
    pub refused: u64,
    pub failed: u64,
    pub in_flight: usize,
    pub slow_held: usize,
}

/// What the slow uploads came to.
#[derive(Default)]
pub(crate) struct SlowTally {
    pub(crate) stored: u64,
    pub(crate) queued: u64,
    pub(crate) refusals: std::collections::BTreeMap<String, (u64, String)>,
    pub(crate) failures: std::collections::BTreeMap<Failure, u64>,
}

/// All that the tasks of a run share.
pub(crate) struct Run {
    pub(crate) load: Load,
    target: Target,
    dialect: Arc<dyn Dialect>,
    users: Vec<User>,
    photo: Photo,
    /// Kept connections: of each user, and last those of the quick route.
    pools: Vec<Mutex<Vec<Connection>>>,
    serial: AtomicU64,
    tally: Mutex<Tally>,
    quick: Mutex<QuickTally>,
    slow: Mutex<SlowTally>,
    slow_held: AtomicUsize,
    /// Stored and queued before the measuring.
    before: [AtomicU64; 2],
    pub(crate) held_back: AtomicU64,
    in_flight: AtomicUsize,
    pub(crate) stop: Arc<AtomicBool>,
}

/// What the run found, beyond its tallies.
pub(crate) struct Found<'a> {
    pub(crate) load: &'a Load,
    pub(crate) target: &'a Target,
    pub(crate) photo: &'a Photo,
    pub(crate) route: String,
    pub(crate) cameras: usize,
    pub(crate) sessions: usize,
    pub(crate) began_at: jiff::Timestamp,
    pub(crate) measured: Duration,
    pub(crate) is_interrupted: bool,
    pub(crate) tally: Tally,
    pub(crate) alone: Option<QuickTally>,
    pub(crate) beside: Option<QuickTally>,
    pub(crate) slow: SlowTally,
    pub(crate) slow_opening: Duration,
    pub(crate) slow_held: [usize; 2],
    pub(crate) slow_let_go: u64,
    pub(crate) before: [u64; 2],
    pub(crate) held_back: u64,
    pub(crate) processor: Processor,
    pub(crate) threads: usize,
    pub(crate) connections: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Figures are plain numbers: whoever panicked left them whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a load of `cameras` uploaders, who are the `users` in turn, and reports. `stop` ends it early; `watch` hears how
/// far it is several times a second.
#[allow(clippy::too_many_arguments, reason = "each is a thing of its own, and there is one caller")]
pub async fn run(
    load: &Load,
    target: &Target,
    dialect: Arc<dyn Dialect>,
    users: Vec<User>,
    cameras: usize,
    photo: Photo,
    stop: Arc<AtomicBool>,
    watch: impl Fn(&Moment),
) -> Result<Report> {
    ensure!(!users.is_empty() && users.len() >= cameras, "a run needs somebody who uploads");
    let wanted = (cameras + load.slow.uploads) as u64 + u64::from(quick::IN_FLIGHT_MAX) + DESCRIPTORS_BESIDE;
    let may = descriptors();
    ensure!(
        may >= wanted,
        "{wanted} connections are needed, and this process may have {may} descriptors: raise the limit (ulimit -Hn)"
    );
    let began_at = jiff::Timestamp::now();
    let run = Arc::new(Run {
        load: load.clone(),
        target: target.clone(),
        dialect,
        pools: (0..=users.len()).map(|_| Mutex::default()).collect(),
        users,
        photo,
        serial: AtomicU64::new(load.seed.wrapping_mul(0x1_0000_0000)),
        tally: Mutex::new(Tally::new(load.duration)),
        quick: Mutex::new(QuickTally::new()),
        slow: Mutex::default(),
        slow_held: AtomicUsize::new(0),
        before: Default::default(),
        held_back: AtomicU64::new(0),
        in_flight: AtomicUsize::new(0),
        stop,
    });
    if cameras + load.slow.uploads > 0 {
        look(&run).await?;
    }

    let has_quick = !load.quick_interval.is_zero();
    let asker = Asker::new()?;
    let mut alone = None;
    if has_quick && !load.alone.is_zero() {
        let asking = asker.ask(&run, Instant::now(), Duration::ZERO, run.load.alone);
        wait(&run, Phase::Alone, Instant::now(), load.alone, &watch).await;
        asking.await?;
        alone = Some(std::mem::replace(&mut *locked(&run.quick), QuickTally::new()));
    }

    let trickle = Arc::new(Trickle {
        bytes_per_second: load.slow.bytes_per_second,
        is_over: AtomicBool::new(false),
        begun: AtomicUsize::new(0),
    });
    let opening = Instant::now();
    let mut slow = open_slow(&run, &trickle, &watch).await;
    let slow_opening = opening.elapsed();

    // The threads need a moment to begin, and who is due first must not be late.
    let begin = Instant::now() + load.warm_up + TICK;
    let permits = u32::try_from(load.in_flight_max).unwrap_or(u32::MAX).max(1);
    let in_flight = Arc::new(Semaphore::new(permits as usize));
    let uploading = begin_uploads(&run, cameras, begin, &in_flight);
    let asking = has_quick.then(|| asker.ask(&run, begin, run.load.warm_up, run.load.duration));
    wait(&run, Phase::WarmUp, begin.checked_sub(load.warm_up).unwrap_or(begin), load.warm_up, &watch).await;
    let processor = Processor::now();
    let held_at_begin = run.slow_held.load(Ordering::Relaxed);
    wait(&run, Phase::Measuring, begin, load.duration, &watch).await;
    let processor = Processor::now().since(processor);
    let held_at_end = run.slow_held.load(Ordering::Relaxed);
    let measured = begin.elapsed().min(load.duration);

    let drain = async {
        uploading.finish(&in_flight, permits).await;
        if let Some(asking) = asking {
            asking.await?;
        }
        anyhow::Ok(())
    };
    beside(&run, Phase::Draining, load.give_up_after, &watch, drain).await?;
    let slow_let_go = close_slow(&run, &mut slow, &trickle, &watch).await;

    let found = Found {
        load,
        target,
        photo: &run.photo,
        route: run.dialect.quick(&run.users[0]).path,
        cameras,
        sessions: run.users.iter().map(|user| &user.session).collect::<std::collections::BTreeSet<_>>().len(),
        began_at,
        measured,
        is_interrupted: run.stop.load(Ordering::Relaxed),
        tally: locked(&run.tally).clone(),
        alone,
        beside: has_quick.then(|| locked(&run.quick).clone()),
        slow: std::mem::take(&mut *locked(&run.slow)),
        slow_opening,
        slow_held: [held_at_begin, held_at_end],
        slow_let_go,
        before: [0, 1].map(|at: usize| run.before[at].load(Ordering::Relaxed)),
        held_back: run.held_back.load(Ordering::Relaxed),
        processor,
        threads: Handle::current().metrics().num_workers(),
        connections: target.opened(),
    };
    Ok(Report::of(&found))
}

/// One upload before all others: what the server does not take is told in its own words.
async fn look(run: &Arc<Run>) -> Result<()> {
    let outgoing = run.dialect.upload(&run.users[0], &run.photo, run.next_serial());
    let answer = run.target.ask(outgoing, run.load.give_up_after).await?;
    match run.dialect.judge(answer.status, &answer.body) {
        Verdict::Taken { skipped: 0, stored, queued } => {
            run.count_before(stored, queued);
            Ok(())
        }
        Verdict::Taken { .. } => {
            bail!("the session's camera settings do not want this trigger; name one that they want with --trigger")
        }
        Verdict::Refused { code, words } => bail!("the first upload was refused: {code}: {}", words.trim_end()),
    }
}

impl Run {
    fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    fn count_before(&self, stored: u64, queued: u64) {
        self.before[0].fetch_add(stored, Ordering::Relaxed);
        self.before[1].fetch_add(queued, Ordering::Relaxed);
    }

    /// One request over a kept connection of this pool, or over a new one.
    async fn exchange(&self, pool: usize, outgoing: Outgoing) -> Result<Answer, Failure> {
        let kept = || locked(&self.pools[pool]).pop();
        let mut connection = loop {
            match kept() {
                Some(connection) if connection.is_open() => break connection,
                Some(_) => {}
                None => break self.target.connect().await.map_err(|_| Failure::Connect)?,
            }
        };
        let answer = connection.send(&self.target, outgoing, Sending::at_once).await?;
        if connection.is_open() {
            locked(&self.pools[pool]).push(connection);
        }
        Ok(answer)
    }

    async fn within<T>(&self, what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::time::timeout(self.load.give_up_after, what).await.unwrap_or(Err(Failure::TimedOut))
    }

    /// One upload, due so long after `begin`; what was due before it warms up and is not counted.
    async fn upload(&self, begin: Instant, due_at: Instant, user: usize) -> bool {
        let sent = Instant::now();
        let due_after = due_at.checked_duration_since(begin);
        if let Some(after) = due_after {
            locked(&self.tally).due(after);
        }
        let outgoing = self.dialect.upload(&self.users[user], &self.photo, self.next_serial());
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let answer = self.within(self.exchange(user, outgoing)).await;
        let now = Instant::now();
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let verdict = answer.map(|answer| self.dialect.judge(answer.status, &answer.body));
        let is_taken = matches!(verdict, Ok(Verdict::Taken { .. }));
        match (due_after, verdict) {
            (Some(after), verdict) => locked(&self.tally).push(
                after,
                Outcome {
                    verdict,
                    latency: now.saturating_duration_since(due_at),
                    from_sending: now - sent,
                    lag: sent.saturating_duration_since(due_at),
                    answered_at: now.saturating_duration_since(begin),
                },
            ),
            (None, Ok(Verdict::Taken { stored, queued, .. })) => self.count_before(stored, queued),
            // Not measured, and nothing was stored: the same trouble shows in what is measured.
            (None, _) => {}
        }
        is_taken
    }

    /// The quick route once; what was due before `begin` warms up and is not counted.
    pub(crate) async fn ask_quickly(&self, begin: Instant, due_at: Instant) {
        let outgoing = self.dialect.quick(&self.users[0]);
        let answer = self.within(self.exchange(self.users.len(), outgoing)).await;
        let latency = due_at.elapsed();
        if due_at >= begin {
            locked(&self.quick).push(answer.map(|answer| answer.status.is_success()), latency);
        }
    }

    fn moment(&self, phase: Phase, done: Duration, total: Duration) -> Moment {
        let tally = locked(&self.tally);
        Moment {
            phase,
            done,
            total,
            taken: tally.taken,
            refused: tally.refused(),
            failed: tally.failed(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            slow_held: self.slow_held.load(Ordering::Relaxed),
        }
    }
}

/// What makes the uploads: a thread that watches the clock, or a task for each user.
enum Uploading {
    Open(tokio::task::JoinHandle<()>),
    Closed(JoinSet<()>),
}

impl Uploading {
    /// Waits until the last upload is answered or given up.
    async fn finish(self, in_flight: &Arc<Semaphore>, permits: u32) {
        match self {
            Self::Open(thread) => {
                // A thread that panicked has printed why, and what it began is waited for all the same.
                let _ended = thread.await.is_ok();
                // All places are free again once the last upload has ended; the semaphore is never closed.
                let _all = in_flight.acquire_many(permits).await.is_ok();
            }
            Self::Closed(mut users) => while users.join_next().await.is_some() {},
        }
    }
}

fn begin_uploads(run: &Arc<Run>, cameras: usize, begin: Instant, in_flight: &Arc<Semaphore>) -> Uploading {
    let first = begin.checked_sub(run.load.warm_up).unwrap_or(begin);
    let end = begin + run.load.duration;
    if run.load.interval.is_zero() {
        let mut users = JoinSet::new();
        for user in 0..cameras {
            let run = run.clone();
            users.spawn(async move {
                tokio::time::sleep_until(first.into()).await;
                while Instant::now() < end && !run.stop.load(Ordering::Relaxed) {
                    if !run.upload(begin, Instant::now(), user).await {
                        // A server that refuses at once would be asked as fast as this machine can.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        return Uploading::Closed(users);
    }
    let (run, in_flight, handle) = (run.clone(), in_flight.clone(), Handle::current());
    Uploading::Open(tokio::task::spawn_blocking(move || {
        let all = run.load.warm_up + run.load.duration;
        let dues = schedule(run.load.arrivals, cameras, run.load.interval, all, run.load.seed);
        by_clock(first, dues, &run.stop, |due| {
            let Some(permit) = place(&handle, &in_flight, &run.held_back) else { return };
            let run = run.clone();
            handle.spawn(async move {
                run.upload(begin, first + due.at, due.user).await;
                drop(permit);
            });
        });
    }))
}

/// A place among those under way; where there is none, the clock's thread waits, and what is due gets late.
pub(crate) fn place(handle: &Handle, places: &Arc<Semaphore>, held_back: &AtomicU64) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = places.clone().try_acquire_owned() {
        return Some(permit);
    }
    held_back.fetch_add(1, Ordering::Relaxed);
    handle.block_on(places.clone().acquire_owned()).ok()
}

/// Calls `act` at each moment that is due, or as soon after it as can be.
pub(crate) fn by_clock(first: Instant, dues: impl Iterator<Item = Due>, stop: &AtomicBool, mut act: impl FnMut(Due)) {
    for due in dues {
        let at = first + due.at;
        loop {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(TICK));
        }
        act(due);
    }
}

/// Opens the slow uploads, and returns once they flow or were refused.
async fn open_slow(run: &Arc<Run>, trickle: &Arc<Trickle>, watch: &impl Fn(&Moment)) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let wanted = run.load.slow.uploads;
    if wanted == 0 {
        return tasks;
    }
    let began = Instant::now();
    let gap = Duration::from_secs(1) / OPENED_PER_SECOND;
    let total = gap * u32::try_from(wanted).unwrap_or(u32::MAX) + OPENING_GRACE;
    for number in 0..wanted {
        if run.stop.load(Ordering::Relaxed) {
            return tasks;
        }
        tasks.spawn(slow_upload(run.clone(), trickle.clone(), number % run.users.len()));
        // A timer is a millisecond coarse: so many at once, then the rest of that time.
        if number % 10 == 9 {
            let due = began + gap * u32::try_from(number).unwrap_or(u32::MAX);
            tokio::time::sleep_until(due.into()).await;
        }
        if number % 100 == 99 {
            watch(&run.moment(Phase::Opening, began.elapsed(), total));
        }
    }
    let is_open = || {
        let slow = locked(&run.slow);
        let ended: u64 = slow.refusals.values().map(|(count, _)| count).chain(slow.failures.values()).sum();
        trickle.begun.load(Ordering::Relaxed) as u64 + ended >= wanted as u64
    };
    while !is_open() && began.elapsed() < total && !run.stop.load(Ordering::Relaxed) {
        watch(&run.moment(Phase::Opening, began.elapsed(), total));
        tokio::time::sleep(TICK).await;
    }
    tasks
}

/// One slow uploader: begins again once stored; a refusal or a failure is counted and is its end.
async fn slow_upload(run: Arc<Run>, trickle: Arc<Trickle>, user: usize) {
    loop {
        let outgoing = run.dialect.upload(&run.users[user], &run.photo, run.next_serial());
        let answer = async {
            let mut connection = run.target.connect().await.map_err(|_| Failure::Connect)?;
            run.slow_held.fetch_add(1, Ordering::Relaxed);
            let slowly = |pieces| Sending::slowly(pieces, trickle.clone());
            let answer = connection.send(&run.target, outgoing, slowly).await;
            run.slow_held.fetch_sub(1, Ordering::Relaxed);
            answer
        };
        let verdict = answer.await.map(|answer| run.dialect.judge(answer.status, &answer.body));
        let mut slow = locked(&run.slow);
        match verdict {
            Ok(Verdict::Taken { stored, queued, .. }) => {
                slow.stored += stored;
                slow.queued += queued;
                if trickle.is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
            Ok(Verdict::Refused { code, words }) => {
                slow.refusals.entry(code).or_insert((0, words)).0 += 1;
                return;
            }
            Err(failure) => {
                *slow.failures.entry(failure).or_default() += 1;
                return;
            }
        }
    }
}

/// Lets the slow uploads send their rest, or lets them go; how many were let go.
async fn close_slow(run: &Arc<Run>, tasks: &mut JoinSet<()>, trickle: &Trickle, watch: &impl Fn(&Moment)) -> u64 {
    trickle.is_over.store(true, Ordering::Relaxed);
    if run.load.slow.is_finished && !run.stop.load(Ordering::Relaxed) {
        let limit = run.load.give_up_after + OPENING_GRACE;
        let all = async { while tasks.join_next().await.is_some() {} };
        beside(run, Phase::Finishing, limit, watch, async { tokio::time::timeout(limit, all).await.is_ok() }).await;
    }
    let mut let_go = 0;
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        let_go += u64::from(ended.is_err());
    }
    let_go
}

/// Waits for a phase's end by the clock.
async fn wait(run: &Arc<Run>, phase: Phase, from: Instant, total: Duration, watch: &impl Fn(&Moment)) {
    while from.elapsed() < total || Instant::now() < from {
        if run.stop.load(Ordering::Relaxed) {
            return;
        }
        watch(&run.moment(phase, from.elapsed(), total));
        let left = (from + total).saturating_duration_since(Instant::now());
        tokio::time::sleep(left.min(TICK)).await;
    }
}

/// Waits for `work` and tells how far it is meanwhile.
async fn beside<T>(
    run: &Arc<Run>,
    phase: Phase,
    total: Duration,
    watch: &impl Fn(&Moment),
    work: impl Future<Output = T>,
) -> T {
    let began = Instant::now();
    tokio::pin!(work);
    loop {
        match tokio::time::timeout(TICK, &mut work).await {
            Ok(done) => return done,
            Err(_) => watch(&run.moment(phase, began.elapsed().min(total), total)),
        }
    }
}
