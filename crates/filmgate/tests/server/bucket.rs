//! Photos in a bucket, with the whole program before it: where S3 is away, where it is told to ship later, where it is
//! asked to serve, and the copy from one store to another.

use std::path::Path;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use testkit::s3::Fault;
use testkit::server::{Server, ServerBuilder};
use testkit::{Request, S3Server, photo};

use crate::support::{
    Ran, assert_stored, builder, code_of, holds_within, program_on, ran, rows_of_catalog, unprocessed, upload_of,
};

const SOON: Duration = Duration::from_secs(20);

fn beside(s3: &S3Server) -> ServerBuilder {
    unprocessed(builder())
        .envs(&s3.envs())
        .env("FILMGATE__BLOBS__S3_TIMEOUT_MS", "1500")
        .env("FILMGATE__BLOBS__S3_RETRY_MS", "1000")
}

fn readiness(server: &Server) -> (u16, Value) {
    let answer = Request::get("/readyz").send(server.address()).unwrap();
    (answer.status, answer.json())
}

#[test]
fn a_store_that_is_away_is_a_503_and_nothing_is_half_visible() {
    let s3 = S3Server::start().unwrap();
    let server = beside(&s3).start().unwrap();
    let photo = photo::jpeg_bytes(60_000, 1);
    let stored =
        assert_stored(&server, "at first", &upload_of(&server, &photo).send(server.address()).unwrap(), &[&photo]);
    for fault in [Fault::Hangs, Fault::Busy, Fault::Cut] {
        for method in [Method::PUT, Method::GET, Method::HEAD, Method::DELETE] {
            s3.strike_too(fault, &method, "", usize::MAX);
        }
        let key = format!("the same one, {fault:?}").replace(' ', "-");
        let upload = upload_of(&server, &photo::jpeg_bytes(60_000, 2)).header("idempotency-key", &key);
        let began = Instant::now();
        let answer = upload.send(server.address()).unwrap();
        assert_eq!((answer.status, code_of(&answer).as_str()), (503, "storage_unavailable"), "{fault:?}: {answer:?}");
        assert!(answer.header("retry-after").is_some() && began.elapsed() < Duration::from_secs(8), "{fault:?}");
        let read = server.participant().file(&stored[0].filename).unwrap();
        assert_eq!((read.status, code_of(&read).as_str()), (503, "storage_unavailable"), "{fault:?}: {read:?}");
        assert!(read.header("retry-after").is_some());
        assert_eq!(readiness(&server).0, 503, "{fault:?}");
        let rows = rows_of_catalog(&server).len();
        s3.heal();
        assert_eq!(readiness(&server).0, 200, "{fault:?}: it heals by itself");
        assert!(upload.send(server.address()).unwrap().is_success(), "{fault:?}: the same once more");
        assert_eq!(rows_of_catalog(&server).len(), rows + 1, "{fault:?}: once");
    }
    assert_eq!(server.participant().file(&stored[0].filename).unwrap().body, photo);
    let published = s3.keys().iter().filter(|key| !key.contains(".quarantine")).count();
    assert_eq!(published, rows_of_catalog(&server).len(), "no photo without its row: {:?}", s3.keys());
    assert!(server.fsck(true).unwrap().is_clean());
}

#[test]
fn answered_by_this_node_and_shipped_later() {
    let s3 = S3Server::start().unwrap();
    let mut server = beside(&s3).env("FILMGATE__INGEST__DURABILITY", "node").start().unwrap();
    s3.strike(Fault::Busy, &Method::PUT, "", usize::MAX);
    let photo = photo::jpeg_bytes(60_000, 1);
    let answer = upload_of(&server, &photo).send(server.address()).unwrap();
    let stored = assert_stored(&server, "while S3 is away", &answer, &[&photo]);
    assert!(s3.keys().is_empty());
    assert_eq!(readiness(&server).0, 200, "uploads go on");
    let metrics = Request::get("/metrics").send(server.address()).unwrap().text();
    assert!(metrics.contains("filmgate_blobs_shipping_queue 1"), "{metrics}");
    server.kill();
    let server = server.start_again().unwrap();
    assert_eq!(server.participant().file(&stored[0].filename).unwrap().body, photo, "after a kill, from here");
    s3.heal();
    assert!(holds_within(SOON, || s3.keys().len() == 1), "{:?}", s3.keys());
    assert_eq!(server.participant().file(&stored[0].filename).unwrap().body, photo, "from there");
    assert!(server.fsck(true).unwrap().is_clean());

    // Another node, with the same catalog and a disk of its own, has not got what waits here.
    s3.strike(Fault::Busy, &Method::PUT, "", usize::MAX);
    let waiting = photo::jpeg_bytes(60_000, 2);
    let answer = upload_of(&server, &waiting).send(server.address()).unwrap();
    let waiting = assert_stored(&server, "while S3 is away", &answer, &[&waiting]).remove(0);
    let mut server = server;
    server.terminate(SOON).unwrap();
    let here = server.data().join("blobs/.shipping");
    let elsewhere = server.data().join("elsewhere");
    std::fs::rename(&here, &elsewhere).unwrap();
    let mut other = server.start_again().unwrap();
    let read = other.participant().file(&waiting.filename).unwrap();
    assert_eq!((read.status, code_of(&read).as_str()), (503, "not_shipped_yet"), "{read:?}");
    assert!(read.header("retry-after").is_some());
    other.terminate(SOON).unwrap();
    std::fs::remove_dir_all(&here).unwrap();
    std::fs::rename(&elsewhere, &here).unwrap();
    s3.heal();
    let server = server.start_again().unwrap();
    assert!(holds_within(SOON, || s3.keys().len() == 2), "{:?}", s3.keys());
    assert_eq!(server.participant().file(&waiting.filename).unwrap().status, 200);
}

#[test]
fn originals_by_a_signed_address_where_policy_says_so() {
    let s3 = S3Server::start().unwrap();
    let server = beside(&s3).env("FILMGATE__BLOBS__SERVE", "redirect").start().unwrap();
    let photo = photo::jpeg_bytes(60_000, 1);
    let answer = upload_of(&server, &photo).send(server.address()).unwrap();
    let filename = testkit::api::captures(&answer).unwrap().remove(0).filename;
    let request = |method: &str| {
        Request::new(method, &format!("/assessment/camera/file/{filename}")).cookie(&server.demo().participant.cookie)
    };
    let answer = request("GET").send(server.address()).unwrap();
    assert_eq!(answer.status, 307, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let target = answer.header("location").unwrap().strip_prefix(&s3.endpoint()).unwrap().to_owned();
    let there = Request::get(&target).send(s3.address()).unwrap();
    assert_eq!((there.status, there.header("content-type")), (200, Some("image/jpeg")), "{there:?}");
    assert!(there.header("content-disposition").unwrap().contains(&filename), "{there:?}");
    assert_eq!(there.body, photo);
    let forged = Request::get(&target.replace(&filename, "other.jpg")).send(s3.address()).unwrap();
    assert_eq!(forged.status, 403, "signed for this photo alone");
    assert_eq!(request("HEAD").send(server.address()).unwrap().status, 200, "a signature is for one method");
    let known = format!("\"{}\"", testkit::api::sha256(&photo));
    assert_eq!(request("GET").header("if-none-match", &known).send(server.address()).unwrap().status, 304);
    let stranger = Request::get(&format!("/assessment/camera/file/{filename}")).send(server.address()).unwrap();
    assert_eq!(stranger.status, 401);
    let page = Request::get("/").send(server.address()).unwrap();
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains(&format!("img-src 'self' blob: {};", s3.endpoint())), "{policy}");
}

/// Runs `filmgate blobs copy` on a data folder; its report.
fn copy(data: &Path, envs: &[(String, String)], args: &[&str]) -> (i32, Value) {
    let run = |more: &[&str]| -> Ran {
        let mut command = program_on(data);
        command.args(["blobs", "copy", "--data"]).arg(data).args(args).args(more);
        command.envs(envs.iter().map(|(name, value)| (name, value))).env("FILMGATE__BLOBS__URL", "");
        ran(&mut command)
    };
    let ran = run(&["--json"]);
    assert_eq!(ran.err, "", "{ran:?}");
    (ran.status, serde_json::from_str(&ran.out).unwrap())
}

#[test]
fn a_store_is_copied_to_another_and_back() {
    let s3 = S3Server::start().unwrap();
    let bucket = format!("s3://{}", testkit::s3::BUCKET);
    // Processed: derivatives are copied too.
    let mut server = builder().env("FILMGATE__BLOBS__URL", "").start().unwrap();
    let data = server.data().to_owned();
    let photos: Vec<Vec<u8>> = (0..5).map(|seed| photo::jpeg(320, 240, seed)).collect();
    let mut api = server.participant();
    let sent = crate::processed::processed(&server, &mut api, &photos);
    let to = ["--to", bucket.as_str()];
    let (status, planned) = copy(&data, &s3.envs(), &[&to[..], &["--dry-run"]].concat());
    assert_eq!((status, &planned["copied"], &planned["captures"]), (0, &json!(10), &json!(5)), "{planned}");
    assert!(s3.keys().is_empty(), "a dry run writes nothing");
    // Cut off in the middle, beside the running server.
    s3.strike(Fault::Cut, &Method::PUT, "derivatives", usize::MAX);
    let quick = ("FILMGATE__BLOBS__S3_RETRY_MS".to_owned(), "300".to_owned());
    let envs = [s3.envs(), vec![quick]].concat();
    let (status, cut) = copy(&data, &envs, &to);
    assert_eq!((status, &cut["copied"], cut["failed"].as_array().unwrap().len()), (1, &json!(5), 5), "{cut}");
    s3.heal();
    let (status, resumed) = copy(&data, &envs, &to);
    assert_eq!((status, &resumed["copied"], &resumed["skipped"]), (0, &json!(5), &json!(5)), "{resumed}");
    let late = photo::jpeg(320, 240, 9);
    crate::processed::processed(&server, &mut api, std::slice::from_ref(&late));
    server.terminate(SOON).unwrap();
    let (status, last) = copy(&data, &envs, &[&to[..], &["--deep"]].concat());
    assert_eq!((status, &last["copied"], &last["skipped"]), (0, &json!(2), &json!(10)), "{last}");
    assert_eq!(s3.keys().len(), 12);

    // The catalog moves on with the bucket.
    let moved = server.builder().envs(&s3.envs()).env("FILMGATE__BLOBS__URL", &bucket).start().unwrap();
    let mut api = moved.participant();
    for ((filename, _), photo) in sent.iter().zip(&photos) {
        assert_eq!(api.file(filename).unwrap().body, *photo);
        let thumb = crate::processed::fetch(&api, filename, "?size=thumb", &[]);
        assert_eq!(thumb.status, 200, "{thumb:?}");
    }
    assert!(moved.fsck(true).unwrap().is_clean());
    drop(moved);

    // Damaged on the way out: named, and not copied. Damaged there: written anew.
    let victim = s3.keys().into_iter().find(|key| !key.contains("derivatives")).unwrap();
    let there = data.join("blobs").join(&victim);
    let whole = std::fs::read(&there).unwrap();
    std::fs::write(&there, &whole[1..]).unwrap();
    std::fs::write(s3.object(&victim), b"half").unwrap();
    let (status, damaged) = copy(&data, &envs, &to);
    assert_eq!((status, &damaged["failed"][0]["key"]), (1, &json!(victim)), "{damaged}");
    std::fs::write(&there, &whole).unwrap();
    let (status, again) = copy(&data, &envs, &to);
    assert_eq!((status, &again["copied"]), (0, &json!(1)), "{again}");
    assert_eq!(std::fs::read(s3.object(&victim)).unwrap(), whole);

    // And back, into a folder that is not there yet.
    let back = data.join("back");
    let folder = format!("file:{}", back.display());
    let (status, back_again) = copy(&data, &envs, &["--from", &bucket, "--to", &folder]);
    assert_eq!((status, &back_again["copied"]), (0, &json!(12)), "{back_again}");
    assert_eq!(std::fs::read(back.join(&victim)).unwrap(), whole);
    let strays: Vec<_> = std::fs::read_dir(&data).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(strays.iter().all(|name| !name.to_string_lossy().starts_with(".copy")), "{strays:?}");
}
