//! Reading: nothing is handed on before all of it was compared with its SHA-256.

use std::fs::File;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::S3;
use super::faults::Fault;
use super::scratch::Scratch;
use crate::folder::split_key;
use crate::{Error, Found, Part, Result};

/// A part of an object, read through.
struct Fetched {
    size_bytes: u64,
    sha256: [u8; 32],
    /// Its bytes, where they were wanted.
    file: Option<File>,
}

impl S3 {
    pub(crate) async fn open_verified(&self, key: &str, part: Part, sha256: &[u8; 32]) -> Result<(File, u64)> {
        split_key(key)?;
        let (name, wanted) = (key.to_owned(), *sha256);
        if let Some(opened) = self.here(move |folder| folder.open_verified(&name, part, &wanted)).await? {
            return Ok(opened);
        }
        self.requests.refuse_if_full()?;
        let _place = self.request_place().await?;
        let path = self.path(key);
        // A second look: what was damaged on its way here is not damaged there.
        for _ in 0..2 {
            let fetched = match self.retrying(|| self.fetch(&path, part, true)).await {
                Err(Fault::NotFound) => return Err(self.absent()),
                fetched => fetched?,
            };
            if fetched.sha256 == *sha256 {
                return Ok((fetched.file.ok_or(Error::NotFound)?, fetched.size_bytes));
            }
        }
        Err(Error::Damaged)
    }

    pub(crate) async fn look(&self, key: &str, part: Part, deep: bool) -> Result<Found> {
        split_key(key)?;
        let name = key.to_owned();
        if let Some(found) = self.here(move |folder| folder.look(&name, part, deep)).await? {
            return Ok(found);
        }
        match self.look_there(key, part, deep).await {
            Err(Fault::NotFound) => Err(self.absent()),
            found => Ok(found?),
        }
    }

    async fn look_there(&self, key: &str, part: Part, deep: bool) -> Result<Found, Fault> {
        let _place = self.request_place().await?;
        let path = self.path(key);
        if deep {
            let fetched = self.retrying(|| self.fetch(&path, part, false)).await?;
            return Ok(Found { size_bytes: fetched.size_bytes, sha256: Some(fetched.sha256) });
        }
        let size_bytes = self.retrying(|| self.size_of(&path)).await?;
        let behind = size_bytes.saturating_sub(part.offset_bytes);
        Ok(Found { size_bytes: part.size_bytes.min(behind), sha256: None })
    }

    pub(crate) async fn signed_url(
        &self,
        key: &str,
        time: Duration,
        content_type: &str,
        disposition: &str,
    ) -> Result<Option<String>> {
        split_key(key)?;
        let name = key.to_owned();
        if self.here(move |folder| folder.look(&name, Part::WHOLE, false)).await?.is_some() {
            return Ok(None);
        }
        // A bucket knows nothing of photos: without these a browser would be told to guess.
        let options = SignedUrlOptions::default()
            .with_query([("response-content-type", content_type), ("response-content-disposition", disposition)]);
        let signed = self.client.signed_url_opts(http::Method::GET, &self.path(key), time, &options).await;
        Ok(Some(signed.map_err(Fault::from)?.into()))
    }

    async fn size_of(&self, path: &Path) -> Result<u64, Fault> {
        Ok(self.client.head(path).await?.size)
    }

    async fn fetch(&self, path: &Path, part: Part, keep: bool) -> Result<Fetched, Fault> {
        if part.size_bytes == 0 {
            self.size_of(path).await?;
            return self.nothing(keep).await;
        }
        let options = GetOptions { range: range_of(part), ..GetOptions::default() };
        let found = match self.client.get_opts(path, options).await.map_err(Fault::from) {
            Err(Fault::OutOfRange) => return self.nothing(keep).await,
            found => found?,
        };
        let size_bytes = found.range.end.saturating_sub(found.range.start);
        let mut scratch = if keep { Some(Scratch::new(self, size_bytes).await?) } else { None };
        let (mut hasher, mut received) = (Sha256::new(), 0);
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.try_next().await? {
            hasher.update(&piece);
            received += piece.len() as u64;
            if let Some(scratch) = &mut scratch {
                scratch.write(self, &piece).await?;
            }
        }
        if received != size_bytes {
            return Err(Fault::Transient(format!("{received} of {size_bytes} bytes came")));
        }
        let file = match scratch {
            Some(scratch) => Some(scratch.finish(self).await?),
            None => None,
        };
        Ok(Fetched { size_bytes, sha256: hasher.finalize().into(), file })
    }

    /// No bytes, of something that is there.
    async fn nothing(&self, keep: bool) -> Result<Fetched, Fault> {
        let file = if keep { Some(Scratch::new(self, 0).await?.finish(self).await?) } else { None };
        Ok(Fetched { size_bytes: 0, sha256: Sha256::digest([]).into(), file })
    }
}

/// None of the whole: of an empty object no range can be asked.
fn range_of(part: Part) -> Option<GetRange> {
    if part == Part::WHOLE {
        return None;
    }
    let start = part.offset_bytes;
    Some(match start.checked_add(part.size_bytes) {
        Some(end) => GetRange::Bounded(start..end),
        None => GetRange::Offset(start),
    })
}
