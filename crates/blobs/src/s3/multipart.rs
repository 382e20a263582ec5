//! Large photos, in parts: what failed is aborted, and what a crash left is found and aborted later.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{MultipartId, PutMultipartOptions, PutPayload};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::S3;
use super::faults::Fault;
use super::source::Source;
use super::wire::Answer;
use super::write::noted;
use crate::{Error, Result};

/// Bytes of a part, and of the largest photo that is sent in one. S3 takes no smaller part than 5 MiB.
pub(super) const PART_BYTES: u64 = 8 * 1024 * 1024;

/// For a request that is sent at once.
const SIGNED_FOR: Duration = Duration::from_secs(60);

impl S3 {
    pub(super) async fn upload_in_parts(
        &self,
        path: &Path,
        source: &Source,
        may_be_there: &mut bool,
    ) -> Result<(), Fault> {
        let begin = || async {
            let options = PutMultipartOptions { attributes: noted(source.sha256), ..PutMultipartOptions::default() };
            Ok(self.client.create_multipart_opts(path, options).await?)
        };
        let id = self.retrying(begin).await?;
        let outcome = self.send_parts(path, &id, source, may_be_there).await;
        if outcome.is_err() {
            self.abort(path, &id).await;
        }
        outcome
    }

    async fn send_parts(
        &self,
        path: &Path,
        id: &MultipartId,
        source: &Source,
        may_be_there: &mut bool,
    ) -> Result<(), Fault> {
        let (mut parts, mut hasher, mut sent) = (Vec::new(), Sha256::new(), 0);
        let _memory = self.hold_memory(PART_BYTES).await;
        while sent < source.size_bytes {
            let piece = Bytes::from(source.piece(sent, PART_BYTES).await?);
            if piece.is_empty() {
                return Err(Error::Damaged.into());
            }
            sent += piece.len() as u64;
            hasher.update(&piece);
            let (number, payload) = (parts.len(), PutPayload::from_bytes(piece));
            let send = || async { Ok(self.client.put_part(path, id, number, payload.clone()).await?) };
            parts.push(self.retrying(send).await?);
        }
        if <[u8; 32]>::from(hasher.finalize()) != source.sha256 {
            return Err(Error::Damaged.into());
        }
        self.complete(path, id, parts, source, may_be_there).await
    }

    async fn complete(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
        source: &Source,
        may_be_there: &mut bool,
    ) -> Result<(), Fault> {
        // From here on the object may be there without our hearing of it.
        *may_be_there = true;
        let complete = || async { Ok(self.client.complete_multipart(path, id, parts.clone()).await?) };
        match self.retrying(complete).await {
            Ok(_) => Ok(()),
            // The second try of one whose answer was lost finds no such upload any more, in whatever words.
            Err(fault) => match self.is_ours(path, source.size_bytes, source.sha256).await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(fault),
            },
        }
    }

    async fn abort(&self, path: &Path, id: &MultipartId) {
        let abort = || async { Ok(self.client.abort_multipart(path, id).await?) };
        match self.retrying(abort).await {
            Ok(()) | Err(Fault::NotFound) => {}
            Err(fault) => {
                tracing::warn!(?fault, "the parts of a photo that failed could not be removed; a sweep will");
            }
        }
    }

    /// Aborts uploads in parts that were begun longer ago than `age` and never ended; how many.
    pub(crate) async fn abort_abandoned(&self, age: Duration) -> Result<usize> {
        let _place = self.requests.place().await?;
        let mut aborted = 0;
        let mut after = None;
        loop {
            let page = match self.retrying(|| self.uploads_under_way(after.clone())).await {
                // Not every store tells. A rule of the bucket must end them then: docs/operations.md.
                Err(Fault::Unknown(why)) => {
                    tracing::debug!(why, "this store does not tell which uploads in parts were abandoned");
                    return Ok(aborted);
                }
                page => page?,
            };
            for upload in page.list {
                let begun: Result<Timestamp, _> = upload.initiated.parse();
                let now = Timestamp::now();
                if begun.is_ok_and(|begun| now.duration_since(begun).unsigned_abs() >= age && begun <= now) {
                    self.abort(&Path::from(upload.key), &upload.id).await;
                    aborted += 1;
                }
            }
            match (page.is_truncated, page.next_key, page.next_id) {
                (true, Some(key), Some(id)) => after = Some((key, id)),
                _ => return Ok(aborted),
            }
        }
    }

    /// A page of the uploads in parts that were begun and not ended, by a request that `object_store` does not know
    /// and its signer signs.
    async fn uploads_under_way(&self, after: Option<(String, String)>) -> Result<Uploads, Fault> {
        let prefix = &self.options.prefix;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut query = vec![("uploads".to_owned(), String::new()), ("prefix".to_owned(), prefix)];
        if let Some((key, id)) = after {
            query.extend([("key-marker".to_owned(), key), ("upload-id-marker".to_owned(), id)]);
        }
        let options = SignedUrlOptions::default().with_query(query);
        let bucket = Path::default();
        let url = self.client.signed_url_opts(http::Method::GET, &bucket, SIGNED_FOR, &options).await?;
        let answer = self.http.get(url).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        if !status.is_success() {
            return Err(Fault::from(&Answer::new(status, &body)));
        }
        quick_xml::de::from_str(&body).map_err(|error| Fault::Unknown(error.to_string()))
    }
}

/// The answer to ListMultipartUploads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(default, rename = "Upload")]
    list: Vec<Upload>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(rename = "NextKeyMarker")]
    next_key: Option<String>,
    #[serde(rename = "NextUploadIdMarker")]
    next_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    #[serde(rename = "UploadId")]
    id: String,
    initiated: String,
}
