//! What follows from settings.
//!
//! Owns the answers that need more than one value or a little thought: where catalog and photos are
//! when nothing is set, which files TLS needs, whether a peer is a trusted proxy.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use records::PostgresOptions;

use super::bucket;
use super::settings::{Blobs, Config, ServeFrom, Server};

impl Config {
    /// How to reach the catalog's PostgreSQL server, where it is on one.
    pub fn catalog_server(&self) -> Option<PostgresOptions> {
        let records = &self.records;
        PostgresOptions::is_url(records.url.expose()).then(|| PostgresOptions {
            url: records.url.expose().to_owned(),
            tls_ca_pem: None,
            connections_max: records.connections_max,
            unavailable_after: records.unavailable_after(),
        })
    }

    /// Where the catalog is, for people: a file, or a server without its password.
    pub fn catalog_place(&self) -> String {
        self.catalog_server().map_or_else(|| self.catalog_path().display().to_string(), |server| server.place())
    }

    /// `file:PATH` of the photos, also where nothing is set; or the bucket.
    pub fn blobs_url(&self) -> String {
        if self.blobs.is_bucket() { self.blobs.url.clone() } else { format!("file:{}", self.blobs_path().display()) }
    }

    /// The catalog's file, where it is in one.
    pub fn catalog_path(&self) -> PathBuf {
        path_of(self.records.url.expose()).unwrap_or_else(|| self.data_dir.join("catalog.sqlite"))
    }

    /// The folder of the photos; with a bucket, the one that they are staged in.
    pub fn blobs_path(&self) -> PathBuf {
        let path = if self.blobs.is_bucket() { None } else { path_of(&self.blobs.url) };
        path.unwrap_or_else(|| self.data_dir.join("blobs"))
    }
}

impl Blobs {
    /// Whether photos are in S3.
    pub fn is_bucket(&self) -> bool {
        bucket::parts(&self.url).is_some()
    }

    /// The origin that signed addresses lead to, where photos are served by them.
    pub fn signed_origin(&self) -> Option<String> {
        if self.serve != ServeFrom::Redirect {
            return None;
        }
        let bucket = self.bucket_at(&self.url)?;
        let endpoint = bucket.endpoint.unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", bucket.region));
        let (scheme, host) = endpoint.split_once("://")?;
        let host = if bucket.path_style { host.to_owned() } else { format!("{}.{host}", bucket.bucket) };
        Some(format!("{scheme}://{host}"))
    }

    /// How a bucket of this address is spoken to by these settings; `None` where it is the address of none.
    pub fn bucket_at(&self, url: &str) -> Option<blobs::S3Options> {
        let (bucket, prefix) = bucket::parts(url)?;
        Some(blobs::S3Options {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: (!self.s3_endpoint.is_empty()).then(|| self.s3_endpoint.clone()),
            region: self.s3_region.clone(),
            access_key_id: self.s3_access_key_id.expose().to_owned(),
            secret_access_key: self.s3_secret_access_key.expose().to_owned(),
            path_style: self.s3_path_style,
            timeout: self.s3_timeout(),
            retry: self.s3_retry(),
            ship_later: false,
        })
    }
}

impl Server {
    /// Certificate and key, where the server speaks HTTPS.
    pub fn tls_files(&self) -> Option<(&Path, &Path)> {
        let (certificate, key) = (self.tls_certificate_file.as_path(), self.tls_key_file.as_path());
        let set = |path: &Path| !path.as_os_str().is_empty();
        (set(certificate) && set(key)).then_some((certificate, key))
    }

    /// Whether this peer's X-Forwarded-* headers are believed. A socket that takes both families
    /// shows IPv4 peers as `::ffff:10.0.0.1`: they are compared as the IPv4 addresses they are.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }
}

/// The path in `scheme:PATH` and `scheme:///PATH`, none where nothing is set.
fn path_of(url: &str) -> Option<PathBuf> {
    let (_, path) = url.split_once(':')?;
    Some(path.strip_prefix("//").unwrap_or(path).into())
}
