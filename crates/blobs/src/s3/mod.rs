//! The store in a bucket: the same promises as the folder's, kept by other means.
//!
//! **Owns** every request to S3, how long it may take and how often it is tried, and what its answers mean.
//! **Promises** that what was published is in the bucket, whole, with the SHA-256 that was taken as it came in; that
//! an answer which was lost is never taken for a success nor for a failure without looking; that every operation ends,
//! within the time for retries and that of one more request.
//! **Leaves** to others: staging, which is on the node's own disk (`staging.rs`); what S3 itself makes of a 200.
//!
//! Keys are unique by themselves. Publishing asks the store besides never to replace, but some answer 200 and replace
//! all the same (Garage 2.5): nothing rests on it.

mod care;
mod faults;
mod metrics;
mod multipart;
mod read;
mod scratch;
mod shipping;
mod source;
mod wire;
mod write;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::path::Path;
use object_store::{ObjectStoreExt, RetryConfig};
use tokio::sync::Semaphore;

use self::faults::{Fault, Retry};
use self::metrics::Metrics;
use self::shipping::Shipping;
pub use self::shipping::Waiting;
pub(crate) use self::source::Source;
use crate::folder::Folder;
use crate::pool::{DiskPool, Places};
use crate::{Error, Result};

/// Requests to the store at once: enough to fill a link, few enough for one node's descriptors.
const REQUESTS_MAX: usize = 64;

/// Bytes of photos held in memory at once for their way to the store, in KiB.
const UPLOAD_KIB_MAX: usize = 128 * 1024;

/// Where a bucket is and how it is spoken to.
#[derive(Clone)]
pub struct S3Options {
    /// The bucket. It must be there.
    pub bucket: String,
    /// What every key begins with; empty, or without slashes at its ends.
    pub prefix: String,
    /// `http://host:port` of the store; `None`: AWS's, by region.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// Who signs.
    pub access_key_id: String,
    /// And with what.
    pub secret_access_key: String,
    /// `https://host/bucket/key` rather than `https://bucket.host/key`.
    pub path_style: bool,
    /// Longest one request may take, its body included.
    pub timeout: Duration,
    /// How long a request that failed is tried again.
    pub retry: Duration,
    /// Whether photos are published once they are durable on this node's disk, and shipped afterwards.
    pub ship_later: bool,
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Options({self})")
    }
}

/// Where it is, and nothing that signs.
impl fmt::Display for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        self.endpoint.as_ref().map_or(Ok(()), |endpoint| write!(f, " at {endpoint}"))
    }
}

pub(crate) struct S3 {
    options: S3Options,
    client: AmazonS3,
    /// For the one request that `object_store` does not know: what uploads were begun and never ended.
    http: reqwest::Client,
    staging: Arc<Folder>,
    disk: DiskPool,
    requests: Places,
    /// Where photos wait that are shipped later.
    shipping: Option<Shipping>,
    upload_memory: Semaphore,
    /// Cleared where the store says that it knows no `If-None-Match`.
    asks_to_create: AtomicBool,
    metrics: Metrics,
}

impl S3 {
    /// Speaks to nobody yet.
    pub(crate) fn open(options: S3Options, staging: Arc<Folder>, disk: DiskPool) -> Result<Self> {
        let metrics = Metrics::new();
        let http = wire::client(&options)?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&options.bucket)
            .with_region(&options.region)
            .with_access_key_id(&options.access_key_id)
            .with_secret_access_key(&options.secret_access_key)
            .with_virtual_hosted_style_request(!options.path_style)
            .with_checksum_algorithm(Checksum::SHA256)
            // Plain requests, which every store knows.
            .with_disable_bulk_delete(true)
            .with_allow_http(true)
            // Tried again by us: a lost answer must be looked into before the next try, and time is counted once.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(wire::Wire::new(http.clone(), metrics.clone()));
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint_of(endpoint, &options));
        }
        let client = builder.build().map_err(|error| Error::Io(std::io::Error::other(error)))?;
        let requests = Places::new(REQUESTS_MAX, staging.options.disk_queue_max, metrics.requests.clone());
        // Also where photos are no longer answered before they are shipped: those that were must still get there.
        let shipping =
            if options.ship_later || Shipping::is_there(&staging) { Some(Shipping::open(&staging)?) } else { None };
        Ok(Self {
            options,
            client,
            http,
            staging,
            disk,
            requests,
            shipping,
            upload_memory: Semaphore::new(UPLOAD_KIB_MAX),
            asks_to_create: AtomicBool::new(true),
            metrics,
        })
    }

    pub(crate) fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.metrics.register(registry);
        if let Some(shipping) = &self.shipping {
            shipping.register(registry);
        }
    }

    pub(crate) fn place(&self) -> String {
        self.options.to_string()
    }

    /// Asks the store for something that is not there, once.
    pub(crate) async fn ping(&self) -> Result<()> {
        match self.client.head(&self.path("ping")).await.map_err(Fault::from) {
            Ok(_) | Err(Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    pub(crate) fn queue(&self) -> (usize, usize) {
        self.requests.queue()
    }

    pub(crate) fn refuse_if_full(&self) -> Result<()> {
        self.requests.refuse_if_full()
    }

    /// Whether the folder of what waits to be shipped takes nothing until restart.
    pub(crate) fn is_stopped(&self) -> bool {
        self.shipping.as_ref().is_some_and(|shipping| shipping.folder.is_stopped())
    }

    /// A place among the requests under way, waited for no longer than a request itself may take.
    async fn request_place(&self) -> Result<crate::pool::Place> {
        let limit = self.options.retry.max(self.options.timeout);
        tokio::time::timeout(limit, self.requests.place()).await.map_err(|_| Error::Overloaded)?
    }

    /// The object of something below the store's prefix.
    fn path(&self, below: &str) -> Path {
        let prefix = &self.options.prefix;
        if prefix.is_empty() { Path::from(below) } else { Path::from(format!("{prefix}/{below}")) }
    }

    /// Tries until it succeeds, fails for good, or the time is up.
    async fn retrying<T, F, A>(&self, mut attempt: A) -> Result<T, Fault>
    where
        A: FnMut() -> F,
        F: Future<Output = Result<T, Fault>>,
    {
        let mut retry = Retry::new(self.options.retry);
        loop {
            match attempt().await {
                Err(Fault::Transient(why)) => {
                    if !retry.again(&why).await {
                        return Err(Fault::Transient(why));
                    }
                    self.metrics.retries.inc();
                }
                outcome => return outcome,
            }
        }
    }
}

/// `object_store` wants the bucket in the host itself where an endpoint is given.
fn endpoint_of(endpoint: &str, options: &S3Options) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    match endpoint.split_once("://") {
        Some((scheme, host)) if !options.path_style => format!("{scheme}://{}.{host}", options.bucket),
        _ => endpoint.to_owned(),
    }
}
