//! Publishing and deleting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::faults::{Fault, Retry};
use super::source::Source;
use super::{S3, multipart};
use crate::folder::split_key;
use crate::staging::{StagedBlob, sha256_of};
use crate::{Error, PublishedBlob, Result};

/// Photos of one batch on their way at once.
const BATCH_UPLOADS_MAX: usize = 8;

/// Our own note on an object: what its bytes must be.
const SHA256: &str = "sha256";

/// How an upload ended that did not end well.
struct Failure {
    key: String,
    error: Error,
    /// Whether bytes of ours may lie under the key all the same.
    may_be_there: bool,
}

impl S3 {
    /// All of them, or none. Goes on to its end also where nobody waits any more: half a batch would be left otherwise.
    pub(crate) async fn publish(self: &Arc<Self>, blobs: Vec<(StagedBlob, String)>) -> Result<Vec<PublishedBlob>> {
        for (_, key) in &blobs {
            split_key(key)?;
        }
        if let (true, Some(shipping)) = (self.options.ship_later, &self.shipping) {
            return self.publish_here(shipping, blobs).await;
        }
        let s3 = self.clone();
        let work = tokio::spawn(async move { s3.publish_all(blobs).await });
        work.await.map_err(|error| Error::Io(std::io::Error::other(error)))?
    }

    async fn publish_all(&self, blobs: Vec<(StagedBlob, String)>) -> Result<Vec<PublishedBlob>> {
        let has_failed = AtomicBool::new(false);
        let uploads = blobs.into_iter().map(|(staged, key)| {
            let has_failed = &has_failed;
            async move {
                if has_failed.load(Ordering::Relaxed) {
                    return Err(Failure { key, error: Error::NotFound, may_be_there: false });
                }
                let outcome = self.upload(staged, key).await;
                if outcome.is_err() {
                    has_failed.store(true, Ordering::Relaxed);
                }
                outcome
            }
        });
        let outcomes: Vec<_> = futures_util::stream::iter(uploads).buffered(BATCH_UPLOADS_MAX).collect().await;
        if outcomes.iter().all(Result::is_ok) {
            return Ok(outcomes.into_iter().filter_map(Result::ok).collect());
        }
        let (mut left, mut first) = (Vec::new(), None);
        for outcome in outcomes {
            match outcome {
                Ok(blob) => left.push(blob.key),
                Err(failure) => {
                    if failure.may_be_there {
                        left.push(failure.key);
                    }
                    // One that was not begun failed for another's sake.
                    if first.is_none() || !matches!(failure.error, Error::NotFound) {
                        first = Some(failure.error);
                    }
                }
            }
        }
        self.take_back(left).await;
        Err(first.unwrap_or(Error::NotFound))
    }

    /// Within the time for retries, whatever becomes of it.
    async fn take_back(&self, keys: Vec<String>) {
        let deletions = futures_util::stream::iter(keys).for_each_concurrent(BATCH_UPLOADS_MAX, |key| async move {
            if let Err(error) = self.delete(&key).await {
                tracing::warn!(%error, key, "a photo that was not answered could not be removed; recovery will set it aside");
            }
        });
        let limit = self.options.retry.max(std::time::Duration::from_secs(1));
        if tokio::time::timeout(limit, deletions).await.is_err() {
            tracing::warn!("photos that were not answered could not be removed in time; recovery will set them aside");
        }
    }

    async fn upload(&self, staged: StagedBlob, key: String) -> Result<PublishedBlob, Failure> {
        let mut may_be_there = false;
        let outcome = match staged.source().await {
            Ok((staged, source)) => {
                let outcome = self.upload_source(&source, &key, &mut may_be_there).await;
                // Its file goes with it, and not on this thread.
                if tokio::task::spawn_blocking(move || drop(staged)).await.is_err() {
                    tracing::warn!("a staging file could not be removed; the next start will");
                }
                outcome
            }
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(()) => Ok(PublishedBlob { key }),
            Err(fault) => {
                tracing::warn!(?fault, key, "a photo could not be put into the store");
                Err(Failure { key, may_be_there, error: fault.into() })
            }
        }
    }

    /// `may_be_there`: whether an earlier try may have arrived, before and after.
    pub(super) async fn upload_source(&self, source: &Source, key: &str, may_be_there: &mut bool) -> Result<(), Fault> {
        let _place = self.request_place().await?;
        let path = self.path(key);
        if source.size_bytes > multipart::PART_BYTES {
            return self.upload_in_parts(&path, source, may_be_there).await;
        }
        let _memory = self.hold_memory(source.size_bytes).await;
        let bytes = source.piece(0, source.size_bytes).await?;
        // What is sent is what was received: a disk that forgot some of it must not have the last word.
        if sha256_of(&mut bytes.as_slice()).map_err(Error::from)? != source.sha256 {
            return Err(Error::Damaged.into());
        }
        self.put(&path, bytes.into(), source.sha256, may_be_there).await
    }

    pub(super) async fn hold_memory(&self, bytes: u64) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        // Closed never.
        self.upload_memory.acquire_many(kib).await.ok()
    }

    /// Creates one object, trying again for as long as may be.
    async fn put(&self, path: &Path, bytes: Bytes, sha256: [u8; 32], may_be_there: &mut bool) -> Result<(), Fault> {
        let size_bytes = bytes.len() as u64;
        let mut retry = Retry::new(self.options.retry);
        loop {
            let asks = self.asks_to_create.load(Ordering::Relaxed);
            let options = PutOptions {
                mode: if asks { PutMode::Create } else { PutMode::Overwrite },
                attributes: noted(sha256),
                ..PutOptions::default()
            };
            let fault = match self.client.put_opts(path, PutPayload::from_bytes(bytes.clone()), options).await {
                Ok(_) => {
                    *may_be_there = true;
                    return Ok(());
                }
                Err(error) => Fault::from(error),
            };
            match fault {
                Fault::Transient(why) => {
                    *may_be_there = true;
                    if !retry.again(&why).await {
                        return Err(Fault::Transient(why));
                    }
                    self.metrics.retries.inc();
                }
                // An earlier try of ours may have arrived, and only its answer been lost.
                Fault::Exists if *may_be_there => {
                    *may_be_there = self.is_ours(path, size_bytes, sha256).await?;
                    return if *may_be_there { Ok(()) } else { Err(Fault::Exists) };
                }
                Fault::Unknown(words) if asks => {
                    tracing::info!(words, "this store creates without asking whether something is there");
                    self.asks_to_create.store(false, Ordering::Relaxed);
                }
                fault => return Err(fault),
            }
        }
    }

    /// Whether what lies there is what we sent.
    pub(super) async fn is_ours(&self, path: &Path, size_bytes: u64, sha256: [u8; 32]) -> Result<bool, Fault> {
        let head = || async {
            let options = GetOptions { head: true, ..GetOptions::default() };
            Ok(self.client.get_opts(path, options).await?)
        };
        match self.retrying(head).await {
            Ok(found) => {
                let noted = found.attributes.get(&Attribute::Metadata(SHA256.into()));
                Ok(found.meta.size == size_bytes && noted.is_some_and(|noted| **noted == *hex::encode(sha256)))
            }
            Err(Fault::NotFound) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    pub(crate) async fn holds(&self, key: &str, size_bytes: u64, sha256: [u8; 32]) -> Result<bool> {
        split_key(key)?;
        let _place = self.requests.place().await?;
        Ok(self.is_ours(&self.path(key), size_bytes, sha256).await?)
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        split_key(key)?;
        // The copy that waits here first: what ships it looks whether it is still there afterwards.
        let name = key.to_owned();
        self.here(move |folder| folder.delete(&name)).await?;
        let _place = self.requests.place().await?;
        Ok(self.remove(&self.path(key)).await?)
    }

    /// One that is not there is removed already.
    pub(super) async fn remove(&self, path: &Path) -> Result<(), Fault> {
        let remove = || async { Ok(self.client.delete(path).await?) };
        match self.retrying(remove).await {
            Ok(()) | Err(Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

/// The note of an object's SHA-256.
pub(super) fn noted(sha256: [u8; 32]) -> Attributes {
    Attributes::from_iter([(Attribute::Metadata(SHA256.into()), hex::encode(sha256))])
}
