//! Answered on this node's disk, shipped to the bucket afterwards.

use std::time::Duration;

use blobs::{Blobs, BlobsOptions, Error, Part, S3Options, key_at};
use bytes::Bytes;
use http::Method;
use sha2::{Digest, Sha256};
use testkit::S3Server;
use testkit::s3::Fault;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::{bucket_of, bytes};

/// A node: its folder outlives it.
struct Node {
    blobs: Blobs,
    stop: watch::Sender<bool>,
    shipping: Option<JoinHandle<()>>,
}

impl Node {
    fn new(s3: &S3Server, folder: &std::path::Path) -> Self {
        let options = S3Options { retry: Duration::from_millis(200), timeout: Duration::from_secs(2), ..bucket_of(s3) };
        let options = S3Options { ship_later: true, ..options };
        let blobs = Blobs::open_s3(folder, BlobsOptions::default(), options).unwrap();
        Self { blobs, stop: watch::Sender::new(false), shipping: None }
    }

    fn ship(&mut self) {
        let (blobs, stop) = (self.blobs.clone(), self.stop.subscribe());
        self.shipping = Some(tokio::spawn(async move { blobs.ship(stop).await }));
    }

    async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(shipping) = self.shipping.take() {
            shipping.await.unwrap();
        }
    }

    async fn publish(&self, key: &str, bytes: &[u8]) {
        let mut staging = self.blobs.stage();
        staging.write(Bytes::copy_from_slice(bytes)).await.unwrap();
        let (staged, ()) = staging.finish(|_| ()).await.unwrap();
        self.blobs.publish(vec![(staged, key.to_owned())]).await.unwrap();
    }

    async fn read(&self, key: &str, whole: &[u8]) -> Result<Vec<u8>, Error> {
        let sha256 = Sha256::digest(whole).into();
        let (file, length) = self.blobs.open_verified(key.to_owned(), Part::WHOLE, sha256).await?;
        Ok(self.blobs.read_piece(file, usize::try_from(length).unwrap()).await?.1)
    }

    async fn all_is_shipped(&self) {
        for _ in 0..1000 {
            if self.blobs.shipping_queue().await.unwrap().photos == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still waiting: {:?}", self.blobs.shipping_queue().await);
    }
}

fn key(name: &str) -> String {
    key_at(jiff::Timestamp::now().as_second(), name)
}

#[tokio::test]
async fn what_was_answered_is_read_here_until_it_is_shipped_and_there_afterwards() {
    let s3 = S3Server::start().unwrap();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut one, two) = (Node::new(&s3, one.path()), Node::new(&s3, two.path()));
    let (key, whole) = (key("a.jpg"), bytes(100_000));
    // Not even a store that is away keeps an upload from its answer.
    s3.strike(Fault::Broken, &Method::PUT, "", usize::MAX);
    one.publish(&key, &whole).await;
    assert_eq!(one.read(&key, &whole).await.unwrap(), whole);
    assert_eq!(one.blobs.look(key.clone(), Part::WHOLE, true).await.unwrap().size_bytes, 100_000);
    let listed = one.blobs.list(key.rsplit_once('/').unwrap().0.to_owned()).await.unwrap();
    assert_eq!(listed.len(), 1);
    let waiting = one.blobs.shipping_queue().await.unwrap();
    assert_eq!((waiting.photos, waiting.bytes), (1, 100_000));
    for error in
        [two.read(&key, &whole).await.unwrap_err(), two.blobs.look(key.clone(), Part::WHOLE, false).await.unwrap_err()]
    {
        assert!(matches!(error, Error::NotShipped), "{error}");
    }
    // However long the node that took it has been away: what is called lost is set aside.
    let long_ago = two.blobs.look(key_at(1_700_000_000, "a.jpg"), Part::WHOLE, false).await.unwrap_err();
    assert!(matches!(long_ago, Error::NotShipped), "{long_ago}");

    one.ship();
    while s3.struck() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(one.read(&key, &whole).await.unwrap(), whole, "a try that failed costs nothing");
    s3.heal();
    one.all_is_shipped().await;
    for node in [&one, &two] {
        assert_eq!(node.read(&key, &whole).await.unwrap(), whole);
        assert_eq!(node.blobs.list(key.rsplit_once('/').unwrap().0.to_owned()).await.unwrap().len(), 1);
    }
    assert_eq!(s3.keys(), [format!("some/where/{key}")]);
    one.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_wherever_it_was_cut_off() {
    let s3 = S3Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let photos: Vec<(String, Vec<u8>)> =
        (0..20).map(|number| (key(&format!("{number}.jpg")), bytes(1000 + number))).collect();
    let node = Node::new(&s3, folder.path());
    for (key, bytes) in &photos {
        node.publish(key, bytes).await;
    }
    node.stop().await;
    // Cut off again and again: before the first, after a PUT whose answer was lost, between PUT and the copy's end.
    for patience in [0, 5, 20, 50] {
        let mut node = Node::new(&s3, folder.path());
        s3.strike(Fault::AnswerLost, &Method::PUT, "7.jpg", 1);
        node.ship();
        tokio::time::sleep(Duration::from_millis(patience)).await;
        node.shipping.take().unwrap().abort();
    }
    s3.heal();
    let mut node = Node::new(&s3, folder.path());
    for (key, bytes) in &photos {
        assert_eq!(node.read(key, bytes).await.unwrap(), *bytes);
    }
    node.ship();
    node.all_is_shipped().await;
    assert_eq!(s3.keys().len(), photos.len());
    for (key, bytes) in &photos {
        assert_eq!(node.read(key, bytes).await.unwrap(), *bytes);
    }
    node.stop().await;
}

#[tokio::test]
async fn what_was_deleted_does_not_come_back() {
    let s3 = S3Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::new(&s3, folder.path());
    // Before it is shipped.
    let early = key("early.jpg");
    node.publish(&early, b"photo").await;
    node.blobs.delete(early.clone()).await.unwrap();
    assert!(matches!(node.read(&early, b"photo").await.unwrap_err(), Error::NotShipped | Error::NotFound));
    // While it is under way: its PUT has no answer yet.
    let late = key("late.jpg");
    s3.strike(Fault::Hangs, &Method::PUT, "late.jpg", 1);
    node.publish(&late, b"photo").await;
    node.ship();
    while s3.struck() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.blobs.delete(late.clone()).await.unwrap();
    // The try after it goes through, and what it put is taken away again.
    let puts = |requests: Vec<(Method, String)>| requests.iter().filter(|(method, _)| method == Method::PUT).count();
    let mut seen = 0;
    for _ in 0..600 {
        seen += puts(s3.requests());
        if seen >= 1 && s3.keys().is_empty() && node.blobs.shipping_queue().await.unwrap().photos == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(3000)).await;
    assert_eq!(s3.keys(), [""; 0]);
    // Afterwards.
    let after = key("after.jpg");
    node.publish(&after, b"photo").await;
    node.all_is_shipped().await;
    node.blobs.delete(after.clone()).await.unwrap();
    assert_eq!(s3.keys(), [""; 0]);
    node.stop().await;
}
