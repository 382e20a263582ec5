//! Measures what a full queue of tasks, with the workers busy all the time, costs those who upload and look.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use testkit::rig::catalog::Catalog;
use testkit::rig::load::{Ack, verify};
use testkit::rig::queue::task_ids;
use testkit::rig::stats::Samples;
use testkit::rig::{About, Args, Checks, Opt, Rig};
use testkit::{Api, Request, Response, Server, Shot, api, photo, process};

const ABOUT: About = About {
    name: "rig-saturation",
    text: "two servers on two folders: one with nothing to do, one with N captures in line and its decoders busy all \
           the time. In turns (the busy one is stopped while the idle one is measured) a good client asks GET /livez, \
           the list of a session, and uploads a photo in direct mode. Prints how many times longer each takes beside \
           a full queue, and who used the processors. Fails on an error, a refusal, a loss, or decoders without work, \
           never on a time. With --control the busy server gets no decoders, and the rig must notice: a queue that \
           costs nobody anything may be one that nobody works on.",
    options: &[
        Opt::value("captures", "N", "2000", "captures in line"),
        Opt::value("workers", "N", "1", "photos that the busy server decodes at once"),
        Opt::value("large-every", "N", "40", "one of so many has 12 megapixels, the others 640 x 480"),
        Opt::value("rounds", "N", "3", "how often idle and busy take turns"),
        Opt::value("seconds", "N", "5", "how long each turn measures"),
        Opt::value("upload-bytes", "N", "100000", "size of the photo that the good client uploads"),
        Opt::flag("control", "nobody works on the queue, and the run holds only if that was noticed in each round"),
    ],
    needs: |_: &Args| Vec::new(),
};

/// Photos in one request that fills the queue.
const BATCH: u64 = 50;
/// Captures of the session that is listed.
const LISTED: u64 = 100;
/// Looks at /livez and at the list for each upload.
const LOOKS_PER_UPLOAD: usize = 4;
/// What is wrong with a round that measures nothing.
const IDLE: &str = "the decoders were not busy all the time";
/// Between two requests of the good client.
const PAUSE: Duration = Duration::from_millis(3);

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

/// What was measured on one of the servers.
#[derive(Default)]
struct Turn {
    livez: Samples,
    list: Samples,
    upload: Samples,
    server_cpu_ms: u64,
    decoders_cpu_ms: u64,
    seconds: f64,
}

impl Turn {
    #[allow(clippy::cast_precision_loss, reason = "figures for a person")]
    fn percent(&self, cpu_ms: u64) -> f64 {
        if self.seconds > 0.0 { cpu_ms as f64 / 10.0 / self.seconds } else { 0.0 }
    }

    fn routes(&self) -> [(&'static str, &Samples); 3] {
        [("livez", &self.livez), ("list", &self.list), ("upload", &self.upload)]
    }
}

/// The client that is measured: what it saw of errors, and what it must find again.
struct Good {
    checks: Checks,
    next_seed: u64,
    length: usize,
}

impl Good {
    fn measure(&mut self, server: &Server, acks: &mut Vec<Ack>, turn: &mut Turn, seconds: u64) {
        let began = Instant::now();
        let (server_before, decoders_before) = cpu_ms(server);
        let mut client = server.participant();
        let mut looking = server.api(&server.demo().other);
        let list = format!("/assessment/camera/session/{}", looking.session_id);
        while began.elapsed() < Duration::from_secs(seconds) {
            for _ in 0..LOOKS_PER_UPLOAD {
                let start = Instant::now();
                let answer = Request::get("/livez").send(server.address());
                turn.livez.push(start.elapsed());
                self.expect_success("livez", &answer);
                thread::sleep(PAUSE);
                let start = Instant::now();
                let answer = looking.get(&list);
                turn.list.push(start.elapsed());
                self.expect_success("the list", &answer);
                thread::sleep(PAUSE);
            }
            let photo = photo::jpeg_bytes(self.length, self.next_seed);
            self.next_seed += 1;
            let start = Instant::now();
            let answer = client.upload_photo(&photo);
            turn.upload.push(start.elapsed());
            match answer.map_err(anyhow::Error::from).and_then(|response| api::captures(&response)) {
                Ok(captures) => {
                    self.checks.passed += 1;
                    acks.push(Ack::new(&captures[0].filename, api::sha256(&photo)));
                }
                Err(error) => self.checks.check(false, || format!("an upload: {error:#}")),
            }
            thread::sleep(PAUSE);
        }
        let (server_after, decoders_after) = cpu_ms(server);
        turn.server_cpu_ms += server_after.saturating_sub(server_before);
        // A decoder that left in between takes its time with it.
        turn.decoders_cpu_ms += decoders_after.saturating_sub(decoders_before);
        turn.seconds += began.elapsed().as_secs_f64();
    }

    fn expect_success(&mut self, what: &str, answer: &std::io::Result<Response>) {
        self.checks.check(answer.as_ref().is_ok_and(Response::is_success), || format!("{what}: {answer:?}"));
    }
}

/// What the server and its decoders have used.
fn cpu_ms(server: &Server) -> (u64, u64) {
    let decoders = process::decoders(server.pid()).into_iter().filter_map(process::cpu_ms).sum();
    (server.cpu_ms(), decoders)
}

fn run(rig: &Rig) -> Result<bool> {
    let count: u64 = rig.args.number("captures")?;
    let rounds: u64 = rig.args.number("rounds")?;
    let seconds: u64 = rig.args.number("seconds")?;
    let mut good =
        Good { checks: Checks::default(), next_seed: rig.seed << 40, length: rig.args.number("upload-bytes")? };
    let idle = rig.server().start()?;
    fill(&mut idle.api(&idle.demo().other), LISTED, u64::MAX, rig.seed << 16)?;
    let busy = start_busy(rig, count)?;
    let catalog = Catalog::open(busy.data())?;
    let waiting = "SELECT count(*) FROM tasks WHERE kind = 'process' AND is_ready = 1";
    println!("{} captures are in line", catalog.number(waiting)?);

    let (mut alone, mut beside) = (Turn::default(), Turn::default());
    let (mut acks_idle, mut acks_busy) = (Vec::new(), Vec::new());
    let mut done_in_all = 0;
    process::signal_tree(busy.pid(), Signal::STOP);
    // The first requests warm a server up and count for nothing; and what was listed is processed by then.
    good.measure(&idle, &mut acks_idle, &mut Turn::default(), 2);
    for round in 0..rounds {
        good.measure(&idle, &mut acks_idle, &mut alone, seconds);
        process::signal_tree(busy.pid(), Signal::CONT);
        good.measure(&busy, &mut acks_busy, &mut Turn::default(), 1);
        let before = catalog.succeeded()?;
        good.measure(&busy, &mut acks_busy, &mut beside, seconds);
        let (done, left) = (catalog.succeeded()? - before, catalog.number(waiting)?);
        process::signal_tree(busy.pid(), Signal::STOP);
        good.checks
            .check(done > 0 && left > 0, || format!("round {round}: {IDLE}: {done} tasks done, {left} left in line"));
        done_in_all += done;
        println!("  round {} of {rounds}: {done} tasks done meanwhile, {left} in line", round + 1);
    }
    process::signal_tree(busy.pid(), Signal::CONT);
    for (server, acks) in [(&idle, &acks_idle), (&busy, &acks_busy)] {
        let lost = verify(&server.participant(), acks);
        good.checks
            .check(lost.is_empty(), || format!("{} acknowledged photos lost, such as {:?}", lost.len(), lost[0]));
    }
    report(&alone, &beside, done_in_all);
    println!("injected: {count} x capture in line, and {rounds} x SIGSTOP of the busy server\n{}", good.checks);
    if rig.args.has("control") {
        let noticed =
            good.checks.failed.len() as u64 == rounds && good.checks.failed.iter().all(|text| text.contains(IDLE));
        println!("control: {}", if noticed { "idle decoders were noticed" } else { "NOT noticed: the rig is broken" });
        return Ok(noticed);
    }
    Ok(good.checks.held())
}

/// A server with captures in line: put there while nobody works on them.
fn start_busy(rig: &Rig, count: u64) -> Result<Server> {
    let mut filling = rig.server().env("FILMGATE__PROCESSING__WORKERS", "0").start()?;
    let large_every: u64 = rig.args.number("large-every")?;
    fill(&mut filling.api(&filling.demo().other), LISTED, u64::MAX, rig.seed << 16)?;
    fill(&mut filling.participant(), count, large_every, (rig.seed << 16) + LISTED)?;
    filling.terminate(Duration::from_secs(30))?;
    // The setting that comes last counts.
    let workers = if rig.args.has("control") { 0 } else { rig.args.number("workers")? };
    filling.builder().env("FILMGATE__PROCESSING__WORKERS", &workers.to_string()).start()
}

/// Uploads so many photos, each with bytes of its own.
fn fill(client: &mut Api, count: u64, large_every: u64, seed: u64) -> Result<()> {
    let small: Vec<Vec<u8>> = (0..8).map(|at| photo::jpeg(640, 480, at)).collect();
    let large = if large_every < count { photo::jpeg(4_000, 3_000, 1) } else { Vec::new() };
    let mut sent = 0;
    while sent < count {
        let numbers = sent..(sent + BATCH).min(count);
        sent = numbers.end;
        let shots: Vec<Shot> = numbers
            .map(|number| {
                let base = if number % large_every == large_every - 1 {
                    &large
                } else {
                    &small[usize::try_from(number).unwrap_or(0) % small.len()]
                };
                Shot::interval(photo::commented(base, seed + number))
            })
            .collect();
        let request = api::upload_request(&client.cookie, &client.session_id, &shots).header("Prefer", "respond-async");
        let tasks = task_ids(&client.send(&request)?)?;
        ensure!(tasks.len() == shots.len(), "{} photos sent, {} tasks named", shots.len(), tasks.len());
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "figures for a person")]
fn report(alone: &Turn, beside: &Turn, done: u64) {
    let round = |value: f64| (value * 100.0).round() / 100.0;
    println!("{:<24}{:>10}{:>10}{:>10}{:>10}", "", "p50 ms", "p95 ms", "p99 ms", "samples");
    let mut figures = serde_json::Map::new();
    for ((name, idle), (_, busy)) in alone.routes().into_iter().zip(beside.routes()) {
        for (when, samples) in [("idle", idle), ("queue full", busy)] {
            let [p50, p95, p99] = [50, 95, 99].map(|share| samples.percentile_ms(share));
            println!("{:<24}{p50:>10.2}{p95:>10.2}{p99:>10.2}{:>10}", format!("{name}, {when}"), samples.len());
        }
        let ratio = |share| round(busy.percentile_ms(share) / idle.percentile_ms(share).max(0.001));
        println!("{name}: p50 x{:.2}, p95 x{:.2}", ratio(50), ratio(95));
        figures.insert(
            name.to_owned(),
            json!({"p50_ratio": ratio(50), "p95_ratio": ratio(95),
            "idle_p95_ms": round(idle.percentile_ms(95)), "full_p95_ms": round(busy.percentile_ms(95))}),
        );
    }
    let per_second = done as f64 / beside.seconds.max(0.001);
    for (when, turn) in [("idle", alone), ("queue full", beside)] {
        println!(
            "CPU of one processor, {when}: server {:.0} %, decoders {:.0} %",
            turn.percent(turn.server_cpu_ms),
            turn.percent(turn.decoders_cpu_ms)
        );
    }
    println!("{done} tasks done beside the requests, {per_second:.1} a second");
    figures.insert("server_cpu_percent".to_owned(), json!(round(beside.percent(beside.server_cpu_ms))));
    figures.insert("decoders_cpu_percent".to_owned(), json!(round(beside.percent(beside.decoders_cpu_ms))));
    println!("{}", serde_json::Value::Object(figures));
}
