//! Reads the form as it streams: fields kept small in memory, photos staged to disk and hashed on the way.

use std::collections::HashMap;
use std::pin::pin;

use blobs::{StagedBlob, Staging};
use bytes::Bytes;
use futures_util::Stream;
use imaging::{Defect, Structure};
use jiff::{SignedDuration, Timestamp};
use records::SessionGate;
use sha2::{Digest, Sha256};

use crate::admission::Place;
use crate::disposition::Filename;
use crate::keys::RequestDigest;
use crate::metadata::Metadata;
use crate::multipart::{Body, Most, Multipart, Part, malformed};
use crate::receive::{BodyError, FormKind, Upload};
use crate::{Intake, Refusal, gate};

/// Bytes of all the text fields of a form that are held in memory.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// The form, read to its closing boundary.
pub(crate) struct Form {
    pub(crate) session_id: Option<Vec<u8>>,
    /// The session, where its id came and is the uploader's.
    pub(crate) gate: Option<SessionGate>,
    pub(crate) photos: Vec<Photo>,
    pub(crate) texts: HashMap<String, Vec<u8>>,
    /// Bytes of the fields taken, also of those sent twice.
    text_bytes: usize,
    pub(crate) digest: [u8; 32],
}

/// One photo of the form.
pub(crate) struct Photo {
    /// The part's name.
    pub(crate) key: String,
    pub(crate) received_at: Timestamp,
    /// None where the bytes were hashed and let go: the photo is unwanted, or was stored before.
    pub(crate) staged: Option<(StagedBlob, Result<Structure, Defect>)>,
}

pub(crate) struct FormReader<'a> {
    pub(crate) intake: &'a Intake,
    pub(crate) upload: &'a Upload,
    pub(crate) place: &'a mut Place,
    /// The request was answered before: its bytes are only compared.
    pub(crate) replaying: bool,
    pub(crate) gate: Option<SessionGate>,
}

/// What a part is for.
enum Role {
    Photo,
    Text,
    Ignored,
}

impl FormReader<'_> {
    pub(crate) async fn read<S, E>(mut self, body: S) -> Result<Form, Refusal>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BodyError> + 'static,
    {
        let mut form = Form {
            session_id: None,
            gate: None,
            photos: Vec::new(),
            texts: HashMap::new(),
            text_bytes: 0,
            digest: [0; 32],
        };
        let mut digest = RequestDigest::default();
        if let FormKind::Single { session_id } = &self.upload.kind {
            digest.add("single", "session_id", session_id.as_bytes());
        }
        let limits = &self.intake.limits;
        let most = Most { bytes: limits.request_bytes_max, parts: limits.parts_per_request_max };
        let body = pin!(body);
        let mut parts = Multipart::new(body, &self.upload.boundary, most)?;
        while let Some(part) = parts.next_part().await? {
            refuse_transfer_encoding(&part)?;
            let name = part.name.ok_or_else(|| malformed("a part has no name"))?;
            match self.role(&name, part.filename) {
                Role::Photo => {
                    let photo = self.take_photo(name, &mut parts, &form, &mut digest).await?;
                    form.photos.push(photo);
                }
                Role::Text => self.take_text(name, &mut parts, &mut form, &mut digest).await?,
                Role::Ignored => {
                    let bytes_max = self.intake.limits.upload_bytes_max;
                    self.pour(&mut parts, &mut Nowhere, bytes_max, Refusal::PhotoTooLarge(bytes_max)).await?;
                }
            }
        }
        if parts.is_empty() {
            return Err(malformed("it has no parts"));
        }
        form.gate = self.gate;
        form.digest = digest.finish();
        Ok(form)
    }

    /// Flask's rule: a part with a filename is a file, any other a field.
    fn role(&self, name: &str, filename: Filename) -> Role {
        match (filename, &self.upload.kind) {
            (Filename::Given, FormKind::Batch) if name.starts_with("capture_") => Role::Photo,
            (Filename::Given, FormKind::Single { .. }) if name == "image" => Role::Photo,
            (Filename::Given | Filename::Empty, _) => Role::Ignored,
            (Filename::Absent, _) => Role::Text,
        }
    }

    /// Whether any rule of ours looks at a field of this name; others are compared on a retry and let go.
    fn is_read(&self, name: &str) -> bool {
        match self.upload.kind {
            FormKind::Batch => name == "session_id" || name.starts_with("metadata_"),
            FormKind::Single { .. } => name == "trigger" || name == "timing",
        }
    }

    async fn take_photo<B: Body>(
        &mut self,
        key: String,
        parts: &mut Multipart<B>,
        form: &Form,
        digest: &mut RequestDigest,
    ) -> Result<Photo, Refusal> {
        if form.photos.iter().any(|photo| photo.key == key) {
            return Err(Refusal::DuplicateCapture(key));
        }
        if form.photos.len() >= self.intake.limits.captures_per_request_max {
            return Err(Refusal::TooManyCaptures(self.intake.limits.captures_per_request_max));
        }
        let limits = self.intake.limits.clone();
        let too_large = Refusal::PhotoTooLarge(limits.upload_bytes_max);
        let (sha256, staged) = if self.replaying || self.is_known_unwanted(&key, form)? {
            let mut hasher = Sha256::new();
            self.pour(parts, &mut hasher, limits.upload_bytes_max, too_large).await?;
            (hasher.finalize().into(), None)
        } else {
            let mut staging = self.intake.blobs.stage();
            self.pour(parts, &mut staging, limits.upload_bytes_max, too_large).await?;
            let finish = staging.finish(move |file| imaging::inspect(file, &limits.image));
            let (blob, structure) = Box::pin(finish).await?;
            (blob.sha256, Some((blob, structure)))
        };
        digest.add("photo", &key, &sha256);
        // Photos of one request keep their order: no two share a time.
        let now = to_microseconds((self.intake.clock)());
        let after = form.photos.last().map(|photo| photo.received_at + SignedDuration::from_micros(1));
        Ok(Photo { key, received_at: after.map_or(now, |after| now.max(after)), staged })
    }

    /// Whether it is clear before the photo's bytes that they will not be kept: then they never touch the disk.
    fn is_known_unwanted(&self, name: &str, form: &Form) -> Result<bool, Refusal> {
        let (Some(gate), FormKind::Batch) = (&self.gate, &self.upload.kind) else { return Ok(false) };
        let Some(text) = form.texts.get(&metadata_name(name)) else { return Ok(false) };
        let metadata = Metadata::of_batch(Some(text), &self.intake.limits)?;
        Ok(gate::wanted(gate.settings.as_ref(), &metadata.trigger).is_err())
    }

    async fn take_text<B: Body>(
        &mut self,
        name: String,
        parts: &mut Multipart<B>,
        form: &mut Form,
        digest: &mut RequestDigest,
    ) -> Result<(), Refusal> {
        let limit = self.intake.limits.metadata_bytes_max;
        let too_large = Refusal::MetadataTooLarge(limit);
        if !self.is_read(&name) {
            let mut hasher = Sha256::new();
            self.pour(parts, &mut hasher, limit as u64, too_large).await?;
            digest.add("unread", &name, &hasher.finalize());
            return Ok(());
        }
        let mut text = Vec::new();
        self.pour(parts, &mut text, limit as u64, too_large).await?;
        digest.add("text", &name, &text);
        // Each field alone is small; hundreds of them in each of thousands of forms are not.
        form.text_bytes += text.len();
        if form.text_bytes > TEXT_BYTES_MAX.max(limit) {
            return Err(Refusal::MetadataTooLarge(TEXT_BYTES_MAX.max(limit)));
        }
        if name == "session_id" && matches!(self.upload.kind, FormKind::Batch) {
            match &form.session_id {
                Some(first) if *first != text => return Err(Refusal::TwoSessionIds),
                Some(_) => {}
                None => {
                    // An empty field counts as missing, as in Flask.
                    if !text.is_empty() {
                        self.gate = Some(self.intake.cheap_gate(self.upload, &text, self.replaying).await?);
                        form.session_id = Some(text);
                    }
                }
            }
            return Ok(());
        }
        // Sent twice, the first counts, as in Flask.
        form.texts.entry(name).or_insert(text);
        Ok(())
    }

    /// Moves a part's bytes into `sink`, held to `bytes_max`.
    async fn pour<B: Body>(
        &mut self,
        parts: &mut Multipart<B>,
        sink: &mut impl Sink,
        bytes_max: u64,
        too_large: Refusal,
    ) -> Result<(), Refusal> {
        let mut taken = 0_u64;
        while let Some(chunk) = parts.chunk().await? {
            taken += chunk.len() as u64;
            if taken > bytes_max {
                return Err(too_large);
            }
            self.place.take(chunk.len() as u64)?;
            sink.take(chunk).await?;
        }
        Ok(())
    }
}

/// Where a part's bytes go.
trait Sink {
    fn take(&mut self, chunk: Bytes) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// A small field, in memory.
impl Sink for Vec<u8> {
    async fn take(&mut self, chunk: Bytes) -> Result<(), Refusal> {
        self.extend_from_slice(&chunk);
        Ok(())
    }
}

/// A photo that is compared and let go.
impl Sink for Sha256 {
    async fn take(&mut self, chunk: Bytes) -> Result<(), Refusal> {
        self.update(&chunk);
        Ok(())
    }
}

/// A photo on its way to disk.
impl Sink for Staging {
    async fn take(&mut self, chunk: Bytes) -> Result<(), Refusal> {
        Ok(self.write(chunk).await?)
    }
}

/// A file that no contract names, ignored as Flask ignores it.
struct Nowhere;

impl Sink for Nowhere {
    async fn take(&mut self, _: Bytes) -> Result<(), Refusal> {
        Ok(())
    }
}

/// The metadata field of a photo's part, by the app's own `key.replace('capture_', 'metadata_')`.
pub(crate) fn metadata_name(key: &str) -> String {
    key.replace("capture_", "metadata_")
}

/// RFC 7578 deprecates encodings of a part; stored as they are they would be no photo.
fn refuse_transfer_encoding(part: &Part) -> Result<(), Refusal> {
    let Some(encoding) = &part.transfer_encoding else { return Ok(()) };
    let plain =
        [&b"binary"[..], b"8bit", b"7bit"].iter().any(|plain| encoding.trim_ascii().eq_ignore_ascii_case(plain));
    if plain { Ok(()) } else { Err(Refusal::TransferEncoding(part.name.clone().unwrap_or_default())) }
}

/// Stored times have microseconds; one that was answered must equal the one that is read back.
fn to_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
