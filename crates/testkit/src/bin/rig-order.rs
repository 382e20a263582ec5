//! Watches the server's system calls, and judges for each acknowledged photo the order that makes the 200 true.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use testkit::rig::order::{CALLS, Trace};
use testkit::rig::trace::parse;
use testkit::rig::{About, Args, Checks, Need, Opt, Rig, cleanup};
use testkit::{Shot, api, photo};

const ABOUT: About = About {
    name: "rig-order",
    text: "runs the server under strace, uploads photos one by one and many at once, and asserts for each: fsync of \
           the staged file, its final name, fsync of its folder, the catalog's log written and fsynced, then the 200; \
           and that the parent of every folder made on the way was fsynced. Then the same with durability relaxed, \
           where the assertion must fail.",
    options: &[
        Opt::value("one-by-one", "N", "6", "uploads one after the other"),
        Opt::value("at-once", "N", "24", "uploads at the same time, each of one to three photos"),
        Opt::value("keep", "FILE", "", "where a copy of the strong run's trace is left"),
    ],
    needs: |_: &Args| vec![Need::Strace],
};

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

fn run(rig: &Rig) -> Result<bool> {
    let mut checks = Checks::default();
    let strong = observe(rig, false)?;
    for upload in &strong.wrong {
        checks.check(upload.is_empty(), || upload.join("; "));
    }
    checks.check(strong.catalog.is_empty(), || strong.catalog.join("; "));
    println!("durable: {} photos judged, {} fsyncs seen", strong.wrong.len(), strong.syncs);

    let weak = observe(rig, true)?;
    let noticed = weak.wrong.iter().filter(|wrong| !wrong.is_empty()).count();
    println!("relaxed: {} photos judged, {} fsyncs seen, {noticed} found wrong", weak.wrong.len(), weak.syncs);
    checks.check(noticed == weak.wrong.len(), || {
        format!("control: with fsyncs off only {noticed} of {} were found wrong: the rig is broken", weak.wrong.len())
    });
    println!("injected: 1 x durability relaxed\n{checks}");
    Ok(checks.held())
}

/// What a trace showed.
struct Observed {
    /// For each photo its complaints.
    wrong: Vec<Vec<String>>,
    catalog: Vec<String>,
    syncs: usize,
}

fn observe(rig: &Rig, relaxed: bool) -> Result<Observed> {
    let home = cleanup::Folder::new()?;
    let log = home.path().join("trace");
    // Two folders that are not there yet: the names of both must be made durable.
    let data = home.path().canonicalize()?.join("new/data");
    // Long strings, so that a page of the catalog's log shows the photo's name in it.
    let words = ["strace", "-f", "-y", "-tt", "-q", "-s", "8192", "-e", &format!("trace={CALLS}"), "-o"];
    let mut builder = rig
        .server()
        .data(&data)
        .wrapper(words.iter().map(Path::new).chain([log.as_path(), Path::new("--")]))
        // Judged is the way of an upload to its answer; decoders under strace would only make it slow.
        .env("FILMGATE__PROCESSING__WORKERS", "0")
        .start_limit(Duration::from_secs(60));
    if relaxed {
        builder = builder.relaxed();
    }
    let mut server = builder.start()?;
    let mut filenames = Vec::new();
    let mut api = server.participant();
    for seed in 0..rig.args.number("one-by-one")? {
        let response = api.upload_photo(&photo::jpeg_bytes(20_000, (rig.seed << 32) | seed))?;
        filenames.extend(api::captures(&response)?.into_iter().map(|capture| capture.filename));
    }
    let many: u64 = rig.args.number("at-once")?;
    let answers: Vec<Result<Vec<api::Capture>>> = thread::scope(|scope| {
        let uploads: Vec<_> = (0..many)
            .map(|index| {
                let mut api = server.participant();
                scope.spawn(move || {
                    let shots: Vec<Shot> = (0..=index % 3)
                        .map(|photo| {
                            Shot::interval(photo::jpeg_bytes(30_000, (rig.seed << 32) | (1000 + index * 3 + photo)))
                        })
                        .collect();
                    api::captures(&api.upload(&shots)?)
                })
            })
            .collect();
        uploads
            .into_iter()
            .map(|upload| upload.join().unwrap_or_else(|_| Err(anyhow!("an uploader panicked"))))
            .collect()
    });
    for answer in answers {
        filenames.extend(
            answer.context("an upload at the same time as others")?.into_iter().map(|capture| capture.filename),
        );
    }
    ensure!(!filenames.is_empty(), "nothing was uploaded");
    server.terminate(Duration::from_secs(30))?;

    let text = fs::read(&log).context("reading the trace")?;
    let keep = rig.args.text("keep");
    if !keep.is_empty() && !relaxed {
        fs::write(keep, &text).with_context(|| format!("writing {keep}"))?;
    }
    let calls = parse(&String::from_utf8_lossy(&text));
    let trace = Trace { calls: &calls, data: &data };
    Ok(Observed {
        wrong: filenames.iter().map(|filename| trace.judge(filename)).collect(),
        catalog: trace.judge_catalog(&filenames[0]),
        syncs: trace.syncs(),
    })
}
