//! Counts what the hot paths cost, in instructions and in calls of the system, and compares with what is committed.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

mod baseline;
mod paths;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use testkit::rig::{About, Args, CannotRun, Checks, Need, Opt, Rig, callgrind, cleanup};

use baseline::{Baseline, Figure, Ground};

const ABOUT: About = About {
    name: "rig-instructions",
    text: "counts the instructions of an upload, of two requests that read and of imaging under valgrind, and the \
           calls of the system of an upload and of its task under strace, and compares each with the committed \
           baseline. Nothing here is timed. Outside its tolerance a figure fails, above and below: a baseline that lies too high guards \
           nothing, and fewer fsyncs are a broken promise. Instructions of another compiler, processor or valgrind are \
           not compared; then only the calls are, and the rig ends with 77.",
    options: &[
        Opt::value("baseline", "FILE", "bench/baseline.json", "the committed figures"),
        Opt::value("thumbnail", "FILE", "", "imaging's example thumbnail [examples/thumbnail beside the server]"),
        Opt::value("keep", "FOLDER", "", "where callgrind's profiles are left, for callgrind_annotate --inclusive=yes"),
        Opt::flag("write-baseline", "writes what was counted as the new baseline, and compares nothing"),
        Opt::flag("control", "uploads with more in them and without syncs, and holds only if each was noticed"),
    ],
    needs: |_: &Args| vec![callgrind::NEED, Need::Strace],
};

/// The line that makes a new baseline.
const RENEW: &str = "target/release/rig-instructions --bin target/release/filmgate --write-baseline";

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

fn run(rig: &Rig) -> Result<bool> {
    let file = PathBuf::from(rig.args.text("baseline"));
    let home = cleanup::Folder::new()?;
    let keep = PathBuf::from(rig.args.text("keep"));
    let folder = if keep.as_os_str().is_empty() { home.path() } else { &keep };
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let ground = Ground::of(&rig.binary)?;
    if rig.args.has("write-baseline") {
        let figures = count(rig, folder)?;
        // The first one of all has none to take tolerances from.
        let old = if file.exists() { Baseline::read(&file)? } else { Baseline::default() };
        fs::write(&file, old.renewed(ground, &figures).text())
            .with_context(|| format!("writing {}", file.display()))?;
        println!("written: {}. Commit it with the change that is meant to cost this.", file.display());
        return Ok(true);
    }
    let baseline = Baseline::read(&file)?;
    let differences = baseline.ground.differences(&ground);
    if rig.args.has("control") {
        return control(rig, folder, &baseline, &differences);
    }
    let is_comparable = differences.is_empty();
    // Calls of the system are our code's doing on any ground.
    let figures = if is_comparable { count(rig, folder)? } else { calls(rig, folder)? };
    let mut checks = Checks::default();
    for figure in &figures {
        judge(&baseline, figure, &mut checks);
    }
    if is_comparable {
        for name in baseline.not_among(&figures) {
            checks.check(false, || format!("{name} stands in the baseline and nobody counts it; renew it: {RENEW}"));
        }
    } else if checks.held() {
        return Err(not_comparable(&differences));
    }
    println!("{checks}");
    Ok(checks.held())
}

fn not_comparable(differences: &[String]) -> anyhow::Error {
    let differences = differences.join("; ");
    CannotRun(format!(
        "!! INSTRUCTIONS WERE NOT COMPARED: the baseline is of another ground: {differences}. On a state that is known to be \
         good, make one of this ground: {RENEW}"
    ))
    .into()
}

fn count(rig: &Rig, folder: &Path) -> Result<Vec<Figure>> {
    let mut figures = paths::server(rig, folder)?;
    figures.extend(paths::imaging(rig, folder)?);
    figures.extend(calls(rig, folder)?);
    Ok(figures)
}

fn calls(rig: &Rig, folder: &Path) -> Result<Vec<Figure>> {
    let mut figures = paths::upload_calls(rig, folder, false)?;
    figures.extend(paths::task_calls(rig, folder)?);
    Ok(figures)
}

fn judge(baseline: &Baseline, figure: &Figure, checks: &mut Checks) {
    let Some(distance) = baseline.distance(figure) else {
        checks.check(false, || format!("{} is not in the baseline; renew it: {RENEW}", figure.name));
        return;
    };
    let words = format!(
        "{} is {}, {:+.2} % from the baseline's {} (tolerance {} %)",
        figure.name, figure.value, distance.percent, distance.baseline, distance.tolerance_percent
    );
    println!("{words}");
    checks.check(distance.is_within(), || {
        let what = if distance.percent > 0.0 {
            "It costs more than it did. Find out why (--keep FOLDER leaves the profiles); if it is meant"
        } else {
            "It costs less: a baseline left above it would let that much be lost again unseen. If it is meant"
        };
        format!("{words}. {what}, write a new baseline and commit it: {RENEW}")
    });
}

/// Uploads of a tenth more bytes, and uploads without syncs: the guard is broken where it sees no difference.
fn control(rig: &Rig, folder: &Path, baseline: &Baseline, differences: &[String]) -> Result<bool> {
    let mut figures = paths::upload_calls(rig, folder, true)?;
    figures.retain(|figure| figure.name == paths::SYNCS);
    if differences.is_empty() {
        figures.push(paths::larger_upload(rig, folder)?);
    }
    let mut checks = Checks::default();
    for figure in &figures {
        let distance = baseline.distance(figure).with_context(|| format!("{} is not in the baseline", figure.name))?;
        println!("control: {} is {}, {:+.2} % from the baseline", figure.name, figure.value, distance.percent);
        checks.check(!distance.is_within(), || format!("control: {} was not noticed: the rig is broken", figure.name));
    }
    if !differences.is_empty() && checks.held() {
        return Err(not_comparable(differences));
    }
    println!("injected: 1 x durability relaxed, {} x larger photos\n{checks}", figures.len() - 1);
    Ok(checks.held())
}
