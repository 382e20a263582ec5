//! The catalog seen from outside, whichever engine holds it: what a rig judges by.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use super::catalog::{Catalog, Derivative, Stored, tamper};
use super::postgres;

/// Where the rows are.
#[derive(Debug)]
pub enum Rows {
    Folder(PathBuf),
    Postgres(String),
}

impl Rows {
    /// The one number that this query gives; 0 for NULL.
    pub fn number(&self, sql: &str) -> Result<i64> {
        match self {
            Self::Folder(data) => Catalog::open(data)?.number(sql),
            Self::Postgres(url) => postgres::number(url, sql),
        }
    }

    /// The settings that tell a server so.
    pub fn envs(&self) -> Vec<(String, String)> {
        match self {
            Self::Folder(_) => Vec::new(),
            Self::Postgres(url) => vec![("FILMGATE__RECORDS__URL".to_owned(), url.clone())],
        }
    }

    /// Whether several nodes may share them.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    pub fn captures(&self) -> Result<Vec<Stored>> {
        match self {
            Self::Folder(data) => Catalog::open(data)?.captures(),
            Self::Postgres(url) => {
                let rows = postgres::rows(url, "SELECT filename, blob_key, encode(sha256, 'hex') FROM captures")?;
                rows.into_iter()
                    .map(|row| match <[String; 3]>::try_from(row) {
                        Ok([filename, blob_key, sha256]) => Ok(Stored { filename, blob_key, sha256 }),
                        Err(row) => bail!("a capture of {} fields", row.len()),
                    })
                    .collect()
            }
        }
    }

    /// Every derivative, by its blob and its place there.
    pub fn derivatives(&self) -> Result<Vec<Derivative>> {
        match self {
            Self::Folder(data) => Catalog::open(data)?.derivatives(),
            Self::Postgres(url) => {
                let sql = "SELECT blob_key, encode(uuid_send(capture_id), 'hex'), offset_bytes, size_bytes,
                                  encode(sha256, 'hex') FROM derivatives ORDER BY 1, 3";
                postgres::rows(url, sql)?
                    .into_iter()
                    .map(|row| match <[String; 5]>::try_from(row) {
                        Ok([blob_key, capture_id, offset, size, sha256]) => Ok(Derivative {
                            blob_key,
                            capture_id,
                            offset_bytes: offset.parse()?,
                            size_bytes: size.parse()?,
                            sha256,
                        }),
                        Err(row) => bail!("a derivative of {} fields", row.len()),
                    })
                    .collect()
            }
        }
    }

    /// Changes rows behind everybody's back, for controls.
    pub fn tamper(&self, sql: &str) -> Result<()> {
        match self {
            Self::Folder(data) => {
                ensure!(tamper(data, sql)? > 0, "nothing was changed by: {sql}");
            }
            Self::Postgres(url) => {
                ensure!(postgres::execute(url, sql)? > 0, "nothing was changed by: {sql}");
            }
        }
        Ok(())
    }
}
