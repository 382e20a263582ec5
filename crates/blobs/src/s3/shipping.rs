//! Answered here, shipped later: photos are durable on this node's disk first, and in the bucket afterwards.
//!
//! What waits is a folder like any other store's, `.shipping`: a restart finds all of it there. Until a photo is shipped
//! this node reads its own copy, and another one has none.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::StreamExt;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};

use super::source::Source;
use super::{Fault, S3};
use crate::folder::{Folder, time_folder};
use crate::staging::{StagedBlob, sha256_of};
use crate::{Error, Part, PublishedBlob, Result};

/// The folder of what waits, below that of staging files.
const SHIPPING: &str = ".shipping";

/// Photos shipped at once: uploads that are answered at once come first.
const SHIPPED_AT_ONCE: usize = 4;

/// Waits after a round in which something failed, and before one that nothing asked for.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(30);

/// Folders of minutes that are over for so long get no photo any more.
const OVER: i64 = 2 * 3600;

/// What waits on this node.
pub(crate) struct Shipping {
    pub(super) folder: Arc<Folder>,
    woken: Notify,
    queue: Gauge,
    bytes: Gauge,
    oldest_seconds: Gauge<f64, AtomicU64>,
}

/// Photos that wait to be shipped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waiting {
    /// How many.
    pub photos: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
}

impl Shipping {
    /// Whether an earlier run left some.
    pub(super) fn is_there(staging: &Folder) -> bool {
        staging.root.join(SHIPPING).is_dir()
    }

    pub(super) fn open(staging: &Folder) -> Result<Self> {
        let (options, metrics) = (staging.options.clone(), staging.metrics.clone());
        let folder = Arc::new(Folder::open(&staging.root.join(SHIPPING), options, metrics)?);
        let (queue, bytes) = (Gauge::default(), Gauge::default());
        Ok(Self { folder, woken: Notify::new(), queue, bytes, oldest_seconds: Gauge::default() })
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("blobs_shipping_queue", "Answered photos that S3 does not have yet", self.queue.clone());
        registry.register("blobs_shipping_bytes", "Their bytes", self.bytes.clone());
        registry.register(
            "blobs_shipping_oldest_seconds",
            "How long the oldest of them has waited",
            self.oldest_seconds.clone(),
        );
    }
}

impl S3 {
    /// Durable on this disk, and on their way.
    pub(super) async fn publish_here(
        &self,
        shipping: &Shipping,
        blobs: Vec<(StagedBlob, String)>,
    ) -> Result<Vec<PublishedBlob>> {
        let bytes: u64 = blobs.iter().map(|(staged, _)| staged.size_bytes).sum();
        let folder = shipping.folder.clone();
        let published = self.disk.run(move || folder.publish(blobs)).await?;
        shipping.queue.inc_by(i64::try_from(published.len()).unwrap_or(0));
        shipping.bytes.inc_by(i64::try_from(bytes).unwrap_or(0));
        shipping.woken.notify_one();
        Ok(published)
    }

    /// Asks the copy that waits here, if there is one: `None` where there is none.
    pub(super) async fn here<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let Some(shipping) = &self.shipping else { return Ok(None) };
        let folder = shipping.folder.clone();
        match self.disk.run(move || work(&folder)).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is not in the bucket may still wait on the node that took it, however long that has been away: to call it
    /// lost would have its row set aside, and its bytes with it when they arrive.
    pub(super) fn absent(&self) -> Error {
        if self.options.ship_later { Error::NotShipped } else { Error::NotFound }
    }

    /// Ships what waits, and what comes, until it is told to stop.
    pub(crate) async fn ship(&self, mut stop: watch::Receiver<bool>) {
        let Some(shipping) = &self.shipping else { return };
        loop {
            let wait = match self.ship_all(shipping, &stop).await {
                Ok(0) => IDLE,
                Ok(_) => AFTER_FAILURE,
                Err(error) => {
                    tracing::error!(%error, "what waits to be shipped cannot be read");
                    AFTER_FAILURE
                }
            };
            let woken = async {
                if wait == IDLE {
                    shipping.woken.notified().await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = woken => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One round; how many could not be shipped.
    async fn ship_all(&self, shipping: &Shipping, stop: &watch::Receiver<bool>) -> Result<usize> {
        let (waiting, keys) = self.waiting(shipping).await?;
        shipping.queue.set(i64::try_from(waiting.photos).unwrap_or(i64::MAX));
        shipping.bytes.set(i64::try_from(waiting.bytes).unwrap_or(i64::MAX));
        shipping.oldest_seconds.set(waiting.oldest.as_secs_f64());
        let failed = futures_util::stream::iter(keys)
            .map(|key| async move {
                if *stop.borrow() {
                    return 0;
                }
                match self.ship_one(shipping, &key).await {
                    Ok(bytes) => {
                        shipping.queue.dec();
                        shipping.bytes.dec_by(i64::try_from(bytes).unwrap_or(0));
                        0
                    }
                    // Deleted meanwhile.
                    Err(Error::NotFound) => 0,
                    Err(error) => {
                        tracing::warn!(%error, key, "a photo could not be shipped; it stays here and is tried again");
                        1
                    }
                }
            })
            .buffer_unordered(SHIPPED_AT_ONCE)
            .fold(0, |failed, more| async move { failed + more })
            .await;
        let over = time_folder(jiff::Timestamp::now().as_second() - OVER);
        let folder = shipping.folder.clone();
        self.disk.run(move || folder.remove_empty_before(&over)).await?;
        Ok(failed)
    }

    /// All that waits, and the keys, oldest first.
    async fn waiting(&self, shipping: &Shipping) -> Result<(Waiting, Vec<String>)> {
        let folder = shipping.folder.clone();
        self.disk
            .run(move || {
                let (mut waiting, mut keys) = (Waiting::default(), Vec::new());
                for minute in folder.time_folders()? {
                    for blob in folder.list(&minute)? {
                        waiting.oldest = waiting.oldest.max(blob.age);
                        match folder.look(&blob.key, Part::WHOLE, false) {
                            Ok(found) => waiting.bytes += found.size_bytes,
                            Err(Error::NotFound) => continue,
                            Err(error) => return Err(error),
                        }
                        waiting.photos += 1;
                        keys.push(blob.key);
                    }
                }
                Ok((waiting, keys))
            })
            .await
    }

    /// How much waits.
    pub(crate) async fn shipping_queue(&self) -> Result<Waiting> {
        match &self.shipping {
            Some(shipping) => Ok(self.waiting(shipping).await?.0),
            None => Ok(Waiting::default()),
        }
    }

    /// Into the bucket, and only then out of the folder. Cut off in between, the next start finds it in both.
    async fn ship_one(&self, shipping: &Shipping, key: &str) -> Result<u64> {
        let (folder, name) = (shipping.folder.clone(), key.to_owned());
        let opened = self.disk.run(move || {
            let (mut file, size_bytes) = folder.open_part(&name, Part::WHOLE)?;
            let sha256 = sha256_of(&mut file)?;
            Ok((file, size_bytes, sha256))
        });
        let (file, size_bytes, sha256) = opened.await?;
        let source = Source::new(file, self.disk.clone(), size_bytes, sha256);
        // An earlier run may have shipped it and died before it could say so.
        match self.upload_source(&source, key, &mut true).await {
            Err(Fault::Exists) => {
                // Keys are nobody else's: a store that was cut off in the middle of a PUT kept half of it.
                tracing::warn!(key, "what lies in a photo's place is not what was sent; it is removed and sent again");
                self.remove(&self.path(key)).await?;
                self.upload_source(&source, key, &mut false).await?;
            }
            outcome => outcome?,
        }
        let (folder, name) = (shipping.folder.clone(), key.to_owned());
        match self.disk.run(move || folder.unlink(&name)).await {
            Ok(()) => Ok(size_bytes),
            Err(Error::NotFound) => {
                // Deleted while it was under way: it must not come back by this.
                self.remove(&self.path(key)).await?;
                Err(Error::NotFound)
            }
            Err(error) => Err(error),
        }
    }
}
