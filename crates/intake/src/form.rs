//! Reads the form as it streams: fields kept small in memory, photos staged to disk and hashed on the way.

use std::collections::HashMap;
use std::fmt::Display;

use blobs::{StagedBlob, Staging};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use imaging::{Defect, Structure};
use jiff::{SignedDuration, Timestamp};
use multra::{Constraints, Field, Multipart, SizeLimit};
use records::SessionGate;
use sha2::{Digest, Sha256};

use crate::admission::Place;
use crate::keys::RequestDigest;
use crate::metadata::Metadata;
use crate::receive::{BodyError, FormKind, Upload};
use crate::{Intake, Refusal, gate};

/// Bytes of one part's headers. A browser sends some 150.
const PART_HEADER_BYTES_MAX: u64 = 8 * 1024;
/// RFC 2046 allows a boundary 70 characters.
const BOUNDARY_CHARACTERS_MAX: usize = 70;

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

/// What a part says of its file's name. The name itself is nobody's business: nothing is ever called by it.
enum Filename {
    Absent,
    /// No file was chosen.
    Empty,
    Given,
}

impl Filename {
    fn of(field: &Field<'_>) -> Self {
        match field.file_name() {
            Some("") => Self::Empty,
            Some(_) => Self::Given,
            // A name that cannot be read (Latin-1, `100%FF.jpg`) is a name all the same. Taken for a text, the photo
            // would be answered with a 200 and be lost.
            None if field.headers().get("content-disposition").is_some_and(|value| has_filename(value.as_bytes())) => {
                Self::Given
            }
            None => Self::Absent,
        }
    }
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
        let mut multipart = self.multipart(body)?;
        let mut parts = 0_usize;
        while let Some(field) = multipart.next_field().await.map_err(refuse_form)? {
            parts += 1;
            let name = field.name().ok_or_else(|| Refusal::MalformedForm("a part has no name".to_owned()))?.to_owned();
            refuse_transfer_encoding(&name, &field)?;
            match self.role(&name, &Filename::of(&field)) {
                Role::Photo => {
                    let photo = self.take_photo(&name, field, &form, &mut digest).await?;
                    form.photos.push(photo);
                }
                Role::Text => self.take_text(name, field, &mut form, &mut digest).await?,
                Role::Ignored => {
                    let bytes_max = self.intake.limits.upload_bytes_max;
                    self.pour(field, &mut Nowhere, bytes_max, Refusal::PhotoTooLarge(bytes_max)).await?;
                }
            }
        }
        if parts == 0 {
            return Err(Refusal::MalformedForm("it has no parts".to_owned()));
        }
        form.gate = self.gate;
        form.digest = digest.finish();
        Ok(form)
    }

    fn multipart<S, E>(&self, body: S) -> Result<Multipart<'static>, Refusal>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BodyError> + 'static,
    {
        let boundary = &self.upload.boundary;
        if boundary.is_empty() || boundary.len() > BOUNDARY_CHARACTERS_MAX {
            return Err(Refusal::MalformedForm("its boundary must have 1 to 70 characters".to_owned()));
        }
        let sizes = SizeLimit::new()
            .whole_stream(self.intake.limits.request_bytes_max)
            .preamble(1024)
            .headers(PART_HEADER_BYTES_MAX);
        let constraints = Constraints::new().max_fields(self.intake.limits.parts_per_request_max).size_limit(sizes);
        let body = body.map(|chunk| chunk.map_err(|error| -> BodyError { error.into() }));
        Multipart::try_with_constraints(body, boundary, constraints).map_err(refuse_form)
    }

    /// Flask's rule: a part with a filename is a file, any other a field.
    fn role(&self, name: &str, filename: &Filename) -> Role {
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

    async fn take_photo(
        &mut self,
        name: &str,
        field: Field<'_>,
        form: &Form,
        digest: &mut RequestDigest,
    ) -> Result<Photo, Refusal> {
        if form.photos.iter().any(|photo| photo.key == name) {
            return Err(Refusal::DuplicateCapture(name.to_owned()));
        }
        if form.photos.len() >= self.intake.limits.captures_per_request_max {
            return Err(Refusal::TooManyCaptures(self.intake.limits.captures_per_request_max));
        }
        let limits = self.intake.limits.clone();
        let too_large = Refusal::PhotoTooLarge(limits.upload_bytes_max);
        let (sha256, staged) = if self.replaying || self.is_known_unwanted(name, form)? {
            let mut hasher = Sha256::new();
            self.pour(field, &mut hasher, limits.upload_bytes_max, too_large).await?;
            (hasher.finalize().into(), None)
        } else {
            let mut staging = self.intake.blobs.stage();
            self.pour(field, &mut staging, limits.upload_bytes_max, too_large).await?;
            let (blob, structure) = staging.finish(move |file| imaging::inspect(file, &limits.image)).await?;
            (blob.sha256, Some((blob, structure)))
        };
        digest.add("photo", name, &sha256);
        // Photos of one request keep their order: no two share a time.
        let now = to_microseconds((self.intake.clock)());
        let after = form.photos.last().map(|photo| photo.received_at + SignedDuration::from_micros(1));
        Ok(Photo { key: name.to_owned(), received_at: after.map_or(now, |after| now.max(after)), staged })
    }

    /// Whether it is clear before the photo's bytes that they will not be kept: then they never touch the disk.
    fn is_known_unwanted(&self, name: &str, form: &Form) -> Result<bool, Refusal> {
        let (Some(gate), FormKind::Batch) = (&self.gate, &self.upload.kind) else { return Ok(false) };
        let Some(text) = form.texts.get(&metadata_name(name)) else { return Ok(false) };
        let metadata = Metadata::of_batch(Some(text), &self.intake.limits)?;
        Ok(gate::wanted(gate.settings.as_ref(), &metadata.trigger).is_err())
    }

    async fn take_text(
        &mut self,
        name: String,
        field: Field<'_>,
        form: &mut Form,
        digest: &mut RequestDigest,
    ) -> Result<(), Refusal> {
        let limit = self.intake.limits.metadata_bytes_max;
        let too_large = Refusal::MetadataTooLarge(limit);
        if !self.is_read(&name) {
            let mut hasher = Sha256::new();
            self.pour(field, &mut hasher, limit as u64, too_large).await?;
            digest.add("unread", &name, &hasher.finalize());
            return Ok(());
        }
        let mut text = Vec::new();
        self.pour(field, &mut text, limit as u64, too_large).await?;
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
    async fn pour(
        &mut self,
        mut field: Field<'_>,
        sink: &mut impl Sink,
        bytes_max: u64,
        too_large: Refusal,
    ) -> Result<(), Refusal> {
        let mut taken = 0_u64;
        while let Some(chunk) = field.chunk().await.map_err(refuse_form)? {
            taken += chunk.len() as u64;
            if taken > bytes_max {
                return Err(too_large);
            }
            self.place.take(chunk.len() as u64)?;
            sink.take(&chunk).await?;
        }
        Ok(())
    }
}

fn refuse_form(error: multra::Error) -> Refusal {
    use multra::Error as E;
    match error {
        E::StreamReadFailed(cause) => match cause.downcast::<BodyError>() {
            Ok(cause) => Refusal::Body(*cause),
            Err(cause) => Refusal::Body(BodyError::Incomplete(cause.to_string())),
        },
        E::StreamSizeExceeded { limit } => Refusal::RequestTooLarge(limit),
        E::FieldCountExceeded { limit } => Refusal::TooManyParts(limit),
        E::IncompleteStream | E::IncompleteFieldData { .. } | E::IncompleteHeaders => {
            malformed("it ends before its closing boundary")
        }
        other => malformed(other),
    }
}

/// Where a part's bytes go.
trait Sink {
    fn take(&mut self, chunk: &[u8]) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// A small field, in memory.
impl Sink for Vec<u8> {
    async fn take(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        self.extend_from_slice(chunk);
        Ok(())
    }
}

/// A photo that is compared and let go.
impl Sink for Sha256 {
    async fn take(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        self.update(chunk);
        Ok(())
    }
}

/// A photo on its way to disk.
impl Sink for Staging {
    async fn take(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        Ok(self.write(chunk).await?)
    }
}

/// A file that no contract names, ignored as Flask ignores it.
struct Nowhere;

impl Sink for Nowhere {
    async fn take(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }
}

fn malformed(what: impl Display) -> Refusal {
    Refusal::MalformedForm(what.to_string())
}

/// The metadata field of a photo's part, by the app's own `key.replace('capture_', 'metadata_')`.
pub(crate) fn metadata_name(key: &str) -> String {
    key.replace("capture_", "metadata_")
}

/// Whether a `Content-Disposition` has a parameter `filename` or `filename*`, whatever its value.
fn has_filename(disposition: &[u8]) -> bool {
    let (mut in_quotes, mut is_escaped) = (false, false);
    let parameters = disposition.split(|byte| {
        let ends = *byte == b';' && !in_quotes;
        in_quotes ^= *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && in_quotes && !is_escaped;
        ends
    });
    parameters.skip(1).any(|parameter| {
        let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        [&b"filename"[..], b"filename*"].iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

/// RFC 7578 deprecates encodings of a part; stored as they are they would be no photo.
fn refuse_transfer_encoding(name: &str, field: &Field<'_>) -> Result<(), Refusal> {
    let Some(encoding) = field.headers().get("content-transfer-encoding") else { return Ok(()) };
    let plain = encoding
        .to_str()
        .is_ok_and(|value| ["binary", "8bit", "7bit"].iter().any(|plain| value.trim().eq_ignore_ascii_case(plain)));
    if plain { Ok(()) } else { Err(Refusal::TransferEncoding(name.to_owned())) }
}

/// Stored times have microseconds; one that was answered must equal the one that is read back.
fn to_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::has_filename;

    #[test]
    fn a_filename_is_a_parameter_and_not_a_text() {
        let with: [&[u8]; 6] = [
            b"form-data; name=\"a\"; filename=\"\xFF\"",
            b"form-data; filename=b; name=a",
            b"form-data; name=a; FileName = \"b\"",
            b"form-data; name=a;filename*=UTF-8''%FF",
            b"form-data; name=\"a\\\\\"; filename=b",
            b"form-data; name=\"a\\\";\"; filename=\"b",
        ];
        let without: [&[u8]; 5] = [
            b"form-data; name=a",
            b"form-data; name=\"a; filename=b\"",
            b"form-data; name=\"a\\\"; filename=b\"",
            b"filename=a",
            b"form-data; name=a; filenames=b",
        ];
        for disposition in with {
            assert!(has_filename(disposition), "{}", disposition.escape_ascii());
        }
        for disposition in without {
            assert!(!has_filename(disposition), "{}", disposition.escape_ascii());
        }
    }
}
