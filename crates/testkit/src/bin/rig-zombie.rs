//! Stops a worker in the middle of its tasks until others have done them, wakes it, and looks whether it changes
//! anything that is no longer its own.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use testkit::api::captures;
use testkit::random::Random;
use testkit::rig::catalog::{Catalog, Held, is_locked, tamper};
use testkit::rig::judge::judge;
use testkit::rig::{About, Args, Checks, Faults, Opt, Rig, cleanup, store};
use testkit::{Server, Worker, photo, process};

const ABOUT: About = About {
    name: "rig-zombie",
    text: "a server and a worker process large photos with leases of one second. One of the two, in turns, is stopped \
           (SIGSTOP, with its decoders) in the middle of its tasks; the other takes them over and finishes them; then \
           the first goes on (SIGCONT). From then on nothing may change: no count, no row, no byte of a derivative. It \
           is stopped now at any moment, now when its derivatives have their names and are not recorded yet. The woken \
           one must say that it lost its tasks, and what it still made of them must go. With --control the rig \
           itself changes what the woken one might have, and must notice.",
    options: &[
        Opt::value("rounds", "N", "8", "how often one is stopped"),
        Opt::value("photos", "N", "5", "photos of 12 megapixels uploaded for each round"),
        Opt::flag("control", "changes things itself, and holds only if each was noticed"),
    ],
    needs: |_: &Args| Vec::new(),
};

/// How long a round may wait for anything.
const LIMIT: Duration = Duration::from_secs(90);
/// How long nothing may change after the zombie woke.
const WATCH: Duration = Duration::from_secs(2);
/// How long the zombie may take to find out, and to tidy up.
const GRACE: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

fn run(rig: &Rig) -> Result<bool> {
    let rounds: u64 = rig.args.number("rounds")?;
    let home = cleanup::Folder::new()?;
    let server = rig
        .server()
        .data(&home.path().join("data"))
        .env("FILMGATE__JOBS__LEASE_MS", "1000")
        .env("FILMGATE__JOBS__POLL_MS", "100")
        .env("FILMGATE__JOBS__RETRY_DELAY_MIN_MS", "50")
        .env("FILMGATE__LOG__LEVEL", "info,filmgate::exit=warn")
        .start()?;
    let worker = server.start_worker()?;
    let mut yard = Yard {
        catalog: Catalog::open(server.data())?,
        bases: (0..2).map(|seed| photo::jpeg(4_000, 3_000, seed)).collect(),
        seed: rig.seed << 32,
        uploaded: 0,
        random: Random::new(rig.seed),
        faults: Faults::default(),
        checks: Checks::default(),
        vandal: rig.args.has("control"),
        photos: rig.args.number("photos")?,
        server,
        worker,
    };
    let mut swept = 0;
    for round in 0..rounds {
        let zombie = if round % 2 == 0 { Zombie::Worker } else { Zombie::Server };
        swept += yard.round(zombie, if round % 4 < 2 { Moment::Published } else { Moment::Any })?;
    }
    println!("{}; {swept} files left to the sweep", yard.faults);
    if yard.vandal {
        let noticed = yard.checks.failed.len() as u64 >= rounds;
        let outcome = if noticed { "every change was noticed" } else { "changes were NOT noticed: the rig is broken" };
        println!("control: {outcome} ({} of {rounds} rounds)", yard.checks.failed.len());
        return Ok(noticed);
    }
    yard.close()?;
    println!("{}", yard.checks);
    Ok(yard.checks.held())
}

/// Who is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zombie {
    Server,
    Worker,
}

impl Zombie {
    /// What its name as a worker begins with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Server => "serve/",
            Self::Worker => "worker/",
        }
    }
}

/// When it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Most likely while a decoder works.
    Any,
    /// Between a derivative's name and the commit that records it.
    Published,
}

struct Yard {
    server: Server,
    worker: Worker,
    catalog: Catalog,
    bases: Vec<Vec<u8>>,
    seed: u64,
    uploaded: u64,
    photos: u64,
    random: Random,
    faults: Faults,
    checks: Checks,
    vandal: bool,
}

/// Everything that processing has left: rows, and files by their SHA-256.
#[derive(Debug, PartialEq, Eq)]
struct Scene {
    effects: Vec<String>,
    derivatives: Vec<testkit::rig::catalog::Derivative>,
    lost: Vec<String>,
}

impl Yard {
    /// One is stopped, overtaken and woken; how many of its files it left to the sweep.
    fn round(&mut self, zombie: Zombie, moment: Moment) -> Result<usize> {
        let (pid, held) = self.stop_at_work(zombie, moment)?;
        self.faults.count(match (zombie, moment) {
            (Zombie::Server, Moment::Any) => "SIGSTOP of the server past its leases",
            (Zombie::Worker, Moment::Any) => "SIGSTOP of the worker past its leases",
            (Zombie::Server, Moment::Published) => "SIGSTOP of the server past its leases, derivatives published",
            (Zombie::Worker, Moment::Published) => "SIGSTOP of the worker past its leases, derivatives published",
        });
        let began = Instant::now();
        let ids: Vec<&str> = held.iter().map(|held| held.task_id.as_str()).collect();
        self.wait_for("the others to finish its tasks", |catalog| {
            Ok(catalog.succeeded()?
                == catalog.number("SELECT count(*) FROM tasks WHERE kind = 'process'")?.cast_unsigned())
        })?;
        let overtaken = began.elapsed();
        let before = self.scene()?;
        let stray_before = self.files_of(&held)?.len();
        let log_before = self.log_of(zombie).len();

        process::signal_tree(pid, Signal::CONT);
        if self.vandal {
            self.play_the_zombie(&held[0])?;
        }
        let mut is_told = false;
        let woken = Instant::now();
        while woken.elapsed() < WATCH || (!is_told && woken.elapsed() < GRACE) {
            let now = self.scene()?;
            if now != before {
                self.checks.check(false, || {
                    format!("{zombie:?} changed what it no longer owned: {}", difference(&before, &now))
                });
                break;
            }
            is_told = is_told || says_lost(&self.log_of(zombie)[log_before..]);
            thread::sleep(Duration::from_millis(50));
        }
        let said = self.log_of(zombie).split_off(log_before);
        self.checks.check(self.vandal || is_told, || {
            format!("{zombie:?} does not say that it lost its tasks {ids:?}; it says: {said}")
        });
        let mut stray = self.files_of(&held)?;
        while !stray.is_empty() && woken.elapsed() < GRACE {
            thread::sleep(Duration::from_millis(50));
            stray = self.files_of(&held)?;
        }
        println!(
            "  {zombie:?}, {moment:?}: {} tasks held when stopped, done by the other after {:.1} s; of its files {stray_before} were \
             there when it woke, {} after",
            held.len(),
            overtaken.as_secs_f64(),
            stray.len()
        );
        self.checks.passed += 1;
        Ok(stray.len())
    }

    /// Uploads photos and stops the zombie while it is in the middle of some; its process, and what it held.
    fn stop_at_work(&mut self, zombie: Zombie, moment: Moment) -> Result<(u32, Vec<Held>)> {
        let pid = match zombie {
            Zombie::Server => self.server.pid(),
            Zombie::Worker => self.worker.pid(),
        };
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            if self.is_idle()? {
                self.upload()?;
            }
            self.await_moment(zombie, moment)?;
            process::signal_tree(pid, Signal::STOP);
            // A moment for calls under way; then what it holds is what it holds.
            thread::sleep(Duration::from_millis(20));
            if is_locked(self.server.data())? {
                // Everybody's writes wait for one that was stopped in the middle of its own: no lease can help there.
                self.faults.count("stop in the middle of a write of the catalog, let go again");
            } else {
                let held = self.catalog.held_by(zombie.prefix())?;
                if !held.is_empty() && (moment == Moment::Any || !self.files_of(&held)?.is_empty()) {
                    return Ok((pid, held));
                }
            }
            process::signal_tree(pid, Signal::CONT);
        }
        bail!("{zombie:?} was never caught at work ({moment:?}) within {LIMIT:?}")
    }

    /// Until the moment to stop it has come, or there is nothing left to do.
    fn await_moment(&mut self, zombie: Zombie, moment: Moment) -> Result<()> {
        loop {
            let held = self.catalog.held_by(zombie.prefix())?;
            let has_come = match moment {
                Moment::Any => !held.is_empty(),
                Moment::Published => !self.files_of(&held)?.is_empty(),
            };
            if has_come || (held.is_empty() && self.is_idle()?) {
                break;
            }
            thread::sleep(Duration::from_micros(300));
        }
        if moment == Moment::Any {
            thread::sleep(Duration::from_millis(self.random.between(0, 900)));
        }
        Ok(())
    }

    fn upload(&mut self) -> Result<()> {
        let mut client = self.server.participant();
        for _ in 0..self.photos {
            self.uploaded += 1;
            let base = &self.bases[usize::try_from(self.uploaded)? % self.bases.len()];
            captures(&client.upload_photo(&photo::commented(base, self.seed | self.uploaded))?)?;
        }
        Ok(())
    }

    fn is_idle(&self) -> Result<bool> {
        Ok(self.catalog.succeeded()? == self.uploaded)
    }

    fn wait_for(&self, what: &str, mut holds: impl FnMut(&Catalog) -> Result<bool>) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while !holds(&self.catalog)? {
            ensure!(
                Instant::now() < end,
                "waited {LIMIT:?} in vain for {what}: {:?}; the server's log ends:\n{}\nthe worker's log:\n{}",
                self.catalog.states()?,
                self.server.log_tail(20),
                self.worker.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn scene(&self) -> Result<Scene> {
        let derivatives = self.catalog.derivatives()?;
        let lost = testkit::rig::judge::lost_derivatives(self.server.data(), &derivatives);
        Ok(Scene { effects: self.catalog.effects()?, derivatives, lost })
    }

    fn log_of(&self, zombie: Zombie) -> String {
        match zombie {
            Zombie::Server => self.server.log(),
            Zombie::Worker => self.worker.log(),
        }
    }

    /// Derivatives that were made under fences which are over.
    fn files_of(&self, held: &[Held]) -> Result<Vec<PathBuf>> {
        let files: BTreeMap<String, PathBuf> = store::derivatives(self.server.data())?;
        let is_theirs = |key: &str| {
            held.iter().any(|held| {
                let name = Path::new(key).file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&format!("{}.{}.", held.capture_id, held.fence))
            })
        };
        Ok(files.into_iter().filter(|(key, _)| is_theirs(key)).map(|(_, path)| path).collect())
    }

    /// What a zombie would do that nobody fenced off: in turns a second effect, or other bytes under the same key.
    fn play_the_zombie(&mut self, held: &Held) -> Result<()> {
        if self.random.one_in(2) {
            let sql = format!(
                "UPDATE captures SET processed_count = processed_count + 1 WHERE lower(hex(id)) = '{}'",
                held.capture_id
            );
            ensure!(tamper(self.server.data(), &sql)? == 1, "nothing was changed");
            self.faults.count("second effect made by the rig");
        } else {
            let derivatives = self.catalog.derivatives()?;
            let derivative = derivatives.iter().find(|derivative| derivative.capture_id == held.capture_id);
            let key = &derivative.context("no derivative to overwrite")?.blob_key;
            fs::write(store::derivatives_folder(self.server.data()).join(key), b"mine")?;
            self.faults.count("derivative overwritten by the rig");
        }
        Ok(())
    }

    /// All end and start as an administrator would have it; then everything is there once.
    fn close(&mut self) -> Result<()> {
        let ended = self.worker.terminate(LIMIT)?;
        self.checks.check(ended.success(), || format!("the worker ended with {ended}"));
        self.server.terminate(LIMIT)?;
        self.server = self.server.start_again()?;
        self.server.terminate(LIMIT)?;
        let figures = judge(self.server.data(), self.uploaded, &mut self.checks)?;
        println!("{} photos, {} runs of their tasks", self.uploaded, figures.attempts);
        let fsck = self.server.fsck(true)?;
        self.checks.check(fsck.is_clean(), || format!("fsck --deep: {}: {}", fsck.status, fsck.output));
        Ok(())
    }
}

fn says_lost(log: &str) -> bool {
    log.lines().any(|line| line.contains("its task is another's"))
}

/// The first things in which two scenes differ.
fn difference(before: &Scene, now: &Scene) -> String {
    let effects = before.effects.iter().zip(&now.effects).find(|(one, other)| one != other);
    let derivatives = now.derivatives.iter().find(|derivative| !before.derivatives.contains(derivative));
    format!("effects {effects:?}, derivatives {derivatives:?}, lost {:?}", now.lost.first())
}
