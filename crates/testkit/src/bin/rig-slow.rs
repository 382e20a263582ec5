//! Measures what hundreds of uploads held open at a trickle cost everybody else.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::rig::drip::Held;
use testkit::rig::load::{Ack, verify};
use testkit::rig::stats::Samples;
use testkit::rig::{About, Args, Checks, Opt, Rig};
use testkit::{Request, Server, api, photo};

const ABOUT: About = About {
    name: "rig-slow",
    text: "holds N uploads open, each fed a trickle, and measures GET /livez (a new connection each) and a normal \
           upload without and with them, in turns; then the held ones finish fast, and every one must end with 200 \
           and be there. Fails on an error, a refusal or a loss, never on a time.",
    options: &[
        Opt::value("held", "N", "200", "uploads held open"),
        Opt::value("bytes-per-second", "N", "1024", "what each of them is fed"),
        Opt::value("rounds", "N", "3", "how often without and with take turns"),
        Opt::value("seconds", "N", "6", "how long each turn measures"),
        Opt::value("upload-bytes", "N", "100000", "size of a photo, normal or held"),
    ],
    needs: |_: &Args| Vec::new(),
};

/// Looks at /livez for each normal upload.
const LIVEZ_PER_UPLOAD: usize = 8;
/// Between two requests of the good client.
const PAUSE: Duration = Duration::from_millis(3);

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

#[derive(Default)]
struct Turn {
    livez: Samples,
    upload: Samples,
    cpu_ms: u64,
    seconds: f64,
}

impl Turn {
    fn json(&self) -> serde_json::Value {
        json!({
            "livez": {"samples": self.livez.len(), "p50_ms": round(self.livez.percentile_ms(50)),
                "p95_ms": round(self.livez.percentile_ms(95)), "p99_ms": round(self.livez.percentile_ms(99))},
            "upload": {"samples": self.upload.len(), "p50_ms": round(self.upload.percentile_ms(50)),
                "p95_ms": round(self.upload.percentile_ms(95)), "p99_ms": round(self.upload.percentile_ms(99))},
            "server_cpu_percent": round(self.cpu_percent()),
        })
    }

    #[allow(clippy::cast_precision_loss, reason = "figures for a person")]
    fn cpu_percent(&self) -> f64 {
        if self.seconds > 0.0 { self.cpu_ms as f64 / 10.0 / self.seconds } else { 0.0 }
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// What the good client saw of errors, and what it must find again.
struct Good {
    checks: Checks,
    acks: Vec<Ack>,
    next_seed: u64,
    length: usize,
}

impl Good {
    fn measure(&mut self, server: &Server, turn: &mut Turn, seconds: u64) {
        let began = Instant::now();
        let cpu = server.cpu_ms();
        let mut client = server.participant();
        while began.elapsed() < Duration::from_secs(seconds) {
            for _ in 0..LIVEZ_PER_UPLOAD {
                let start = Instant::now();
                let answer = Request::get("/livez").send(server.address());
                turn.livez.push(start.elapsed());
                self.checks
                    .check(answer.as_ref().is_ok_and(testkit::Response::is_success), || format!("livez: {answer:?}"));
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
                    self.acks.push(Ack::new(&captures[0].filename, api::sha256(&photo)));
                }
                Err(error) => self.checks.check(false, || format!("a normal upload: {error:#}")),
            }
            thread::sleep(PAUSE);
        }
        turn.cpu_ms += server.cpu_ms().saturating_sub(cpu);
        turn.seconds += began.elapsed().as_secs_f64();
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for a person")]
fn run(rig: &Rig) -> Result<bool> {
    let count: usize = rig.args.number("held")?;
    let per_second: usize = rig.args.number("bytes-per-second")?;
    let rounds: u64 = rig.args.number("rounds")?;
    let seconds: u64 = rig.args.number("seconds")?;
    let length: usize = rig.args.number("upload-bytes")?;
    let most = per_second.saturating_mul(usize::try_from(seconds)? + 30);
    ensure!(length > most, "a held upload of {length} bytes would be over before its turn; give more than {most}");

    let server = rig.server().start()?;
    let mut good = Good { checks: Checks::default(), acks: Vec::new(), next_seed: rig.seed << 40, length };
    let (mut without, mut with) = (Turn::default(), Turn::default());
    // The first requests warm the server up and count for nothing.
    good.measure(&server, &mut Turn::default(), 1);
    let mut per_held_kb = 0.0_f64;
    let mut stored = 0;
    for round in 0..rounds {
        good.measure(&server, &mut without, seconds);
        let rss = server.rss_kb();
        let held = Held::open(&server, count, length, per_second, (rig.seed << 40) + ((round + 1) << 24))?;
        good.measure(&server, &mut with, seconds);
        per_held_kb = per_held_kb.max((server.rss_kb().saturating_sub(rss)) as f64 / count.max(1) as f64);
        let finished = held.finish();
        stored += finished.stored.len();
        good.checks.check(finished.stored.len() == count, || {
            format!(
                "of {count} held uploads {} were stored; the others: {:?}",
                finished.stored.len(),
                finished.otherwise
            )
        });
        good.acks.extend(finished.stored);
        println!("  round {} of {rounds}: {stored} held uploads stored so far", round + 1);
    }
    let lost = verify(&server.participant(), &good.acks);
    good.checks.check(lost.is_empty(), || format!("{} acknowledged photos lost, such as {:?}", lost.len(), lost[0]));

    let ratio = |with: &Samples, without: &Samples| with.percentile_ms(99) / without.percentile_ms(99).max(0.001);
    let livez_ratio = ratio(&with.livez, &without.livez);
    let upload_ratio = ratio(&with.upload, &without.upload);
    println!("{:<24}{:>12}{:>12}{:>12}{:>12}", "", "p50 ms", "p99 ms", "samples", "cpu %");
    for (name, samples, turn) in [
        ("livez alone", &without.livez, &without),
        ("livez beside held", &with.livez, &with),
        ("upload alone", &without.upload, &without),
        ("upload beside held", &with.upload, &with),
    ] {
        let (p50, p99) = (samples.percentile_ms(50), samples.percentile_ms(99));
        println!("{name:<24}{p50:>12.2}{p99:>12.2}{:>12}{:>12.1}", samples.len(), turn.cpu_percent());
    }
    println!("p99 beside {count} held to alone: livez x{livez_ratio:.2}, upload x{upload_ratio:.2}");
    println!("memory per held upload: {per_held_kb:.1} KB");
    println!("injected: {} x upload held open at {per_second} bytes a second", count as u64 * rounds);
    println!("{}", good.checks);
    println!(
        "{}",
        json!({"held": count, "bytes_per_second": per_second, "alone": without.json(), "beside_held": with.json(),
            "livez_p99_ratio": round(livez_ratio), "upload_p99_ratio": round(upload_ratio),
            "rss_per_held_kb": round(per_held_kb), "held_stored": stored, "lost": lost.len(),
            "failed_checks": good.checks.failed.len()})
    );
    Ok(good.checks.held())
}
