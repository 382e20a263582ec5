//! A disk without free bytes, or without free inodes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::rig::cleanup;
use testkit::rig::load::Ack;
use testkit::rig::loopfs::{Kind, LoopFs};
use testkit::{Response, Server, api};

use super::{Desk, patiently};

/// How long the server may take to notice that there is room again.
const HEALING: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scarce {
    Bytes,
    Inodes,
}

impl Scarce {
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "full disk",
            Self::Inodes => "no inodes",
        }
    }

    /// What photos are sent, so that what is scarce runs out first.
    fn photo_length(self) -> usize {
        match self {
            Self::Bytes => 150_000,
            Self::Inodes => 5_000,
        }
    }
}

pub fn run(desk: &mut Desk<'_>, scarce: Scarce) -> Result<()> {
    println!("{}", scarce.name());
    let home = cleanup::Folder::new()?;
    // Nothing is set aside for root, who would else go on where others stop.
    let mkfs: &[&str] = match scarce {
        Scarce::Bytes => &["-m", "0"],
        Scarce::Inodes => &["-m", "0", "-N", "512"],
    };
    let disk = LoopFs::make(home.path(), Kind::Ext4, 64 << 20, mkfs)?;
    let mut server = desk.server().data(&disk.path().join("data")).log(&home.path().join("log")).start()?;
    let mut acks = Vec::new();
    for _ in 0..5 {
        desk.store(&server, 20_000, &mut acks)?;
    }

    // First nearly full, so that an upload itself meets the end; then full to the last, so that nothing can be written.
    for (left, when) in [(30, "nearly used up"), (0, "used up")] {
        let when = format!("{}, {when}", scarce.name());
        let mut filler = Filler::new(&disk, scarce);
        filler.fill(left)?;
        let refused = upload_until_refused(desk, scarce, &server, &mut acks, &when)?;
        // More of them at once.
        let photos: Vec<Vec<u8>> = (0..8).map(|_| desk.photo(scarce.photo_length())).collect();
        let answers: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = photos
                .iter()
                .map(|photo| {
                    let mut client = server.participant();
                    scope.spawn(move || client.upload_photo(photo))
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let mut more = 0;
        for (photo, answer) in photos.iter().zip(answers) {
            more += u64::from(judge(desk, answer, photo, &mut acks, &when)?);
        }
        desk.faults.add(&format!("upload refused, {}", scarce.name()), refused + more);
        println!("  {when}: refused with {:?}", std::mem::take(&mut desk.answers));
        desk.exactly(&server, &acks, &when);
        desk.nothing_staged(&server, &when);
        desk.checks.check(server.participant().is_up("/livez"), || format!("{when}: livez is not 200"));

        filler.empty()?;
        let mut healed = Vec::new();
        let heals = patiently(HEALING, || desk.store(&server, 20_000, &mut healed).is_ok());
        desk.checks.check(heals, || format!("{when}: still refused {HEALING:?} after there was room again"));
        acks.append(&mut healed);
        desk.checks
            .check(server.participant().is_up("/readyz"), || format!("{when}: not ready after there was room again"));
    }
    desk.exactly(&server, &acks, scarce.name());
    desk.terminate_and_fsck(&mut server, scarce.name())?;
    let server = server.start_again()?;
    desk.exactly(&server, &acks, &format!("{}, after a restart", scarce.name()));
    Ok(())
}

/// Sends one photo after the other until three were refused; how many were.
fn upload_until_refused(
    desk: &mut Desk<'_>,
    scarce: Scarce,
    server: &Server,
    acks: &mut Vec<Ack>,
    when: &str,
) -> Result<u64> {
    let mut refused = 0;
    for _ in 0..600 {
        let photo = desk.photo(scarce.photo_length());
        let answer = server.participant().upload_photo(&photo);
        refused += u64::from(judge(desk, answer, &photo, acks, when)?);
        if refused == 3 {
            return Ok(refused);
        }
    }
    desk.checks.check(false, || format!("{when}: 600 uploads, and only {refused} refused"));
    Ok(refused)
}

/// Notes an acknowledgement; of a refusal, whether it is one that says the disk is full. True where it was refused.
fn judge(
    desk: &mut Desk<'_>,
    answer: std::io::Result<Response>,
    photo: &[u8],
    acks: &mut Vec<Ack>,
    when: &str,
) -> Result<bool> {
    match answer {
        Ok(response) if response.is_success() => {
            let captures = api::captures(&response)?;
            acks.push(Ack::new(&captures[0].filename, api::sha256(photo)));
            Ok(false)
        }
        Ok(response) => {
            *desk.answers.entry(response.status).or_default() += 1;
            desk.checks.check(matches!(response.status, 507 | 503), || {
                format!("{when}: refused with {} ({}), not with 507 or 503", response.status, response.text())
            });
            Ok(true)
        }
        Err(error) => {
            desk.checks.check(false, || format!("{when}: no answer: {error}"));
            Ok(true)
        }
    }
}

/// Takes up what is free, and gives it back.
struct Filler<'a> {
    disk: &'a LoopFs,
    scarce: Scarce,
    folder: PathBuf,
}

impl<'a> Filler<'a> {
    fn new(disk: &'a LoopFs, scarce: Scarce) -> Self {
        Self { disk, scarce, folder: disk.path().join("filler") }
    }

    /// Leaves room for about `photos` photos.
    fn fill(&mut self, photos: u64) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        match self.scarce {
            Scarce::Bytes => {
                let leave = photos * self.scarce.photo_length() as u64;
                let mut file = File::create(self.folder.join("bytes"))?;
                let block = vec![0x5A; 64 << 10];
                while self.disk.free_bytes()? > leave {
                    let step = (self.disk.free_bytes()? - leave).min(block.len() as u64);
                    let written = file.write_all(&block[..usize::try_from(step)?]).and_then(|()| file.sync_data());
                    if written.is_err() {
                        break;
                    }
                }
                if photos == 0 {
                    // Down to the last block: single bytes until even they are refused.
                    let last = File::create(self.folder.join("last"));
                    if let Ok(mut last) = last {
                        while last.write_all(&block[..4096]).and_then(|()| last.sync_data()).is_ok() {}
                    }
                }
            }
            Scarce::Inodes => {
                let mut number = 0;
                while self.disk.free_inodes()? > photos {
                    ensure!(number < 100_000, "inodes without end");
                    if File::create(self.folder.join(number.to_string())).is_err() {
                        break;
                    }
                    number += 1;
                }
            }
        }
        Ok(())
    }

    fn empty(&mut self) -> Result<()> {
        fs::remove_dir_all(&self.folder)?;
        sync_folder(self.disk.path())
    }
}

/// Freed blocks are free for others only once the journal has committed the removal.
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)?.sync_all()?;
    Ok(())
}
