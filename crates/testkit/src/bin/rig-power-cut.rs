//! Cuts the power under load, and looks whether everything acknowledged is still there.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use testkit::Server;
use testkit::random::Random;
use testkit::rig::crash::{Death, Plan, Stage, play};
use testkit::rig::loopfs::{Cut, Kind, LoopFs};
use testkit::rig::postgres::{self, Postgres};
use testkit::rig::rows::Rows;
use testkit::rig::{About, Args, Faults, Need, Opt, Rig, cleanup};

const ABOUT: About = About {
    name: "rig-power-cut",
    text: "keeps the server's folder on a filesystem in a file, uploads from many clients, shuts that filesystem down \
           from inside the kernel at a random moment (what was not on the disk by then is lost), kills the server, \
           mounts again, starts again, fetches every photo that was acknowledged and compares its SHA-256. With \
           --postgres the rows are in a PostgreSQL whose files are on that filesystem too. With --control the server's \
           fsyncs are off, and the rig must notice the loss.",
    options: &[
        Opt::value("cuts", "N", "100", "how often"),
        Opt::value("uploaders", "N", "64", "how many clients upload at once"),
        Opt::value("fs", "ext4|xfs", "ext4", "the filesystem"),
        Opt::value("size-mb", "N", "1024", "its size; it is emptied when three quarters are full"),
        Opt::flag("postgres", "the catalog is in a PostgreSQL, which loses its power with the server"),
        Opt::flag("control", "runs with durability relaxed, and holds only if a loss was found"),
    ],
    needs,
};

const DATABASE: &str = "filmgate";

/// One cut in this many is of the other kind, where the journal still gets out.
const LOG_FLUSH_ONE_IN: u64 = 5;

fn needs(args: &Args) -> Vec<Need> {
    let mut needs = Kind::parse(args.text("fs")).unwrap_or(Kind::Ext4).needs();
    needs.extend(args.has("postgres").then_some(postgres::NEED));
    needs
}

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

fn run(rig: &Rig) -> Result<bool> {
    let kind = Kind::parse(rig.args.text("fs"))?;
    let plan = Plan {
        strikes: rig.args.number("cuts")?,
        uploaders: rig.args.number("uploaders")?,
        load_ms: (50, 300),
        control: rig.args.has("control"),
    };
    let home = cleanup::Folder::new()?;
    let disk = LoopFs::make(home.path(), kind, rig.args.number::<u64>("size-mb")? << 20, &[])?;
    let data = disk.path().join("data");
    let postgres = rig.args.has("postgres").then(|| database(&disk)).transpose()?;
    let engine = if postgres.is_some() { "PostgreSQL" } else { "SQLite" };
    let outcome = play(rig, &plan, &mut Powered { postgres, disk, data })?;
    outcome.print(&format!("power cuts on {}, rows in {engine}", kind.name()));
    if plan.control {
        let detected = !outcome.lost.is_empty() || !outcome.failed_starts.is_empty();
        let verdict = if detected { "the loss was noticed" } else { "NO loss was noticed: the rig is broken" };
        println!("control with fsyncs off: {verdict}");
        return Ok(detected);
    }
    Ok(outcome.held())
}

/// Dropped from the top: the database has its files on the disk.
struct Powered {
    postgres: Option<Postgres>,
    disk: LoopFs,
    data: PathBuf,
}

/// A PostgreSQL with its files on this disk, and every fsync; its log small, so that it fits.
fn database(disk: &LoopFs) -> Result<Postgres> {
    let postgres = Postgres::start_at(&disk.path().join("postgres"), &["max_wal_size=96MB", "min_wal_size=32MB"])?;
    postgres.create_database(DATABASE)?;
    Ok(postgres)
}

impl Stage for Powered {
    fn data(&self) -> &Path {
        &self.data
    }

    fn rows(&self) -> Rows {
        match &self.postgres {
            Some(postgres) => Rows::Postgres(postgres.url(DATABASE)),
            None => Rows::Folder(self.data.clone()),
        }
    }

    fn strike(&mut self, server: &mut Server, random: &mut Random, faults: &mut Faults) -> Result<Option<Death>> {
        let cut = if random.one_in(LOG_FLUSH_ONE_IN) { Cut::LogFlush } else { Cut::NoLogFlush };
        let began = Instant::now();
        self.disk.cut(cut)?;
        let over = Instant::now();
        faults.count(cut.name());
        // For a moment the server goes on with a dead disk: whatever it acknowledges now, it must not.
        thread::sleep(Duration::from_millis(random.between(0, 20)));
        server.kill();
        if let Some(postgres) = &mut self.postgres {
            postgres.kill();
        }
        Ok(Some(Death { began, over }))
    }

    fn recover(&mut self) -> Result<()> {
        self.disk.unmount()?;
        self.disk.mount()?;
        self.postgres.as_mut().map_or(Ok(()), Postgres::start_again)
    }

    fn is_full(&self) -> Result<bool> {
        Ok(self.disk.free_share()? < 0.25)
    }

    fn renew(&mut self) -> Result<()> {
        if let Some(postgres) = &mut self.postgres {
            postgres.kill();
        }
        self.disk.renew()?;
        let Some(postgres) = &mut self.postgres else { return Ok(()) };
        postgres.start_anew()?;
        postgres.create_database(DATABASE)
    }
}
