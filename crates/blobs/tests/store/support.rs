//! What the tests share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use blobs::{Blobs, BlobsOptions, Error, Part, PublishedBlob, Result, S3Options, StagedBlob, key_at};
use bytes::Bytes;
use testkit::S3Server;

/// A moment in 2027, and the folder of its minute.
pub const NOW: i64 = 1_800_000_000;
pub const FOLDER: &str = "2027-01-15/0800";

/// What keeps the bytes. Every case of the contract runs over each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Folder,
    /// One in this process, or the one that `FILMGATE_TEST_S3_URL` names.
    S3,
}

/// A store of its own.
pub struct Store {
    pub blobs: Blobs,
    folder: tempfile::TempDir,
    bucket: Option<S3Options>,
    _s3: Option<S3Server>,
}

/// In a folder.
pub fn store() -> Store {
    store_with(BlobsOptions::default())
}

pub fn store_with(options: BlobsOptions) -> Store {
    Engine::Folder.store_with(options)
}

impl Engine {
    pub fn store(self) -> Store {
        self.store_with(BlobsOptions::default())
    }

    pub fn store_with(self, options: BlobsOptions) -> Store {
        let folder = tempfile::tempdir().unwrap();
        let (bucket, s3) = match self {
            Self::Folder => (None, None),
            Self::S3 => {
                let s3 = real_bucket().is_none().then(|| S3Server::start().unwrap());
                (real_bucket().or_else(|| s3.as_ref().map(bucket_of)), s3)
            }
        };
        let blobs = open(&folder.path().join("blobs"), options, bucket.as_ref());
        Store { blobs, folder, bucket, _s3: s3 }
    }
}

fn open(root: &Path, options: BlobsOptions, bucket: Option<&S3Options>) -> Blobs {
    match bucket {
        None => Blobs::open(root, options).unwrap(),
        Some(bucket) => Blobs::open_s3(root, options, bucket.clone()).unwrap(),
    }
}

/// The bucket of an S3 in this process, with times for tests.
pub fn bucket_of(s3: &S3Server) -> S3Options {
    S3Options {
        bucket: testkit::s3::BUCKET.to_owned(),
        prefix: "some/where".to_owned(),
        endpoint: Some(s3.endpoint()),
        region: "us-east-1".to_owned(),
        access_key_id: testkit::s3::ACCESS_KEY_ID.to_owned(),
        secret_access_key: testkit::s3::SECRET_ACCESS_KEY.to_owned(),
        path_style: true,
        timeout: Duration::from_secs(10),
        retry: Duration::from_secs(5),
        ship_later: false,
    }
}

/// The one that the environment names, as `s3://bucket`, and a prefix of its own in it.
fn real_bucket() -> Option<S3Options> {
    let url = std::env::var("FILMGATE_TEST_S3_URL").ok().filter(|url| !url.is_empty())?;
    let set = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} goes with FILMGATE_TEST_S3_URL"));
    let place = url.strip_prefix("s3://").expect("FILMGATE_TEST_S3_URL is s3://bucket");
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, "conformance"));
    Some(S3Options {
        bucket: bucket.to_owned(),
        prefix: format!("{prefix}/{}", uuid::Uuid::now_v7()),
        endpoint: Some(set("FILMGATE_TEST_S3_ENDPOINT")),
        region: std::env::var("FILMGATE_TEST_S3_REGION").unwrap_or_else(|_| "garage".to_owned()),
        access_key_id: set("FILMGATE_TEST_S3_KEY"),
        secret_access_key: set("FILMGATE_TEST_S3_SECRET"),
        path_style: true,
        timeout: Duration::from_secs(30),
        retry: Duration::from_secs(10),
        ship_later: false,
    })
}

impl Store {
    pub fn root(&self) -> PathBuf {
        self.blobs.root()
    }

    /// The same store, opened once more, otherwise.
    pub fn again(&self, options: BlobsOptions) -> Blobs {
        open(&self.root(), options, self.bucket.as_ref())
    }

    /// Whether the engine refuses to put something in the place of what is there. Filmgate's keys are unique by
    /// themselves, because not every S3 does, whatever it is asked.
    pub async fn refuses_to_replace(&self) -> bool {
        self.publish(b"one", &key("twice.jpg")).await.unwrap();
        let refuses = self.publish(b"two", &key("twice.jpg")).await.is_err();
        self.blobs.delete(key("twice.jpg")).await.unwrap();
        if !refuses {
            println!("NOT RUN: this S3 replaces what is there, though it is asked not to");
        }
        refuses
    }

    /// A folder beside the store, which no key may lead to.
    pub fn outside(&self) -> PathBuf {
        let outside = self.folder.path().join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        outside
    }

    pub async fn stage(&self, bytes: &[u8]) -> StagedBlob {
        let mut staging = self.blobs.stage();
        staging.write(Bytes::copy_from_slice(bytes)).await.unwrap();
        staging.finish(|_| ()).await.unwrap().0
    }

    pub async fn publish(&self, bytes: &[u8], key: &str) -> Result<Vec<PublishedBlob>> {
        self.blobs.publish(vec![(self.stage(bytes).await, key.to_owned())]).await
    }

    /// The bytes under a key, read as a request reads them.
    pub async fn read(&self, key: &str, sha256: [u8; 32]) -> Result<Vec<u8>> {
        let (mut file, size_bytes) = self.blobs.open_verified(key.to_owned(), Part::WHOLE, sha256).await?;
        let mut bytes = Vec::new();
        loop {
            let piece;
            (file, piece) = self.blobs.read_piece(file, 10_000).await?;
            if piece.is_empty() {
                assert_eq!(bytes.len() as u64, size_bytes);
                return Ok(bytes);
            }
            bytes.extend(piece);
        }
    }

    pub async fn is_there(&self, key: &str) -> bool {
        match self.blobs.look(key.to_owned(), Part::WHOLE, false).await {
            Ok(_) => true,
            Err(Error::NotFound) => false,
            Err(error) => panic!("{key}: {error}"),
        }
    }

    /// What the store says of itself under a metric's name.
    pub fn metric(&self, name: &str) -> f64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.blobs.register_metrics(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// No staging file and no disk work is left, once whoever ends them has had time to.
    pub async fn nothing_is_staged(&self) {
        let staging = self.root().join(".staging");
        let counted = || ["staging_files", "disk_active", "disk_queue"].map(|gauge| self.metric(gauge));
        for _ in 0..400 {
            if files_in(&staging).is_empty() && counted().iter().all(|count| count.abs() < 0.5) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("left in staging: {:?}, counted {:?}", files_in(&staging), counted());
    }
}

/// A key in [`FOLDER`].
pub fn key(name: &str) -> String {
    key_at(NOW, name)
}

/// Bytes that no other length shares.
pub fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31) ^ (at >> 7) ^ length).to_le_bytes()[0]).collect()
}

pub fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}
