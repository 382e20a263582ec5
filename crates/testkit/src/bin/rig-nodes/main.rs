//! Several nodes over shared engines, struck one after the other under load: what is acknowledged must stay, once, and
//! everything must come back by itself.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

mod balancer;
mod control;
mod faults;
mod house;
mod report;
mod verdict;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testkit::random::Random;
use testkit::rig::clients::{Clients, Figures, Met, Style};
use testkit::rig::{About, Args, Checks, Need, Opt, Rig, garage, netns, nginx, postgres, redis};

use faults::Fault;
use house::{House, Shape};
use report::Row;

const ABOUT: About = About {
    name: "rig-nodes",
    text: "nodes, each in a network namespace of its own, behind nginx, over PostgreSQL, Redis and Garage. Clients upload \
           photos one after the other under an Idempotency-Key, do as Retry-After says, and send the same again until it \
           is acknowledged; readers fetch what was acknowledged. Meanwhile one node is killed, cut off from each engine \
           (in silence, and with a refusal), and each engine is killed or restarted. In the end every acknowledged photo \
           must be there once, by its row and by its bytes in the store; every task must have succeeded, and once; fsck \
           --deep must be clean; no client may have gone without a success for too long, and failures must have ended \
           by themselves. With --rolling the nodes are replaced one by one by --next-bin instead. With --control the rig \
           damages the end itself, one thing after the other, and must notice each.",
    options: &[
        Opt::value("nodes", "N", "3", "how many"),
        Opt::value("records", "postgres|sqlite", "postgres", "where the rows are (sqlite: one node)"),
        Opt::value("blobs", "s3|folder", "s3", "where the photos are (folder: one node)"),
        Opt::value("jobs", "redis|embedded", "redis", "what carries the tasks"),
        Opt::value("faults", "A,B,...", "", "only these; --faults list names them"),
        Opt::value("hold", "SECONDS", "6", "how long a cut lasts, or an engine is away"),
        Opt::value("uploaders", "N", "8", "how many clients upload"),
        Opt::value("readers", "N", "2", "how many clients read"),
        Opt::value("interval", "MS", "250", "between two photos of one client"),
        Opt::value("gap", "SECONDS", "15", "longest that a client may go without a success beyond the fault itself"),
        Opt::value("settle", "SECONDS", "60", "longest until failures end after the fault is over"),
        Opt::value("next-bin", "FILE", "", "what --rolling replaces the server by; else by itself"),
        Opt::value("keep-logs", "FOLDER", "", "where the logs of nodes are to stay"),
        Opt::flag("rolling", "replaces the nodes one by one instead"),
        Opt::flag("control", "damages the end itself, and holds only if each damage was found"),
    ],
    needs,
};

fn needs(args: &Args) -> Vec<Need> {
    let mut needs = netns::NEEDS.to_vec();
    needs.push(nginx::NEED);
    let of_engines =
        [("records", "postgres", postgres::NEED), ("blobs", "s3", garage::NEED), ("jobs", "redis", redis::NEED)];
    needs.extend(of_engines.into_iter().filter(|(name, which, _)| args.text(name) == *which).map(|(_, _, need)| need));
    needs
}

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

fn run(rig: &Rig) -> Result<bool> {
    let shape = Shape::of(rig)?;
    let hold = Duration::from_secs(rig.args.number("hold")?);
    let faults = Fault::plan(rig.args.text("faults"), &shape, rig.args.has("rolling"))?;
    let style = Style {
        uploaders: rig.args.number("uploaders")?,
        readers: rig.args.number("readers")?,
        interval: Duration::from_millis(rig.args.number("interval")?),
        seed: rig.seed,
        name: "rig".to_owned(),
    };
    let limits = Limits {
        gap: Duration::from_secs(rig.args.number("gap")?),
        settle: Duration::from_secs(rig.args.number("settle")?),
    };
    let mut house = House::open(rig, &shape)?;
    let mut checks = Checks::default();
    let mut random = Random::new(rig.seed);

    let began = Instant::now();
    let uploaders = style.uploaders;
    let mut clients = Clients::begin(house.address(), house.person(), style)?;
    let mut rows = vec![Row::new("nothing", calm(&clients, uploaders, hold))];
    for fault in faults {
        let row = strike(fault, &mut house, &clients, uploaders, hold, &limits, &mut random, &mut checks)
            .with_context(|| format!("{fault}; {}", house.logs()))?;
        rows.push(row);
    }
    rows.push(Row::new("nothing, again", calm(&clients, uploaders, hold)));
    if let Err(error) = clients.finish(limits.settle) {
        checks.check(false, || format!("{error:#}"));
    }
    let elapsed = began.elapsed();
    for wrong in clients.wrong() {
        checks.check(false, || format!("no correct server answers so: {wrong}"));
    }
    for name in ["nothing", "nothing, again"] {
        for row in rows.iter().filter(|row| row.name == name) {
            let failures = row.figures.failed(|_| true);
            checks.check(failures == 0, || format!("{failures} failures while nothing was done to anybody"));
        }
    }
    report::print(&rows);

    let acks = clients.acks();
    println!(
        "{} photos were acknowledged in {:.0} s ({:.1}/s)",
        acks.len(),
        elapsed.as_secs_f64(),
        f64::from(u32::try_from(acks.len())?) / elapsed.as_secs_f64()
    );
    let verdict = verdict::judge(&mut house, &acks, &mut checks);
    if let Err(error) = &verdict {
        println!("{error:#}\n{}", house.logs());
    }
    house.keep_logs(rig.args.text("keep-logs"))?;
    verdict?;
    println!("{checks}");
    if rig.args.has("control") {
        return Ok(checks.held() && control::every_damage_is_found(&house, &acks)?);
    }
    Ok(checks.held())
}

struct Limits {
    gap: Duration,
    settle: Duration,
}

/// What clients meet while nothing is done to anybody.
fn calm(clients: &Clients, uploaders: usize, length: Duration) -> Figures {
    let from = Instant::now();
    thread::sleep(length);
    let to = Instant::now();
    Figures::of(&clients.events_since(from), uploaders, from, to, to)
}

/// One fault, from its beginning until everybody is well again.
#[allow(clippy::too_many_arguments, reason = "called once; a struct of these would be read in two places")]
fn strike(
    fault: Fault,
    house: &mut House,
    clients: &Clients,
    uploaders: usize,
    hold: Duration,
    limits: &Limits,
    random: &mut Random,
    checks: &mut Checks,
) -> Result<Row> {
    /// So long nobody may have met a failure for all to count as well.
    const CALM: Duration = Duration::from_secs(2);
    /// What a gap reaches back to.
    const BEFORE: Duration = Duration::from_secs(30);
    println!("  {fault} …");
    let from = Instant::now();
    fault.strike(house, hold, random)?;
    let healed = Instant::now();
    while !(clients.are_well(healed, CALM) && house.all_are_ready()) {
        if healed.elapsed() > limits.settle {
            checks.check(false, || format!("{fault}: not everybody is well {:?} after it was over", limits.settle));
            println!("{}", house.logs());
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let to = Instant::now();
    let events = clients.events_since(from.checked_sub(BEFORE).unwrap_or(from));
    let figures = Figures::of(&events, uploaders, from, healed, to);
    let bound = limits.gap + if fault.stops_everybody() { healed - from } else { Duration::ZERO };
    checks.check(figures.longest_gap <= bound, || {
        format!("{fault}: a client went {:?} without a success; {bound:?} are allowed", figures.longest_gap)
    });
    // Each client waits before it comes again, so failures are bounded by the time that they last.
    let most = 2 * (uploaders as u64 + 2) * ((to - from).as_secs() + 1);
    let errors = figures.failed(|met| matches!(met, Met::Status(500..)));
    checks.check(errors <= most, || format!("{fault}: {errors} answers of 5xx; {most} are allowed"));
    Ok(Row { name: fault.to_string(), lasted: healed - from, figures })
}
