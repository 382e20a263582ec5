//! What follows from settings.
//!
//! Owns the answers that need more than one value or a little thought: where catalog and photos are
//! when nothing is set, which files TLS needs, whether a peer is a trusted proxy.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use records::PostgresOptions;

use super::settings::{Config, Server};

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

    /// `file:PATH` of the photos, also where nothing is set.
    pub fn blobs_url(&self) -> String {
        format!("file:{}", self.blobs_path().display())
    }

    /// The catalog's file, where it is in one.
    pub fn catalog_path(&self) -> PathBuf {
        path_of(self.records.url.expose()).unwrap_or_else(|| self.data_dir.join("catalog.sqlite"))
    }

    /// The folder of the photos.
    pub fn blobs_path(&self) -> PathBuf {
        path_of(&self.blobs.url).unwrap_or_else(|| self.data_dir.join("blobs"))
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
