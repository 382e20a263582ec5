//! Why an upload was not taken: one list, each with its stable code.

use crate::receive::BodyError;

/// Why an upload was not taken. The text says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // each variant's message says what it is
pub enum Refusal {
    #[error("session_id required")]
    SessionIdRequired,
    #[error("Session not found or access denied")]
    SessionNotFound,
    #[error("This assessment session has ended and takes no more captures")]
    SessionEnded,
    #[error("No camera settings configured")]
    NoCameraSettings,
    #[error("No image file provided")]
    NoImage,
    #[error("Trigger '{0}' not allowed for current settings")]
    TriggerNotAllowed(String),
    #[error("The form cannot be read: {0}")]
    MalformedForm(String),
    #[error("The form has more than {0} parts; send fewer photos at once")]
    TooManyParts(usize),
    #[error("The form has more than {0} photos; send fewer at once")]
    TooManyCaptures(usize),
    #[error("A photo is larger than {0} bytes; send a smaller one")]
    PhotoTooLarge(u64),
    #[error("The request is larger than {0} bytes; send fewer or smaller photos at once")]
    RequestTooLarge(u64),
    #[error("The text field is larger than {0} bytes, or its JSON is nested too deeply")]
    MetadataTooLarge(usize),
    #[error("The text field '{0}' holds characters that cannot be stored (NUL or a lone surrogate)")]
    UnstorableText(&'static str),
    #[error("Part '{0}' is sent with a Content-Transfer-Encoding; send the photo's bytes as they are")]
    TransferEncoding(String),
    #[error("The form names two different session_id")]
    TwoSessionIds,
    #[error("The form has two parts named '{0}'")]
    DuplicateCapture(String),
    #[error("'{key}': {defect}")]
    BadImage { key: String, defect: imaging::Defect },
    #[error("'{key}': {reason}")]
    Undecodable { key: String, reason: String },
    #[error("The photo could not be decoded just now; try again shortly")]
    Undecided,
    #[error("The Idempotency-Key is not 1 to 255 visible ASCII characters")]
    BadIdempotencyKey,
    #[error("This Idempotency-Key was used for another request; use a new key for new photos")]
    IdempotencyKeyReused,
    #[error("A request with this Idempotency-Key is still running; try again shortly")]
    IdempotencyKeyInProgress,
    #[error("You have too many uploads under way; try again shortly")]
    TooManyUploads,
    #[error("The server has as many uploads under way as it takes; try again shortly")]
    Overloaded,
    #[error("The server takes frames of the timer less often just now; try again shortly")]
    IntervalFramesRefused,
    #[error("Another program holds the catalog; try again shortly")]
    CatalogBusy,
    #[error("The app's database, which says who may do this, does not answer; try again shortly")]
    HostUnavailable(String),
    #[error("The catalog's server cannot be reached; try again shortly")]
    CatalogAway,
    #[error("Whether this was stored is not known; send it again, an upload with the same Idempotency-Key")]
    OutcomeUnknown,
    #[error("The session kept changing while the upload was on its way; try again shortly")]
    SessionUnsettled,
    #[error("The server has no room for more photos; tell the operator")]
    DiskFull,
    #[error("The server stores nothing until it is restarted; tell the operator")]
    StorageStopped,
    #[error("The photo store cannot be reached just now; try again shortly")]
    StorageUnavailable(String),
    #[error("The upload was not received whole: {0}")]
    Body(BodyError),
    #[error("Internal error")]
    Internal(String),
}

/// Every code a [`Refusal`] can carry, with its HTTP status, for documents and tests.
pub const ERROR_CODES: &[(&str, u16)] = &[
    ("session_id_required", 400),
    ("session_not_found", 403),
    ("session_ended", 409),
    ("no_camera_settings", 409),
    ("no_image", 400),
    ("trigger_not_allowed", 409),
    ("malformed_form", 400),
    ("too_many_parts", 413),
    ("too_many_captures", 413),
    ("photo_too_large", 413),
    ("request_too_large", 413),
    ("metadata_too_large", 413),
    ("unstorable_text", 422),
    ("transfer_encoding", 422),
    ("two_session_ids", 422),
    ("duplicate_capture", 422),
    ("image_empty", 422),
    ("image_type_unsupported", 415),
    ("image_truncated", 422),
    ("image_malformed", 422),
    ("image_too_many_pixels", 422),
    ("image_too_many_scans", 422),
    ("image_too_many_frames", 422),
    ("image_undecodable", 422),
    ("decoder_unavailable", 503),
    ("bad_idempotency_key", 400),
    ("idempotency_key_reused", 422),
    ("idempotency_key_in_progress", 409),
    ("too_many_uploads", 429),
    ("overloaded", 503),
    ("interval_frames_refused", 503),
    ("session_unsettled", 503),
    ("host_unavailable", 503),
    ("catalog_away", 503),
    ("outcome_unknown", 503),
    ("disk_full", 507),
    ("storage_stopped", 503),
    ("storage_unavailable", 503),
    ("body_incomplete", 400),
    ("body_timeout", 408),
    ("internal", 500),
];

impl Refusal {
    /// A stable word for programs; one of [`ERROR_CODES`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::SessionIdRequired => "session_id_required",
            Self::SessionNotFound => "session_not_found",
            Self::SessionEnded => "session_ended",
            Self::NoCameraSettings => "no_camera_settings",
            Self::NoImage => "no_image",
            Self::TriggerNotAllowed(_) => "trigger_not_allowed",
            Self::MalformedForm(_) => "malformed_form",
            Self::TooManyParts(_) => "too_many_parts",
            Self::TooManyCaptures(_) => "too_many_captures",
            Self::PhotoTooLarge(_) => "photo_too_large",
            Self::RequestTooLarge(_) => "request_too_large",
            Self::MetadataTooLarge(_) => "metadata_too_large",
            Self::UnstorableText(_) => "unstorable_text",
            Self::TransferEncoding(_) => "transfer_encoding",
            Self::TwoSessionIds => "two_session_ids",
            Self::DuplicateCapture(_) => "duplicate_capture",
            Self::BadImage { defect: imaging::Defect::Io(_), .. } | Self::Internal(_) => "internal",
            Self::BadImage { defect, .. } => defect.code(),
            Self::Undecodable { .. } => "image_undecodable",
            Self::Undecided => "decoder_unavailable",
            Self::BadIdempotencyKey => "bad_idempotency_key",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::IdempotencyKeyInProgress => "idempotency_key_in_progress",
            Self::TooManyUploads => "too_many_uploads",
            Self::Overloaded | Self::CatalogBusy => "overloaded",
            Self::IntervalFramesRefused => "interval_frames_refused",
            Self::SessionUnsettled => "session_unsettled",
            Self::HostUnavailable(_) => "host_unavailable",
            Self::CatalogAway => "catalog_away",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::DiskFull => "disk_full",
            Self::StorageStopped => "storage_stopped",
            Self::StorageUnavailable(_) => "storage_unavailable",
            Self::Body(BodyError::TooSlow(_)) => "body_timeout",
            Self::Body(BodyError::Incomplete(_)) => "body_incomplete",
        }
    }

    /// The HTTP status of its code.
    pub fn status(&self) -> u16 {
        let code = self.code();
        ERROR_CODES.iter().find(|(known, _)| *known == code).map_or(500, |(_, status)| *status)
    }
}

impl From<records::Error> for Refusal {
    fn from(error: records::Error) -> Self {
        match error {
            records::Error::Full => Self::DiskFull,
            records::Error::Busy => Self::CatalogBusy,
            records::Error::Unavailable(_) => Self::CatalogAway,
            records::Error::Stopped => Self::StorageStopped,
            records::Error::OutcomeUnknown(_) => Self::OutcomeUnknown,
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<blobs::Error> for Refusal {
    fn from(error: blobs::Error) -> Self {
        match error {
            blobs::Error::Full => Self::DiskFull,
            blobs::Error::Overloaded => Self::Overloaded,
            blobs::Error::Stopped => Self::StorageStopped,
            blobs::Error::Unavailable(why) => Self::StorageUnavailable(why),
            other => Self::Internal(other.to_string()),
        }
    }
}
