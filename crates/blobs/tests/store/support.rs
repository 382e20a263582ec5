//! What the tests share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use blobs::{Blobs, BlobsOptions, Error, Part, PublishedBlob, Result, StagedBlob, key_at};

/// A moment in 2027, and the folder of its minute.
pub const NOW: i64 = 1_800_000_000;
pub const FOLDER: &str = "2027-01-15/0800";

/// A store of its own. The one place that names an engine: another one runs the same cases.
pub struct Store {
    pub blobs: Blobs,
    folder: tempfile::TempDir,
}

pub fn store() -> Store {
    store_with(BlobsOptions::default())
}

pub fn store_with(options: BlobsOptions) -> Store {
    let folder = tempfile::tempdir().unwrap();
    Store { blobs: Blobs::open(&folder.path().join("blobs"), options).unwrap(), folder }
}

impl Store {
    pub fn root(&self) -> PathBuf {
        self.blobs.root()
    }

    /// A folder beside the store, which no key may lead to.
    pub fn outside(&self) -> PathBuf {
        let outside = self.folder.path().join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        outside
    }

    pub async fn stage(&self, bytes: &[u8]) -> StagedBlob {
        let mut staging = self.blobs.stage();
        staging.write(bytes).await.unwrap();
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
