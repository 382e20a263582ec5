//! Start, load, strike, recover, verify, and again: what the power-cut rig and the kill rig have in common.

use std::collections::HashSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::judge::lost_derivatives;
use super::load::{Ack, Load, Lost, verify};
use super::rows::Rows;
use super::stats::Samples;
use super::{Faults, Rig, store};
use crate::random::Random;
use crate::server::{Fsck, Server};

/// With more photos in the book the stage is emptied (after everything was compared once more), because fsck looks at
/// all of them after every strike.
const BOOK_MAX: usize = 4_000;

/// Where the server lives, and how it is struck down there.
pub trait Stage {
    fn data(&self) -> &Path;
    /// Where its rows are.
    fn rows(&self) -> Rows {
        Rows::Folder(self.data().to_owned())
    }
    /// Ends the server, somehow; and when the disk died, where it did.
    fn strike(&mut self, server: &mut Server, random: &mut Random, faults: &mut Faults) -> Result<Option<Death>>;
    /// Makes the folder usable again for the next start.
    fn recover(&mut self) -> Result<()>;
    /// Whether the next round might not find room.
    fn is_full(&self) -> Result<bool>;
    /// Empties it; no server runs on it.
    fn renew(&mut self) -> Result<()>;
}

/// From when to when a disk died under a server that still ran.
///
/// A real power cut stops the program too; here it goes on, and in the instant of the shutdown the kernel itself may
/// call an fsync done whose bytes are lost. Measured without any server, 32 threads appending and fsyncing: of the
/// fsyncs that returned in that instant up to 37 % on ext4 and 22 % on XFS; of the 284,000 before it, none. So of an
/// upload acknowledged
///
/// - before it began, all must be there;
/// - though it was sent when it was over, nothing excuses the acknowledgement: the disk took no byte any more;
/// - in between, the photo may be missing, which is counted by itself and held against nobody.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    pub began: Instant,
    pub over: Instant,
}

impl Death {
    fn excuses(self, ack: &Ack) -> bool {
        ack.answered >= self.began && ack.begun <= self.over
    }

    fn is_false(self, ack: &Ack) -> bool {
        ack.begun > self.over
    }
}

/// How often and how hard.
#[derive(Clone, Debug)]
pub struct Plan {
    pub strikes: u64,
    pub uploaders: usize,
    /// How long a load lasts before the strike, in milliseconds, from and to.
    pub load_ms: (u64, u64),
    /// Whether fsyncs are off, and one loss is enough.
    pub control: bool,
}

/// How long the parts of a round take.
#[derive(Debug, Default)]
pub struct Times {
    pub recovery: Samples,
    pub start: Samples,
    pub fetching: Samples,
    pub fsck: Samples,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub strikes: u64,
    pub acks: u64,
    pub bytes: u64,
    pub refused: u64,
    pub broken: u64,
    pub lost: Vec<Lost>,
    /// Acknowledged after the disk had died.
    pub falsely: Vec<Ack>,
    /// Acknowledged in the instant in which it died, and of those, not there.
    pub instant: u64,
    pub instant_lost: u64,
    /// Files under a published name that no capture names, or captures without a file, as soon as it listens again.
    pub strays: Vec<String>,
    /// Files without a row that wait for the sweep, of a catalog that several nodes may share; at the last look.
    pub kept_strays: usize,
    /// Derivatives that a row names and that are not there as it says; and how many were there, in all looks together.
    pub lost_derivatives: Vec<String>,
    pub derivatives: u64,
    pub fsck_failures: Vec<String>,
    pub failed_starts: Vec<String>,
    pub wrong: Vec<String>,
    pub elapsed: Duration,
    pub times: Times,
    pub verified: u64,
    pub faults: Faults,
}

impl Outcome {
    /// Nothing acknowledged was lost, and nothing else was wrong.
    pub fn held(&self) -> bool {
        self.lost.is_empty()
            && self.falsely.is_empty()
            && self.strays.is_empty()
            && self.lost_derivatives.is_empty()
            && self.fsck_failures.is_empty()
            && self.failed_starts.is_empty()
            && self.wrong.is_empty()
            && self.acks > 0
            && self.derivatives > 0
    }

    #[allow(clippy::cast_precision_loss, reason = "figures for a person")]
    pub fn print(&self, name: &str) {
        let first = |title: &str, lines: &mut dyn Iterator<Item = String>| {
            for line in lines.take(10) {
                println!("  {title}: {line}");
            }
        };
        first("lost", &mut self.lost.iter().map(|lost| format!("{}: {}", lost.ack.filename, lost.why)));
        first("acknowledged on a dead disk", &mut self.falsely.iter().map(|ack| ack.filename.clone()));
        first("stray", &mut self.strays.iter().cloned());
        first("derivative", &mut self.lost_derivatives.iter().cloned());
        first("fsck", &mut self.fsck_failures.iter().cloned());
        first("start", &mut self.failed_starts.iter().cloned());
        first("wrong answer", &mut self.wrong.iter().cloned());
        if self.instant > 0 {
            println!(
                "in the very instant of a cut: {} acks, {} of them lost by the kernel (not counted)",
                self.instant, self.instant_lost
            );
        }
        if self.kept_strays > 0 {
            println!("photos never answered that wait for the hourly sweep: {}", self.kept_strays);
        }
        let seconds = self.elapsed.as_secs_f64();
        println!("{}", self.faults);
        println!(
            "medians: strike and recovery {:.0} ms, start {:.0} (at most {:.0}), fetching {:.0}, fsck {:.0}; {} uploads \
             refused, {} without answer",
            self.times.recovery.percentile_ms(50),
            self.times.start.percentile_ms(50),
            self.times.start.max_ms(),
            self.times.fetching.percentile_ms(50),
            self.times.fsck.percentile_ms(50),
            self.refused,
            self.broken,
        );
        println!(
            "{name}: {} strikes in {seconds:.1} s ({:.1}/s), {} acks ({:.1} MB), {} fetched and compared, {} lost, \
             {} false acks, {} strays, {} derivatives looked at, {} lost, {} fsck failures, {} failed starts, {} wrong answers",
            self.strikes,
            self.strikes as f64 / seconds,
            self.acks,
            self.bytes as f64 / 1e6,
            self.verified,
            self.lost.len(),
            self.falsely.len(),
            self.strays.len(),
            self.derivatives,
            self.lost_derivatives.len(),
            self.fsck_failures.len(),
            self.failed_starts.len(),
            self.wrong.len(),
        );
    }
}

/// What is still to be found, and what was found so far.
struct Round<'a> {
    rig: &'a Rig,
    plan: &'a Plan,
    outcome: Outcome,
    /// Everything acknowledged since the stage was last emptied, and not known to be lost.
    book: Vec<Ack>,
}

impl Round<'_> {
    fn start(&mut self, stage: &dyn Stage) -> Result<Server> {
        let mut builder = self.rig.server().data(stage.data()).envs(&stage.rows().envs());
        if self.plan.control {
            builder = builder.relaxed();
        }
        let server = builder.start()?;
        self.outcome.times.start.push(server.start_time());
        Ok(server)
    }

    /// Fetches these photos, while fsck looks at all of them.
    fn look(&mut self, server: &Server, acks: &[Ack], death: Option<Death>) -> Result<()> {
        let timed = |samples: &mut Samples, began: Instant| samples.push(began.elapsed());
        let began = Instant::now();
        let times = &mut self.outcome.times;
        let (lost, fsck) = thread::scope(|scope| {
            let fsck = scope.spawn(|| {
                let fsck = server.fsck(false);
                timed(&mut times.fsck, began);
                fsck
            });
            let lost = verify(&server.participant(), acks);
            timed(&mut times.fetching, began);
            (lost, fsck.join().unwrap_or_else(|_| Err(anyhow!("running fsck panicked"))))
        });
        self.judge_fsck(fsck)?;
        self.outcome.verified += acks.len() as u64;
        let names: HashSet<&str> = lost.iter().map(|lost| lost.ack.filename.as_str()).collect();
        self.book.retain(|ack| !names.contains(ack.filename.as_str()));
        let excuses = |ack: &Ack| death.is_some_and(|death| death.excuses(ack));
        self.outcome.falsely.extend(acks.iter().filter(|ack| death.is_some_and(|death| death.is_false(ack))).cloned());
        self.outcome.instant += acks.iter().filter(|ack| excuses(ack)).count() as u64;
        let (excused, lost): (Vec<_>, Vec<_>) = lost.into_iter().partition(|lost| excuses(&lost.ack));
        self.outcome.instant_lost += excused.len() as u64;
        self.outcome.lost.extend(lost);
        Ok(())
    }

    /// Whether every photo has its row, and every row of a photo or a derivative its file. fsck beside a running server does not judge files that
    /// are this young, for they may be on their way; here nothing is on its way.
    fn look_for_strays(&mut self, stage: &dyn Stage, server: &Server) -> Result<()> {
        let listed: HashSet<String> = server.participant().listed_filenames()?.into_iter().collect();
        let published = store::published(server.data())?;
        let strike = self.outcome.strikes;
        // Beside a server that makes more of them; the connection is closed before the next strike.
        let rows = stage.rows();
        let derivatives = rows.derivatives()?;
        let lost = lost_derivatives(server.data(), &derivatives);
        self.outcome.lost_derivatives.extend(lost.into_iter().map(|lost| format!("after strike {strike}: {lost}")));
        self.outcome.derivatives += derivatives.len() as u64;
        let without_row = published.keys().filter(|name| !listed.contains(*name));
        let without_file = listed.iter().filter(|name| !published.contains_key(*name));
        if rows.is_shared() {
            // Not for the next start to judge: other nodes might be at it.
            self.outcome.kept_strays = without_row.count();
        } else {
            let complaint = |name| format!("after strike {strike}: {name}: file without row");
            self.outcome.strays.extend(without_row.map(complaint));
        }
        self.outcome.strays.extend(without_file.map(|name| format!("after strike {strike}: {name}: row without file")));
        Ok(())
    }

    /// Everything once more; then the server ends as an administrator ends it, and fsck looks deeply at what it left.
    fn look_at_all(&mut self, server: &mut Server) -> Result<()> {
        let book = self.book.clone();
        self.look(server, &book, None)?;
        if let Err(error) = server.terminate(Duration::from_secs(30)) {
            self.outcome.wrong.push(format!("{error:#}"));
            server.kill();
        }
        let fsck = server.fsck(true);
        self.judge_fsck(fsck)
    }

    fn judge_fsck(&mut self, fsck: Result<Fsck>) -> Result<()> {
        let fsck = fsck?;
        if !fsck.is_clean() {
            let strikes = self.outcome.strikes;
            let output: String = fsck.output.chars().take(600).collect();
            self.outcome.fsck_failures.push(format!("after strike {strikes}: {}: {output}", fsck.status));
        }
        Ok(())
    }

    fn found_enough(&self) -> bool {
        let found = !self.outcome.lost.is_empty() || !self.outcome.failed_starts.is_empty();
        if self.plan.control { found } else { self.outcome.lost.len() > 1000 || self.outcome.fsck_failures.len() > 20 }
    }
}

/// Plays the whole plan on the stage.
pub fn play(rig: &Rig, plan: &Plan, stage: &mut dyn Stage) -> Result<Outcome> {
    let mut random = Random::new(rig.seed);
    let load = Load::new(plan.uploaders, rig.seed).context("starting the uploaders")?;
    let mut round = Round { rig, plan, outcome: Outcome::default(), book: Vec::new() };
    let began = Instant::now();
    let mut told = began;
    let mut server = round.start(stage)?;
    while round.outcome.strikes < plan.strikes && !round.found_enough() {
        if round.book.len() > BOOK_MAX || stage.is_full()? {
            round.look_at_all(&mut server)?;
            stage.renew()?;
            round.book.clear();
            server = round.start(stage)?;
        }
        load.run(&server);
        thread::sleep(Duration::from_millis(random.between(plan.load_ms.0, plan.load_ms.1 + 1)));
        let struck = Instant::now();
        let death = stage.strike(&mut server, &mut random, &mut round.outcome.faults)?;
        round.outcome.strikes += 1;
        let new = load.pause();
        round.outcome.acks += new.len() as u64;
        round.book.extend_from_slice(&new);
        stage.recover()?;
        round.outcome.times.recovery.push(struck.elapsed());
        server = match round.start(stage) {
            Ok(server) => server,
            Err(error) => {
                round.outcome.failed_starts.push(format!("after strike {}: {error:#}", round.outcome.strikes));
                break;
            }
        };
        round.look_for_strays(stage, &server)?;
        round.look(&server, &new, death)?;
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let outcome = &round.outcome;
            println!("  {} strikes, {} acks, {} lost", outcome.strikes, outcome.acks, outcome.lost.len());
        }
    }
    if round.outcome.failed_starts.is_empty() {
        round.look_at_all(&mut server)?;
    }
    let mut outcome = round.outcome;
    outcome.bytes = load.bytes();
    outcome.refused = load.refused();
    outcome.broken = load.broken();
    outcome.wrong.extend(load.wrong());
    outcome.elapsed = began.elapsed();
    Ok(outcome)
}
