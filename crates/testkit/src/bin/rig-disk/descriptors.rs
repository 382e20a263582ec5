//! A server that may open few descriptors, and more clients than that.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::rig::load::Ack;
use testkit::{Connection, Server, Shot, api, process};

use super::{Desk, GRACE, patiently};

/// Limits tried in this order, until the server starts with one.
const LIMITS: [u64; 4] = [64, 96, 128, 256];
/// Clients at once for each descriptor that the server may have.
const CLIENTS_PER_DESCRIPTOR: u64 = 3;
/// How long a client keeps its upload open before it sends the rest: all are there at the same time.
const HOLD: Duration = Duration::from_secs(1);

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let (mut server, limit) = start(desk)?;
    println!("few descriptors: the server started with {limit}");
    let mut acks = Vec::new();
    for _ in 0..3 {
        desk.store(&server, 20_000, &mut acks)?;
    }
    let before = process::open_descriptors(server.pid()).unwrap_or(0);
    let clients = limit * CLIENTS_PER_DESCRIPTOR;
    // So large that each is in a file while it is held.
    let photos: Vec<Vec<u8>> = (0..clients).map(|_| desk.photo(600_000)).collect();
    let endings: Vec<Ending> = thread::scope(|scope| {
        let threads: Vec<_> = photos.iter().map(|photo| scope.spawn(|| client(&server, photo))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    desk.faults.add("client more than the server has descriptors for", clients - limit.min(clients));

    let mut tally: BTreeMap<String, u64> = BTreeMap::new();
    for (photo, ending) in photos.iter().zip(endings) {
        *tally.entry(ending.name()).or_default() += 1;
        if let Ending::Answered(response) = ending
            && response.is_success()
        {
            let captures = api::captures(&response)?;
            acks.push(Ack::new(&captures[0].filename, api::sha256(photo)));
        }
    }
    println!("  {clients} clients: {tally:?}");
    let bad: Vec<&String> = tally.keys().filter(|name| !matches!(name.as_str(), "200" | "429" | "503")).collect();
    desk.checks.check(bad.is_empty(), || format!("few descriptors: ended with {bad:?}, not with 200, 429 or 503"));

    let alive = patiently(GRACE, || server.participant().is_up("/livez"));
    desk.checks.check(alive, || format!("few descriptors: livez is not 200 {GRACE:?} after the crowd left"));
    let given_back = patiently(GRACE, || process::open_descriptors(server.pid()).is_some_and(|now| now <= before + 8));
    desk.checks.check(given_back, || {
        format!("few descriptors: {before} open before, {:?} afterwards", process::open_descriptors(server.pid()))
    });
    desk.store(&server, 20_000, &mut acks).context("an upload after the crowd left")?;
    desk.exactly(&server, &acks, "few descriptors");
    desk.nothing_staged(&server, "few descriptors");
    desk.terminate_and_fsck(&mut server, "few descriptors")
}

fn start(desk: &Desk<'_>) -> Result<(Server, u64)> {
    let mut last = None;
    for limit in LIMITS {
        let wrapper = ["prlimit".to_owned(), format!("--nofile={limit}:{limit}")];
        match desk.server().wrapper(wrapper).start() {
            Ok(server) => return Ok((server, limit)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("no limit to try")?).context(format!("it does not even start with {} descriptors", LIMITS[3]))
}

enum Ending {
    Answered(testkit::Response),
    Failed(std::io::Error),
}

impl Ending {
    fn name(&self) -> String {
        match self {
            Self::Answered(response) => response.status.to_string(),
            Self::Failed(error) => format!("no answer: {}", error.kind()),
        }
    }
}

/// Begins an upload, holds it, ends it; a client that has to wait for a connection waits.
fn client(server: &Server, photo: &[u8]) -> Ending {
    let person = &server.demo().participant;
    let request = api::upload_request(&person.cookie, &person.session_id, &[Shot::interval(photo.to_vec())]);
    let outcome = Connection::open(server.address()).and_then(|mut connection| {
        let body = request.body.clone().unwrap_or_default();
        connection.write_head(&request)?;
        let begun = connection.write(&body[..body.len() / 2]);
        thread::sleep(HOLD);
        let written = begun.and_then(|()| connection.write(&body[body.len() / 2..]));
        connection.read_response(false).map_err(|error| written.err().unwrap_or(error))
    });
    match outcome {
        Ok(response) => Ending::Answered(response),
        Err(error) => Ending::Failed(error),
    }
}
