//! Uploads held open on purpose: begun, fed a little each second, and finished when told.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::load::Ack;
use crate::api::{Shot, captures, sha256, upload_request};
use crate::connection::Connection;
use crate::http::Request;
use crate::photo;
use crate::server::Server;

/// How often a second the thread that feeds goes round; each upload is fed once a second.
const ROUNDS_PER_SECOND: usize = 20;
/// How many threads finish the uploads.
const FINISHERS: usize = 8;

struct Upload {
    connection: Connection,
    request: Request,
    digest: String,
    sent: usize,
    /// The server closed or reset it while it was being fed.
    broken: bool,
}

impl Upload {
    fn body(&self) -> &[u8] {
        self.request.body.as_deref().unwrap_or_default()
    }

    /// Sends up to `count` more bytes, as far as the socket takes them at once.
    fn feed(&mut self, count: usize) {
        let end = (self.sent + count).min(self.body().len());
        if self.broken || self.sent == end {
            return;
        }
        match self.connection.stream().write(&self.body()[self.sent..end]) {
            Ok(written) => self.sent += written,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.broken = true,
        }
    }

    fn finish(mut self) -> Ending {
        let rest = self.request.body.take().unwrap_or_default().split_off(self.sent);
        let written = self.connection.stream().set_nonblocking(false).and_then(|()| self.connection.write(&rest));
        match self.connection.read_response(false) {
            Ok(response) => match captures(&response) {
                Ok(captures) if captures.len() == 1 && captures[0].sha256 == self.digest => {
                    Ending::Stored(Ack::new(&captures[0].filename, self.digest))
                }
                Ok(_) => Ending::Otherwise(format!("200 with other captures: {}", response.text())),
                Err(_) => Ending::Otherwise(format!("status {}: {}", response.status, response.text())),
            },
            Err(error) => Ending::Otherwise(format!("no answer: {}", written.err().unwrap_or(error))),
        }
    }
}

enum Ending {
    Stored(Ack),
    Otherwise(String),
}

/// What became of the uploads.
#[derive(Debug, Default)]
pub struct Finished {
    pub stored: Vec<Ack>,
    /// What else happened, and how often.
    pub otherwise: BTreeMap<String, u64>,
}

/// Uploads being held.
#[derive(Debug)]
pub struct Held {
    stop: Arc<AtomicBool>,
    feeder: JoinHandle<Vec<Upload>>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "an upload with {} of {} bytes sent", self.sent, self.body().len())
    }
}

impl Held {
    /// Begins `count` uploads of `length` bytes each and feeds each `per_second` bytes a second from now on.
    pub fn open(server: &Server, count: usize, length: usize, per_second: usize, seed: u64) -> Result<Self> {
        let person = &server.demo().participant;
        let mut uploads = Vec::with_capacity(count);
        for index in 0..count {
            let photo = photo::jpeg_bytes(length, seed.wrapping_add(index as u64));
            let digest = sha256(&photo);
            let request = upload_request(&person.cookie, &person.session_id, &[Shot::interval(photo)]);
            let mut connection =
                Connection::open(server.address()).with_context(|| format!("opening held upload {index}"))?;
            connection.write_head(&request).with_context(|| format!("beginning held upload {index}"))?;
            connection.stream().set_nonblocking(true)?;
            let mut upload = Upload { connection, request, digest, sent: 0, broken: false };
            upload.feed(per_second);
            uploads.push(upload);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let feeder = thread::spawn(move || feed(uploads, per_second, &told));
        Ok(Self { stop, feeder })
    }

    /// Sends what is left of each, as fast as it goes, and reads the answers.
    pub fn finish(self) -> Finished {
        self.stop.store(true, Ordering::Relaxed);
        let mut uploads = self.feeder.join().expect("the thread that feeds");
        let share = uploads.len().div_ceil(FINISHERS).max(1);
        let mut threads = Vec::new();
        while !uploads.is_empty() {
            let rest = uploads.split_off(share.min(uploads.len()));
            let chunk = std::mem::replace(&mut uploads, rest);
            threads.push(thread::spawn(move || chunk.into_iter().map(Upload::finish).collect::<Vec<_>>()));
        }
        let mut finished = Finished::default();
        for ending in threads.into_iter().flat_map(|thread| thread.join().expect("a thread that finishes")) {
            match ending {
                Ending::Stored(ack) => finished.stored.push(ack),
                Ending::Otherwise(what) => *finished.otherwise.entry(what).or_default() += 1,
            }
        }
        finished
    }
}

fn feed(mut uploads: Vec<Upload>, per_second: usize, stop: &AtomicBool) -> Vec<Upload> {
    let pause = Duration::from_secs(1) / u32::try_from(ROUNDS_PER_SECOND).expect("a small number");
    let mut next = Instant::now();
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for upload in uploads.iter_mut().skip(round % ROUNDS_PER_SECOND).step_by(ROUNDS_PER_SECOND) {
            upload.feed(per_second);
        }
        next += pause;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    uploads
}
