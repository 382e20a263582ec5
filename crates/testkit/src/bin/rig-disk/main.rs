//! Disks that fail, disks that are full, and descriptors that run out: what the server answers, and what it leaves.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

mod descriptors;
mod failing;
mod full;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use testkit::rig::load::{Ack, verify};
use testkit::rig::loopfs::Kind;
use testkit::rig::{About, Args, Checks, Faults, Need, Opt, Rig, store};
use testkit::{Server, ServerBuilder, api};

const ABOUT: About = About {
    name: "rig-disk",
    text: "makes single calls of the running server fail (strace): an fsync, a write, a rename of the photo, an fsync \
           of a folder, an fsync or a write of the catalog's log; fills its disk to the last byte and to the last \
           inode; leaves it few descriptors. An upload that met a fault is never answered with 2xx and leaves nothing \
           visible, reads go on, and the server heals by itself (after a failed fsync of the catalog: after a restart).",
    options: &[
        Opt::value("only", "PART", "", "one part alone: failing, bytes, inodes or descriptors"),
        Opt::flag("control", "runs the failing fsyncs with durability relaxed, and holds only if each was found out"),
    ],
    needs,
};

fn needs(args: &Args) -> Vec<Need> {
    match args.text("only") {
        _ if args.has("control") => vec![Need::Strace],
        "failing" => vec![Need::Strace],
        "descriptors" => vec![Need::Program("prlimit", "util-linux")],
        "bytes" | "inodes" => Kind::Ext4.needs(),
        _ => {
            let mut all = Kind::Ext4.needs();
            all.extend([Need::Strace, Need::Program("prlimit", "util-linux")]);
            all
        }
    }
}

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

fn run(rig: &Rig) -> Result<bool> {
    let only = rig.args.text("only");
    ensure!(["", "failing", "bytes", "inodes", "descriptors"].contains(&only), "--only {only}: no such part");
    let mut desk = Desk {
        rig,
        checks: Checks::default(),
        faults: Faults::default(),
        seed: rig.seed << 40,
        answers: BTreeMap::new(),
    };
    if rig.args.has("control") {
        return Ok(failing::control(&mut desk));
    }
    if matches!(only, "" | "failing") {
        failing::run(&mut desk)?;
    }
    if matches!(only, "" | "bytes") {
        full::run(&mut desk, full::Scarce::Bytes).context("full disk")?;
    }
    if matches!(only, "" | "inodes") {
        full::run(&mut desk, full::Scarce::Inodes).context("no inodes")?;
    }
    if matches!(only, "" | "descriptors") {
        descriptors::run(&mut desk).context("few descriptors")?;
    }
    println!("{}\n{}", desk.faults, desk.checks);
    Ok(desk.checks.held())
}

/// What every part writes on.
struct Desk<'a> {
    rig: &'a Rig,
    checks: Checks,
    faults: Faults,
    seed: u64,
    /// How often which refusal was given, since last printed.
    answers: BTreeMap<u16, u64>,
}

impl Desk<'_> {
    /// A server that takes photos in and leaves them as they are: judged is what an upload meets, and a decoder that
    /// takes the last bytes, inodes or descriptors, or the call that was to fail, would only blur it.
    fn server(&self) -> ServerBuilder {
        self.rig.server().env("FILMGATE__PROCESSING__WORKERS", "0")
    }

    /// A photo nobody has sent yet.
    fn photo(&mut self, length: usize) -> Vec<u8> {
        self.seed += 1;
        testkit::photo::jpeg_bytes(length, self.seed)
    }

    /// Uploads a photo that must be stored.
    fn store(&mut self, server: &Server, length: usize, acks: &mut Vec<Ack>) -> Result<()> {
        let photo = self.photo(length);
        let captures = api::captures(&server.participant().upload_photo(&photo)?)?;
        acks.push(Ack::new(&captures[0].filename, api::sha256(&photo)));
        Ok(())
    }

    /// The list, the files by HTTP and the files on disk are what was acknowledged, no less and no more.
    fn exactly(&mut self, server: &Server, acks: &[Ack], when: &str) {
        let mut want: Vec<&str> = acks.iter().map(|ack| ack.filename.as_str()).collect();
        want.sort_unstable();
        match server.participant().listed_filenames() {
            Ok(mut listed) => {
                listed.sort_unstable();
                self.checks
                    .check(listed == want, || format!("{when}: {} acknowledged, {} listed", want.len(), listed.len()));
            }
            Err(error) => self.checks.check(false, || format!("{when}: no list: {error:#}")),
        }
        let lost = verify(&server.participant(), acks);
        self.checks
            .check(lost.is_empty(), || format!("{when}: {} of {} lost: {:?}", lost.len(), acks.len(), lost.first()));
        let published = store::published(server.data()).map(|found| found.into_keys().collect::<Vec<_>>());
        match published {
            Ok(found) => self.checks.check(found.iter().map(String::as_str).eq(want.iter().copied()), || {
                format!("{when}: {} acknowledged, {} files with a published name", want.len(), found.len())
            }),
            Err(error) => self.checks.check(false, || format!("{when}: {error:#}")),
        }
    }

    /// Staging is empty after a short grace.
    fn nothing_staged(&mut self, server: &Server, when: &str) {
        let empty = patiently(GRACE, || store::staged(server.data()).is_empty());
        self.checks
            .check(empty, || format!("{when}: still in staging after {GRACE:?}: {:?}", store::staged(server.data())));
    }

    /// Ends the server as an administrator does, and looks whether its folder is consistent.
    fn terminate_and_fsck(&mut self, server: &mut Server, when: &str) -> Result<()> {
        let ended = server.terminate(std::time::Duration::from_secs(30));
        self.checks.check(ended.as_ref().is_ok_and(std::process::ExitStatus::success), || {
            format!("{when}: SIGTERM: {ended:?}")
        });
        if ended.is_err() {
            server.kill();
        }
        let fsck = server.fsck(true)?;
        self.checks.check(fsck.is_clean(), || format!("{when}: fsck --deep: {}: {}", fsck.status, fsck.output));
        Ok(())
    }
}

/// How long something may take that needs no more than a moment.
const GRACE: std::time::Duration = std::time::Duration::from_secs(15);

/// Asks again and again until it holds or the time is over.
fn patiently(limit: std::time::Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = std::time::Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if std::time::Instant::now() > end {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
