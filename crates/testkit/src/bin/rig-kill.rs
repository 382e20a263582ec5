//! Kills the server under load, and looks whether everything acknowledged is still there.
#![allow(clippy::print_stdout, reason = "a rig prints its findings")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use testkit::Server;
use testkit::random::Random;
use testkit::rig::crash::{Death, Plan, Stage, play};
use testkit::rig::{About, Args, Faults, Opt, Rig, cleanup, store};

const ABOUT: About = About {
    name: "rig-kill",
    text: "uploads from many clients, kills the server with signal 9 at a random moment, now alone, now with all its \
           children, starts it again, fetches every photo that was acknowledged and compares its SHA-256. It shows \
           that a crash of the program loses nothing; that a power cut loses nothing, only rig-power-cut can show. With \
           --control one acknowledged photo is changed behind the server's back after each kill, and the rig must \
           notice.",
    options: &[
        Opt::value("kills", "N", "100", "how often"),
        Opt::value("uploaders", "N", "64", "how many clients upload at once"),
        Opt::flag("control", "damages photos itself, and holds only if that was found"),
    ],
    needs: |_: &Args| Vec::new(),
};

fn main() -> ExitCode {
    testkit::rig::main(&ABOUT, run)
}

fn run(rig: &Rig) -> Result<bool> {
    let control = rig.args.has("control");
    let plan = Plan {
        strikes: rig.args.number("kills")?,
        uploaders: rig.args.number("uploaders")?,
        load_ms: (50, 300),
        control: false,
    };
    let home = cleanup::Folder::new()?;
    let mut stage = Killed { data: home.path().join("data"), vandal: control };
    let outcome = play(rig, &plan, &mut stage)?;
    outcome.print("kills");
    if control {
        let detected = !outcome.lost.is_empty() && !outcome.fsck_failures.is_empty();
        let verdict =
            if detected { "the damage was noticed" } else { "the damage was NOT noticed: the rig or fsck is broken" };
        println!("control with damaged photos: {verdict}");
        return Ok(detected);
    }
    Ok(outcome.held())
}

struct Killed {
    data: PathBuf,
    vandal: bool,
}

impl Stage for Killed {
    fn data(&self) -> &Path {
        &self.data
    }

    fn strike(&mut self, server: &mut Server, random: &mut Random, faults: &mut Faults) -> Result<Option<Death>> {
        if random.one_in(2) {
            server.kill_alone();
            faults.count("kill -9 of the server alone");
        } else {
            server.kill();
            faults.count("kill -9 of the server and its children");
        }
        Ok(None)
    }

    fn recover(&mut self) -> Result<()> {
        if self.vandal {
            let published = store::published(&self.data)?;
            // The newest may be one that nobody was told of; one from the middle is most likely in the book.
            if let Some(path) = published.values().nth(published.len() / 2) {
                let mut bytes = std::fs::read(path)?;
                ensure!(!bytes.is_empty(), "an empty photo: {}", path.display());
                let middle = bytes.len() / 2;
                bytes[middle] = bytes[middle].wrapping_add(1);
                std::fs::write(path, bytes)?;
            }
        }
        Ok(())
    }

    fn is_full(&self) -> Result<bool> {
        Ok(false)
    }

    fn renew(&mut self) -> Result<()> {
        std::fs::remove_dir_all(&self.data)?;
        Ok(())
    }
}
