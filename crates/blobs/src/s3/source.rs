//! A file on its way into the bucket.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::Result;
use crate::pool::DiskPool;

/// An open file, and what its bytes must be.
pub(crate) struct Source {
    file: Arc<File>,
    pool: DiskPool,
    pub(super) size_bytes: u64,
    pub(super) sha256: [u8; 32],
}

impl Source {
    pub(crate) fn new(file: File, pool: DiskPool, size_bytes: u64, sha256: [u8; 32]) -> Self {
        Self { file: Arc::new(file), pool, size_bytes, sha256 }
    }

    /// So many bytes from there on, or as many as there are.
    pub(super) async fn piece(&self, offset_bytes: u64, size_bytes: u64) -> Result<Vec<u8>> {
        let left = self.size_bytes.saturating_sub(offset_bytes).min(size_bytes);
        let file = self.file.clone();
        self.pool
            .run(move || {
                let mut bytes = vec![0; usize::try_from(left).unwrap_or(0)];
                file.read_exact_at(&mut bytes, offset_bytes)?;
                Ok(bytes)
            })
            .await
    }
}
