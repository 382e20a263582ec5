//! What a bucket must do besides: above all where the S3 behind it hangs, is busy, or answers into the void.

use std::time::{Duration, Instant};

use blobs::{Blobs, BlobsOptions, Error, Part, S3Options};
use http::Method;
use sha2::{Digest, Sha256};
use testkit::S3Server;
use testkit::s3::Fault;

use crate::support::{bucket_of, bytes, files_in, key};

/// Times that a test has the patience for.
const TIMEOUT: Duration = Duration::from_millis(700);
const RETRY: Duration = Duration::from_millis(600);

struct Bucket {
    s3: S3Server,
    blobs: Blobs,
    _folder: tempfile::TempDir,
}

fn bucket() -> Bucket {
    bucket_with(RETRY)
}

fn bucket_with(retry: Duration) -> Bucket {
    let s3 = S3Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = S3Options { timeout: TIMEOUT, retry, ..bucket_of(&s3) };
    let blobs = Blobs::open_s3(folder.path(), BlobsOptions::default(), options).unwrap();
    Bucket { s3, blobs, _folder: folder }
}

impl Bucket {
    /// So many photos of so many bytes, as one batch.
    async fn publish(&self, photos: usize, length: usize) -> Result<Vec<blobs::PublishedBlob>, Error> {
        let mut batch = Vec::new();
        for number in 0..photos {
            let mut staging = self.blobs.stage();
            staging.write(bytes(length + number).into()).await.unwrap();
            let (staged, ()) = staging.finish(|_| ()).await.unwrap();
            batch.push((staged, key(&format!("{number}.jpg"))));
        }
        self.blobs.publish(batch).await
    }

    fn nothing_is_staged(&self) {
        assert!(files_in(&self.blobs.root().join(".staging")).is_empty());
    }

    async fn read(&self, name: &str, whole: &[u8]) -> Result<Vec<u8>, Error> {
        let (file, length) = self.blobs.open_verified(key(name), Part::WHOLE, Sha256::digest(whole).into()).await?;
        let (_, read) = self.blobs.read_piece(file, usize::try_from(length).unwrap()).await?;
        Ok(read)
    }
}

fn is_unavailable<T>(outcome: Result<T, Error>) -> bool {
    match outcome {
        // It is logged: no log at its usual level names a photo.
        Err(Error::Unavailable(why)) => !why.contains(".jpg") || panic!("it names a photo: {why}"),
        Err(error) => panic!("{error}"),
        Ok(_) => false,
    }
}

/// A fault that lasts: an error within the time, nothing published, and all is well once it is over.
async fn check_lasting(fault: Fault) {
    let bucket = bucket();
    bucket.publish(1, 10).await.unwrap();
    for method in [Method::PUT, Method::GET, Method::HEAD, Method::DELETE] {
        bucket.s3.strike(fault, &method, "", usize::MAX);
        let began = Instant::now();
        let outcome = match method {
            Method::PUT => bucket.blobs.quarantine_note("n.json".to_owned(), String::new()).await,
            Method::GET => bucket.read("0.jpg", &bytes(10)).await.map(|_| ()),
            Method::HEAD => bucket.blobs.look(key("0.jpg"), Part::WHOLE, false).await.map(|_| ()),
            _ => bucket.blobs.delete(key("0.jpg")).await,
        };
        assert!(is_unavailable(outcome), "{fault:?} of {method}");
        let took = began.elapsed();
        assert!(took < TIMEOUT + RETRY + Duration::from_millis(500), "{fault:?} of {method} took {took:?}");
        assert!(bucket.s3.struck() > 0, "{fault:?} of {method}");
    }
    bucket.s3.heal();
    assert_eq!(bucket.read("0.jpg", &bytes(10)).await.unwrap(), bytes(10), "{fault:?}");
    bucket.blobs.delete(key("0.jpg")).await.unwrap();

    bucket.s3.strike(fault, &Method::PUT, "/2.jpg", usize::MAX);
    let began = Instant::now();
    assert!(is_unavailable(bucket.publish(4, 10).await), "{fault:?}");
    let took = began.elapsed();
    assert!(took < 2 * (TIMEOUT + RETRY) + Duration::from_millis(500), "{fault:?} took {took:?}");
    assert!(bucket.s3.keys().iter().all(|key| key.ends_with("n.json")), "{fault:?}: {:?}", bucket.s3.keys());
    bucket.nothing_is_staged();
    bucket.s3.heal();
    bucket.publish(4, 10).await.unwrap();
    assert_eq!(bucket.s3.keys().len(), 4);
}

#[tokio::test]
async fn one_that_hangs() {
    check_lasting(Fault::Hangs).await;
}

#[tokio::test]
async fn one_that_is_busy() {
    check_lasting(Fault::Busy).await;
}

#[tokio::test]
async fn one_that_is_broken() {
    check_lasting(Fault::Broken).await;
}

#[tokio::test]
async fn one_that_cuts_connections() {
    check_lasting(Fault::Cut).await;
}

#[tokio::test]
async fn one_whose_answers_are_lost_for_good_keeps_nothing() {
    let bucket = bucket();
    bucket.s3.strike(Fault::AnswerLost, &Method::PUT, "/1.jpg", usize::MAX);
    // It is there, and nobody said so: no success, and so it is taken back.
    assert!(is_unavailable(bucket.publish(3, 10).await));
    assert!(bucket.s3.struck() > 1);
    assert_eq!(bucket.s3.keys(), [""; 0]);
    // Said at the second try, which finds what the first left.
    bucket.s3.strike(Fault::AnswerLost, &Method::PUT, "/1.jpg", 1);
    bucket.publish(3, 10).await.unwrap();
    assert_eq!((bucket.s3.struck(), bucket.s3.keys().len()), (1, 3));
}

#[tokio::test]
async fn faults_that_pass_are_tried_through() {
    let bucket = bucket_with(Duration::from_secs(20));
    for fault in [Fault::Busy, Fault::Broken, Fault::Cut, Fault::Hangs, Fault::AnswerLost] {
        for method in [Method::PUT, Method::GET, Method::HEAD, Method::DELETE] {
            bucket.s3.strike(fault, &method, "0.jpg", 2);
            bucket.publish(2, 1000).await.unwrap_or_else(|error| panic!("{fault:?} of {method}: {error}"));
            assert_eq!(bucket.read("0.jpg", &bytes(1000)).await.unwrap(), bytes(1000), "{fault:?} of {method}");
            let found = bucket.blobs.look(key("0.jpg"), Part::WHOLE, false).await.unwrap();
            assert_eq!(found.size_bytes, 1000);
            for name in ["0.jpg", "1.jpg"] {
                bucket.blobs.delete(key(name)).await.unwrap();
            }
            assert!(bucket.s3.struck() >= 1, "{fault:?} of {method}");
            assert_eq!(bucket.s3.keys(), [""; 0], "{fault:?} of {method}");
        }
    }
    bucket.nothing_is_staged();
}

/// The answer was lost, and meanwhile another one, with other bytes, has taken the place.
#[tokio::test]
async fn what_is_anothers_is_neither_counted_as_ours_nor_taken_away() {
    let bucket = bucket();
    bucket.publish(1, 10).await.unwrap();
    let was = std::fs::read(bucket.s3.object(&format!("some/where/{}", key("0.jpg")))).unwrap();
    bucket.s3.strike(Fault::Cut, &Method::PUT, "0.jpg", 1);
    let mut staging = bucket.blobs.stage();
    staging.write("other bytes".into()).await.unwrap();
    let (staged, ()) = staging.finish(|_| ()).await.unwrap();
    let error = bucket.blobs.publish(vec![(staged, key("0.jpg"))]).await.unwrap_err();
    assert!(matches!(&error, Error::Io(error) if error.kind() == std::io::ErrorKind::AlreadyExists), "{error}");
    assert_eq!(bucket.s3.struck(), 1);
    assert_eq!(std::fs::read(bucket.s3.object(&format!("some/where/{}", key("0.jpg")))).unwrap(), was);
}

#[tokio::test]
async fn damage_on_the_way_is_not_damage_in_the_store() {
    let bucket = bucket();
    for length in [1000, 1_000_000] {
        bucket.publish(1, length).await.unwrap();
        bucket.s3.strike(Fault::Damaged, &Method::GET, "0.jpg", 1);
        assert_eq!(bucket.read("0.jpg", &bytes(length)).await.unwrap(), bytes(length));
        assert_eq!(bucket.s3.struck(), 1);
        bucket.s3.strike(Fault::Damaged, &Method::GET, "0.jpg", usize::MAX);
        let error = bucket.read("0.jpg", &bytes(length)).await.unwrap_err();
        assert!(matches!(error, Error::Damaged), "{error}");
        bucket.s3.heal();
        bucket.blobs.delete(key("0.jpg")).await.unwrap();
    }
}

/// In parts: what failed is aborted, what a crash left is found.
#[tokio::test]
async fn uploads_in_parts_leave_nothing() {
    const LENGTH: usize = 17 << 20;
    let s3 = S3Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = S3Options { timeout: Duration::from_secs(20), retry: Duration::from_millis(900), ..bucket_of(&s3) };
    let blobs = Blobs::open_s3(folder.path(), BlobsOptions::default(), options).unwrap();
    let bucket = Bucket { s3, blobs, _folder: folder };
    for (fault, method, part) in [
        (Fault::Busy, Method::POST, "uploads"),
        (Fault::Busy, Method::PUT, "partNumber=2"),
        (Fault::Cut, Method::PUT, "partNumber=3"),
        (Fault::Busy, Method::POST, "uploadId"),
    ] {
        bucket.s3.strike(fault, &method, part, usize::MAX);
        assert!(is_unavailable(bucket.publish(1, LENGTH).await), "{fault:?} of {part}");
        assert!(bucket.s3.struck() > 0, "{part}");
        assert_eq!(bucket.s3.keys(), [""; 0], "{fault:?} of {part}");
        bucket.s3.heal();
        assert_eq!(bucket.blobs.abort_abandoned(Duration::ZERO).await.unwrap(), 0, "{fault:?} of {part}: aborted");
    }
    // Done, and its answer lost: the second try finds no such upload, and the look finds ours.
    bucket.s3.strike(Fault::AnswerLost, &Method::POST, "uploadId", 1);
    bucket.publish(1, LENGTH).await.unwrap();
    assert_eq!(bucket.s3.struck(), 1);
    assert_eq!(bucket.read("0.jpg", &bytes(LENGTH)).await.unwrap(), bytes(LENGTH));
    bucket.blobs.delete(key("0.jpg")).await.unwrap();
    // Not even the abort goes through, as where a node dies: a later sweep finds it.
    bucket.s3.strike(Fault::Busy, &Method::PUT, "partNumber=2", usize::MAX);
    bucket.s3.strike_too(Fault::Busy, &Method::DELETE, "uploadId", usize::MAX);
    assert!(is_unavailable(bucket.publish(1, LENGTH).await));
    bucket.s3.heal();
    for (age, aborted) in [(Duration::from_secs(3600), 0), (Duration::ZERO, 1), (Duration::ZERO, 0)] {
        assert_eq!(bucket.blobs.abort_abandoned(age).await.unwrap(), aborted, "older than {age:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_without_the_operator_is_said_at_once() {
    let bucket = bucket();
    let began = Instant::now();
    bucket.s3.strike(Fault::Skewed, &Method::PUT, "", usize::MAX);
    let error = bucket.publish(1, 10).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("clock")), "{error}");
    bucket.s3.heal();
    let wrong = |change: fn(&mut S3Options)| {
        let mut options = S3Options { timeout: TIMEOUT, retry: RETRY, ..bucket_of(&bucket.s3) };
        change(&mut options);
        Blobs::open_s3(&bucket.blobs.root(), BlobsOptions::default(), options).unwrap()
    };
    for (name, blobs) in [
        ("key", wrong(|options| options.access_key_id = "nobody".to_owned())),
        ("secret", wrong(|options| options.secret_access_key = "wrong".to_owned())),
        ("bucket", wrong(|options| options.bucket = "other".to_owned())),
    ] {
        let error = blobs.open_verified(key("0.jpg"), Part::WHOLE, [0; 32]).await.unwrap_err();
        // s3s-fs does not tell a bucket that is not there from an object that is not.
        let is_told = matches!(error, Error::Unavailable(_)) || name == "bucket";
        assert!(is_told, "{name}: {error}");
        let error = blobs.time_folders().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{name}: {error}");
        assert!(!error.to_string().contains("wrong"), "no secret is told: {error}");
    }
    assert!(began.elapsed() < RETRY * 4, "nothing of it is tried again: {:?}", began.elapsed());
}

#[tokio::test]
async fn nobody_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bucket = bucket();
    let options =
        S3Options { endpoint: Some(format!("http://127.0.0.1:{port}")), retry: RETRY, ..bucket_of(&bucket.s3) };
    let nobody = Blobs::open_s3(&bucket.blobs.root(), BlobsOptions::default(), options).unwrap();
    let began = Instant::now();
    assert!(is_unavailable(nobody.time_folders().await));
    assert!(began.elapsed() < RETRY + Duration::from_millis(500), "{:?}", began.elapsed());
}
