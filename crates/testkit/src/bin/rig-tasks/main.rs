//! Kills whoever works on uploads' tasks, and looks whether every task comes to its end, and its effect once.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

mod control;
mod house;
mod strikes;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use testkit::photo;
use testkit::random::Random;
use testkit::rig::judge::judge;
use testkit::rig::queue::{Queue, Queued};
use testkit::rig::{About, Args, Checks, Need, Opt, Rig, cleanup, redis};

use house::House;

const ABOUT: About = About {
    name: "rig-tasks",
    text: "uploads photos in queued mode from several clients and, while they are processed, kills with signal 9 at \
           random moments: the server (alone or with its children), a worker beside it, decoders; with Redis as the \
           transport, Redis too, and lets it lose everything. All are started again, and clients that were cut off \
           send again under their Idempotency-Key. In the end every task must have succeeded and every effect have \
           happened once: one count for each capture, four derivatives with their files and no file besides, no lease, \
           nothing left to remove, fsck clean, and every thumbnail a picture of its photo. With --control the rig \
           damages copies of the end itself, one thing in each, and must notice every one.",
    options: &[
        Opt::value("engine", "embedded|redis", "embedded", "what carries the tasks"),
        Opt::value("captures", "N", "1000", "how many photos"),
        Opt::value("uploaders", "N", "8", "how many clients upload at once"),
        Opt::value("kills", "N", "5", "how often the server or the worker is killed"),
        Opt::value("decoder-kills", "N", "10", "how often a decoder is killed"),
        Opt::value("flushes", "N", "5", "how often Redis loses everything; it is also killed once"),
        Opt::value("wait", "SECONDS", "300", "how long all of it may take"),
        Opt::flag("worker", "runs a worker beside the server"),
        Opt::flag("control", "damages the end itself, and holds only if each damage was found"),
    ],
    needs,
};

fn needs(args: &Args) -> Vec<Need> {
    if args.text("engine") == "redis" { vec![redis::NEED] } else { Vec::new() }
}

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

fn run(rig: &Rig) -> Result<bool> {
    let captures: u64 = rig.args.number("captures")?;
    let deadline = Instant::now() + Duration::from_secs(rig.args.number("wait")?);
    let home = cleanup::Folder::new()?;
    let mut house = House::open(rig, &home.path().join("data"))?;
    let mut checks = Checks::default();
    let mut random = Random::new(rig.seed);

    let began = Instant::now();
    let seed = rig.seed << 32;
    let queue = Queue::begin(captures, rig.args.number("uploaders")?, rig.seed, move |number| {
        photo::jpeg(640, 480, seed | number)
    });
    queue.go_to(&house.server);
    for (share, strike) in strikes::plan(rig, &house, &mut random)? {
        wait_for_share(&house, &queue, captures, share, deadline)?;
        house.strike(strike, &queue, &mut random)?;
    }
    let (again, queued) = (queue.again(), queue.finish()?);
    let uploaded = began.elapsed();
    wait_until_done(&house, captures, deadline)?;
    let done = began.elapsed();
    println!(
        "{captures} photos were uploaded after {:.1} s ({again} sent again), and processed after {:.1} s",
        uploaded.as_secs_f64(),
        done.as_secs_f64()
    );

    look_online(&house, &queued, &mut checks)?;
    house.close(&mut checks)?;
    let figures = judge(house.data(), captures, &mut checks)?;
    let fsck = house.server.fsck(true)?;
    checks.check(fsck.is_clean(), || format!("fsck --deep: {}: {}", fsck.status, fsck.output));
    println!(
        "{} tasks were run more than once; {} runs in all, of one task at most {}",
        figures.tasks_run_again, figures.attempts, figures.attempts_most
    );
    println!("{}\n{checks}", house.faults);
    if rig.args.has("control") {
        return Ok(checks.held() && control::every_damage_is_found(&house, captures)?);
    }
    Ok(checks.held())
}

/// Until this share of all uploads and all tasks is done.
#[allow(clippy::cast_precision_loss, reason = "a share needs no 52 bits")]
fn wait_for_share(house: &House, queue: &Queue, captures: u64, share: f64, deadline: Instant) -> Result<()> {
    loop {
        let done = (queue.queued() + house.catalog.succeeded()?) as f64 / (2 * captures) as f64;
        if done >= share {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{done:.3} of the work is done and no more: {:?}; {}", house.catalog.states()?, house.logs());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn wait_until_done(house: &House, captures: u64, deadline: Instant) -> Result<()> {
    while house.catalog.succeeded()? < captures {
        let states = house.catalog.states()?;
        if states.contains_key("FAILURE") {
            bail!("dead letters: {states:?}; {}", house.logs());
        }
        if Instant::now() > deadline {
            bail!("not all tasks came to their end: {states:?}; {}", house.logs());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What the server itself says of every task, photo and thumbnail.
fn look_online(house: &House, queued: &[Queued], checks: &mut Checks) -> Result<()> {
    const READERS: usize = 4;
    for state in ["PENDING", "STARTED", "RETRY", "FAILURE", "REVOKED"] {
        let answer = house.server.participant().get(&format!("/api/v1/tasks?kind=process&state={state}"))?;
        let none = answer.status == 200 && answer.json()["items"].as_array().is_some_and(Vec::is_empty);
        checks.check(none, || format!("tasks in state {state}: {}: {}", answer.status, answer.text()));
    }
    let filenames = house.catalog.filenames_by_task()?;
    let share = queued.len().div_ceil(READERS).max(1);
    let complaints: Vec<String> = thread::scope(|scope| {
        let readers: Vec<_> = queued
            .chunks(share)
            .map(|chunk| {
                let (mut api, filenames) = (house.server.participant(), &filenames);
                scope.spawn(move || {
                    let look = |queued| house::look_at(&mut api, queued, filenames).err();
                    chunk.iter().filter_map(look).map(|error| format!("{error:#}")).collect::<Vec<_>>()
                })
            })
            .collect();
        readers
            .into_iter()
            .flat_map(|reader| reader.join().unwrap_or_else(|_| vec!["a reader panicked".into()]))
            .collect()
    });
    checks.passed += (queued.len() - complaints.len()) as u64;
    for complaint in complaints {
        checks.check(false, || complaint);
    }
    Ok(())
}
