//! The server's certificate, and its renewal without a restart.
//!
//! **Owns** the two PEM files and the TLS settings made of them. **Promises** that new handshakes
//! use a new pair seconds after it lies there whole, and that a broken, mismatched or half-written
//! pair is logged and changes nothing: a renewal gone wrong at night must not close the door.

use std::error::Error;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

/// How often the files are looked at. Polled and not watched: a watch on a file is lost when a
/// renewal replaces the file, and on a symlinked one it sees nothing.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// HTTP/2 in the words of ALPN.
pub(super) const ALPN_H2: &[u8] = b"h2";

/// Where certificate and key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain in PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// A certificate in use, renewed when its files change.
#[derive(Clone, Debug)]
pub struct Tls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    /// What the files looked like when last tried, whether that went well or not.
    tried: Mutex<Option<[Stamp; 2]>>,
}

/// Enough of a file's metadata to see that it changed. The inode is there for a renewal that
/// moves a file of the same length in place within the clock's resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// Why a pair cannot be used.
#[derive(Debug)]
pub struct TlsError {
    file: PathBuf,
    what: String,
}

impl TlsError {
    fn new(file: &Path, what: impl fmt::Display) -> Self {
        Self { file: file.to_path_buf(), what: what.to_string() }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.what)
    }
}

impl Error for TlsError {}

impl Tls {
    /// Reads both files; at start a pair that cannot be used is an error.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        // Stamped before reading: a change in between is then found at the next look.
        let stamps = stamps(&files);
        let config = read(&files)?;
        Ok(Self {
            shared: Arc::new(Shared { files, config: ArcSwap::from_pointee(config), tried: Mutex::new(stamps) }),
        })
    }

    /// What the next handshake uses.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.shared.config.load_full()
    }

    /// Takes a changed pair into use. `Ok(true)`: done; `Ok(false)`: nothing changed. After an
    /// error the old pair stays, and the same files are not tried again. Blocks on the disk.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let shared = &*self.shared;
        let now = stamps(&shared.files);
        {
            let mut tried = shared.tried.lock().unwrap_or_else(PoisonError::into_inner);
            // Absent for a moment is how some renewals replace a file.
            if now.is_none() || *tried == now {
                return Ok(false);
            }
            *tried = now;
        }
        shared.config.store(Arc::new(read(&shared.files)?));
        Ok(true)
    }

    /// Looks at the files for as long as it is polled.
    pub(super) async fn keep_fresh(self) {
        loop {
            tokio::time::sleep(RELOAD_EVERY).await;
            let tls = self.clone();
            match tokio::task::spawn_blocking(move || tls.reload_if_changed()).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => tracing::info!("the TLS certificate was renewed"),
                Ok(Err(error)) => {
                    tracing::error!(%error, "the new TLS certificate cannot be used; the old one stays");
                }
                Err(error) => tracing::error!(%error, "the TLS certificate could not be looked at"),
            }
        }
    }
}

fn stamps(files: &TlsFiles) -> Option<[Stamp; 2]> {
    Some([stamp(&files.certificate)?, stamp(&files.key)?])
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(file).ok()?;
    Some(Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| TlsError::new(&files.certificate, error))?;
    if chain.is_empty() {
        return Err(TlsError::new(&files.certificate, "there is no certificate in this file"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::new(&files.key, error))?;
    // The provider by name: a process-wide default depends on who else links rustls.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| TlsError::new(&files.certificate, error))?;
    config.alpn_protocols = vec![ALPN_H2.to_vec(), b"http/1.1".to_vec()];
    // Tickets instead of a table of 256 sessions: thousands of cameras come back with each photo.
    config.ticketer = ring::Ticketer::new().map_err(|error| TlsError::new(&files.certificate, error))?;
    Ok(config)
}
