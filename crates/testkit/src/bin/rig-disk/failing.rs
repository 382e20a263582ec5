//! Single calls that fail, on the photo, on its folder, and on the catalog's log.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use testkit::rig::inject::{Injection, Tracer, open_under};
use testkit::rig::load::Ack;
use testkit::rig::{cleanup, store};
use testkit::{Connection, Response, Server, Shot, api};

use super::{Desk, GRACE, patiently};

const SYNC: &str = "fsync,fdatasync";
const WRITE: &str = "write,writev,pwrite64,pwritev,pwritev2";
const NAME: &str = "rename,renameat,renameat2,link,linkat";

/// What the fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// The file that the upload is being staged in.
    Photo,
    /// The folder in which it gets its name.
    Folder,
    /// The folder above that, when the one for the photo is new.
    ParentFolder,
    /// The catalog's write-ahead log.
    Log,
}

/// What the server must do afterwards, once the disk is well again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Heals,
    /// Nothing more is written until a restart: an fsync that failed cannot be asked again, it would say yes to what
    /// the kernel has dropped.
    RefusesUntilRestart,
    /// Either: the failure left nothing in doubt, but to stop is no mistake.
    Either,
}

struct Case {
    name: &'static str,
    on: On,
    calls: &'static str,
    error: &'static str,
    status: &'static [u16],
    after: After,
}

/// Each refusal may be any of these: what counts is that it is none of the 2xx.
const ANY_REFUSAL: &[u16] = &[500, 503, 507];
const FULL: &[u16] = &[507, 503];

const CASES: [Case; 9] = [
    case("fsync of the photo: EIO", On::Photo, SYNC, "EIO", ANY_REFUSAL, After::Heals),
    case("write of the photo: EIO", On::Photo, WRITE, "EIO", ANY_REFUSAL, After::Heals),
    case("write of the photo: ENOSPC", On::Photo, WRITE, "ENOSPC", FULL, After::Heals),
    case("rename of the photo: EIO", On::Photo, NAME, "EIO", ANY_REFUSAL, After::Heals),
    case("fsync of the photo's folder: EIO", On::Folder, SYNC, "EIO", ANY_REFUSAL, After::RefusesUntilRestart),
    case(
        "fsync of the parent of a new folder: EIO",
        On::ParentFolder,
        SYNC,
        "EIO",
        ANY_REFUSAL,
        After::RefusesUntilRestart,
    ),
    case("write of the catalog's log: EIO", On::Log, WRITE, "EIO", ANY_REFUSAL, After::Either),
    case("write of the catalog's log: ENOSPC", On::Log, WRITE, "ENOSPC", FULL, After::Heals),
    case("fsync of the catalog's log: EIO", On::Log, SYNC, "EIO", ANY_REFUSAL, After::RefusesUntilRestart),
];

const fn case(
    name: &'static str,
    on: On,
    calls: &'static str,
    error: &'static str,
    status: &'static [u16],
    after: After,
) -> Case {
    Case { name, on, calls, error, status, after }
}

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    for case in &CASES {
        println!("{}", case.name);
        play(desk, case, false).with_context(|| case.name)?;
    }
    Ok(())
}

/// With fsyncs off no upload meets a failing one, and all are acknowledged: each case must find that out.
pub fn control(desk: &mut Desk<'_>) -> bool {
    let mut all = true;
    for case in CASES.iter().filter(|case| case.calls == SYNC) {
        let before = desk.checks.failed.len();
        let outcome = play(desk, case, true);
        let noticed = outcome.is_err() || desk.checks.failed.len() > before;
        println!("control: {}: {}", case.name, if noticed { "noticed" } else { "NOT noticed: the rig is broken" });
        all &= noticed;
    }
    all
}

fn play(desk: &mut Desk<'_>, case: &Case, relaxed: bool) -> Result<()> {
    let home = cleanup::Folder::new()?;
    let data = home.path().canonicalize()?.join("data");
    let builder = desk.server().data(&data);
    let mut server = if relaxed { builder.relaxed() } else { builder }.start()?;
    let mut acks = Vec::new();
    if case.on == On::ParentFolder {
        // The photo's folder must not be there yet: the first upload makes it.
        wait_for_room_in_minute();
    } else {
        for _ in 0..3 {
            desk.store(&server, 20_000, &mut acks)?;
        }
    }

    // So large that half of it is in a file already.
    let photo = desk.photo(1_000_000);
    let answer = upload_meeting_fault(desk, case, &server, &home.path().join("trace"), &photo)?;
    if let Ok(response) = &answer {
        println!("  answered {}", response.status);
    }
    match &answer {
        Ok(response) => desk.checks.check(case.status.contains(&response.status), || {
            format!(
                "{}: answered {} ({}), wanted one of {:?}",
                case.name,
                response.status,
                response.text(),
                case.status
            )
        }),
        Err(error) => desk.checks.check(false, || format!("{}: no answer at all: {error}", case.name)),
    }
    if let Ok(response) = answer
        && response.is_success()
    {
        // It was wrong to acknowledge it; that it can be seen then is no second fault.
        let captures = api::captures(&response)?;
        acks.push(Ack::new(&captures[0].filename, api::sha256(&photo)));
    }

    desk.checks.check(server.participant().is_up("/livez"), || format!("{}: livez is not 200 afterwards", case.name));
    let refuses = match case.after {
        After::Heals => false,
        After::RefusesUntilRestart => true,
        After::Either => desk.store(&server, 20_000, &mut acks).is_err(),
    };
    if refuses {
        latched(desk, case, &server, &mut acks)?;
        desk.nothing_staged(&server, case.name);
        return restart_after_latch(desk, case, &mut server, acks, &photo);
    }
    let mut healed = Vec::new();
    let heals = patiently(GRACE, || desk.store(&server, 20_000, &mut healed).is_ok());
    desk.checks.check(heals, || format!("{}: uploads are still refused {GRACE:?} after the fault", case.name));
    acks.append(&mut healed);
    desk.exactly(&server, &acks, case.name);
    desk.nothing_staged(&server, case.name);
    desk.terminate_and_fsck(&mut server, case.name)
}

/// Sends half an upload, breaks the disk, sends the rest, mends the disk.
fn upload_meeting_fault(
    desk: &mut Desk<'_>,
    case: &Case,
    server: &Server,
    log: &Path,
    photo: &[u8],
) -> Result<std::io::Result<Response>> {
    let person = &server.demo().participant;
    let request = api::upload_request(&person.cookie, &person.session_id, &[Shot::interval(photo.to_vec())]);
    let body = request.body.clone().unwrap_or_default();
    let half = body.len() / 2;
    let mut connection = Connection::open(server.address())?;
    connection.write_head(&request)?;
    connection.write(&body[..half])?;

    let mut staged = Vec::new();
    patiently(Duration::from_secs(5), || {
        staged = open_under(server.pid(), &store::staging_folder(server.data()));
        !staged.is_empty()
    });
    let paths = match case.on {
        On::Photo => staged,
        On::Folder => folders_of_now(server.data()),
        On::ParentFolder => days_of_now(server.data()),
        On::Log => vec![server.data().join("catalog.sqlite-wal")],
    };
    anyhow::ensure!(!paths.is_empty(), "half an upload was sent, and no file is open in staging to be broken");
    let injection = Injection { calls: case.calls, error: case.error, paths: &paths };
    let tracer = Tracer::inject(server.pid(), log, &injection)?;
    let answer = connection.write(&body[half..]).and_then(|()| connection.read_response(false));
    let calls = tracer.detach()?;
    let hits = calls.iter().filter(|call| call.injected()).count();
    desk.faults.add(case.name, hits as u64);
    desk.checks
        .check(hits > 0, || format!("{}: the fault met nothing; seen on {paths:?}: {:?}", case.name, names(&calls)));
    Ok(answer)
}

fn names(calls: &[testkit::rig::trace::Call]) -> Vec<&str> {
    calls.iter().map(|call| call.name.as_str()).collect()
}

/// The disk is well again, but what is on it is in doubt: no write, and it says so.
fn latched(desk: &mut Desk<'_>, case: &Case, server: &Server, acks: &mut Vec<Ack>) -> Result<()> {
    for _ in 0..3 {
        let photo = desk.photo(20_000);
        let answer = server.participant().upload_photo(&photo);
        desk.checks.check(answer.as_ref().is_ok_and(|response| response.status == 503), || {
            format!("{}: a later upload must be refused with 503: {answer:?}", case.name)
        });
        // One that is acknowledged all the same must at least not be lost.
        if let Some(response) = answer.ok().filter(Response::is_success) {
            acks.push(Ack::new(&api::captures(&response)?[0].filename, api::sha256(&photo)));
        }
    }
    desk.checks.check(!server.participant().is_up("/readyz"), || format!("{}: readyz says ready", case.name));
    // Nothing that was not acknowledged may be seen.
    let listed = server.participant().listed_filenames();
    desk.checks.check(listed.as_ref().is_ok_and(|listed| listed.len() == acks.len()), || {
        format!("{}: {} acknowledged, listed {listed:?}", case.name, acks.len())
    });
    Ok(())
}

/// After the restart all is as before, and the photo whose commit failed is there whole or not at all.
fn restart_after_latch(
    desk: &mut Desk<'_>,
    case: &Case,
    server: &mut Server,
    mut acks: Vec<Ack>,
    photo: &[u8],
) -> Result<()> {
    // A latched server may end with whatever status it likes, but it must end.
    if let Err(error) = server.terminate(Duration::from_secs(30)) {
        desk.checks.check(false, || format!("{}: {error:#}", case.name));
        server.kill();
    }
    let mut server = server.start_again()?;
    let listed = server.participant().listed_filenames()?;
    for filename in
        listed.iter().filter(|name| !acks.iter().any(|ack| ack.filename == **name)).cloned().collect::<Vec<_>>()
    {
        println!("  note: {filename}, refused before the restart, is there after it");
        acks.push(Ack::new(&filename, api::sha256(photo)));
    }
    desk.checks.check(server.participant().is_up("/readyz"), || format!("{}: not ready after a restart", case.name));
    desk.store(&server, 20_000, &mut acks)?;
    desk.exactly(&server, &acks, &format!("{}, after a restart", case.name));
    desk.nothing_staged(&server, case.name);
    desk.terminate_and_fsck(&mut server, case.name)
}

/// Sleeps over the end of a minute that is nearly over, so that the folder does not change in the middle of a case.
fn wait_for_room_in_minute() {
    let second = now() % 60;
    if second > 50 {
        std::thread::sleep(Duration::from_secs(61 - second));
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The folder of this minute's photos, and of the next, in case it begins meanwhile.
fn folders_of_now(data: &Path) -> Vec<PathBuf> {
    [now(), now() + 60]
        .map(|time| day(data, time).join(format!("{:02}{:02}", time / 3600 % 24, time / 60 % 60)))
        .to_vec()
}

fn days_of_now(data: &Path) -> Vec<PathBuf> {
    let mut days = [now(), now() + 60].map(|time| day(data, time)).to_vec();
    days.dedup();
    days
}

/// `blobs/YYYY-MM-DD`, UTC.
fn day(data: &Path, seconds: u64) -> PathBuf {
    // Days since 0000-03-01, so that the leap day is a year's last (Howard Hinnant's civil_from_days).
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    data.join("blobs").join(format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_as_in_utc() {
        for (seconds, want) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_709_251_199, "2024-02-29"),
            (1_767_225_600, "2026-01-01"),
        ] {
            assert_eq!(day(Path::new("/d"), seconds), Path::new("/d/blobs").join(want));
        }
    }
}
