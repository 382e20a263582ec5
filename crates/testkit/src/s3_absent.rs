//! In the place of the S3 in this process, where the feature `s3` was left out, as the rigs are built: none can start.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// None of it.
#[derive(Debug)]
pub enum S3Server {}

impl S3Server {
    /// Says why not.
    pub fn start() -> Result<Self> {
        bail!("testkit was built without its feature `s3`: the rigs know FILMGATE_TEST_BLOBS=s3 and folder alone")
    }

    pub(crate) fn envs(&self) -> Vec<(String, String)> {
        match *self {}
    }

    pub(crate) fn object(&self, _key: &str) -> PathBuf {
        match *self {}
    }
}
