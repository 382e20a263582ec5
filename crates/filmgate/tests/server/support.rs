//! What the tests share.

mod house;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::api::{self, Capture, Shot};
use testkit::server::{Server, ServerBuilder};
use testkit::{Form, Request, Response};

pub use house::*;

/// How long a refused upload may take to tidy up after itself.
pub const GRACE: Duration = Duration::from_secs(2);

/// A server of its own on a fresh data folder, which takes photos in and does nothing more.
pub fn server() -> Server {
    unprocessed(builder()).start().unwrap()
}

/// Photos are not processed: derivatives would come and go while a test looks at the folder.
pub fn unprocessed(builder: ServerBuilder) -> ServerBuilder {
    builder.env("FILMGATE__PROCESSING__WORKERS", "0")
}

/// A server on a fresh data folder, as the program comes, to be set up first.
pub fn builder() -> ServerBuilder {
    Server::of(env!("CARGO_BIN_EXE_filmgate"))
}

/// Asks again and again until it holds or the time is up; whether it held.
pub fn holds_within(limit: Duration, mut question: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if question() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether photos are in a folder in this run; says what is not run where they are not.
pub fn is_of_folders(what: &str) -> bool {
    let is_folder =
        !["s3", "s3s"].iter().any(|store| std::env::var("FILMGATE_TEST_BLOBS").is_ok_and(|set| set == *store));
    if !is_folder {
        println!("NOT RUN: {what} is of a store in a folder");
    }
    is_folder
}

/// Whether the catalog is a file of one server in this run; says what is not run where it is not.
pub fn is_of_files(what: &str) -> bool {
    let is_file = !testkit::matrix::has_postgres();
    if !is_file {
        println!("NOT RUN: {what} is of a catalog in a file");
    }
    is_file
}

/// Whether a test can look at stored photos as files and damage them: in a folder, and in the S3 of the tests' own.
/// Says what is not run where it cannot.
pub fn has_files(what: &str) -> bool {
    let has = !testkit::matrix::has_s3();
    if !has {
        println!("NOT RUN: {what} needs the photos' files at hand");
    }
    has
}

/// Every file of the photo store: stored, staged, or set aside; in a bucket, every object too.
pub fn files_of_store(server: &Server) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
                _ => found.push(entry.path()),
            }
        }
    }
    let mut found = Vec::new();
    for folder in server.store_folders() {
        walk(&folder, &mut found);
    }
    found.extend(testkit::matrix::objects(server.data()).unwrap());
    found
}

/// Every capture the catalog knows, of whatever session.
pub fn rows_of_catalog(server: &Server) -> Vec<Value> {
    let answer = Request::get("/api/v1/captures").cookie(&server.demo().admin.cookie).send(server.address()).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

/// No row, no photo, no staging file, after a short grace.
#[track_caller]
pub fn assert_nothing_left(server: &Server) {
    let is_tidy = holds_within(GRACE, || files_of_store(server).is_empty() && rows_of_catalog(server).is_empty());
    assert!(is_tidy, "left behind: {:?} {:?}", files_of_store(server), rows_of_catalog(server));
}

/// The stable code of an error; empty where its body has none.
pub fn code_of(answer: &Response) -> String {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    body.and_then(|body| body["code"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// The answer is this refusal, and nothing of what was refused is left.
#[track_caller]
pub fn assert_refused(server: &Server, name: &str, answer: &Response, status: u16, code: &str) {
    assert_eq!((answer.status, code_of(answer).as_str()), (status, code), "{name}: {answer:?}");
    assert_nothing_left(server);
}

/// The answer stored exactly these photos, and each is served as it was sent.
#[track_caller]
pub fn assert_stored(server: &Server, name: &str, answer: &Response, photos: &[&[u8]]) -> Vec<Capture> {
    let captures = api::captures(answer).unwrap_or_else(|error| panic!("{name}: {error}"));
    let sums = |captures: &[Capture]| captures.iter().map(|capture| capture.sha256.clone()).collect::<Vec<_>>();
    let sent: Vec<String> = photos.iter().map(|photo| api::sha256(photo)).collect();
    assert_eq!(sums(&captures), sent, "{name}: {answer:?}");
    let mut api = server.participant();
    for (capture, photo) in captures.iter().zip(photos) {
        let file = api.file(&capture.filename).unwrap();
        assert!(file.status == 200 && file.body == *photo, "{name}: other bytes than sent: {file:?}");
    }
    captures
}

/// Deletes the participant's captures by the contract's own route; then nothing is left.
#[track_caller]
pub fn clear(server: &Server) {
    let participant = &server.demo().participant;
    let target = format!("/assessment/camera/cleanup/{}", participant.session_id);
    let answer = Request::post(&target).cookie(&participant.cookie).send(server.address()).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_nothing_left(server);
}

/// The participant's batch upload of this form.
pub fn batch(server: &Server, form: &Form) -> Request {
    Request::post("/assessment/camera/upload").cookie(&server.demo().participant.cookie).form(form)
}

/// The participant's batch upload of one frame that the demo's settings want.
pub fn upload_of(server: &Server, photo: &[u8]) -> Request {
    let participant = &server.demo().participant;
    api::upload_request(&participant.cookie, &participant.session_id, &[Shot::interval(photo.to_vec())])
}

/// A body in chunks of these sizes, the last size for all that is left.
pub fn chunked(body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chunk = |bytes: &[u8]| {
        if !bytes.is_empty() {
            out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
    };
    let (first, last) = sizes.split_at(sizes.len() - 1);
    let mut rest = body;
    for size in first {
        let (now, later) = rest.split_at(*size);
        chunk(now);
        rest = later;
    }
    rest.chunks(last[0]).for_each(&mut chunk);
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// A JPEG with a comment of these bytes, which a reader of images passes over.
pub fn with_comment(jpeg: &[u8], comment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(comment.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xFE], &length, comment, &jpeg[2..]].concat()
}

/// A JPEG whole in its structure, whose compressed picture is nonsense.
pub fn undecodable() -> Vec<u8> {
    let mut bytes = testkit::photo::jpeg(64, 48, 1);
    let scan = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
    let end = bytes.len() - 2;
    for (index, byte) in bytes[scan + 20..end].iter_mut().enumerate() {
        *byte = if index % 3 == 0 { 0x55 } else { 0xAA };
    }
    bytes
}
