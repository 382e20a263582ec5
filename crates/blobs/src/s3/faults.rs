//! What a failure means: absent, taken, tried again, or final.

use std::error::Error as StdError;
use std::time::{Duration, Instant};

use http::StatusCode;
use object_store::client::HttpError;

use super::wire::Answer;
use crate::Error;

/// First wait before another try; doubled after each, up to the longest.
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Why an operation on the bucket failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nothing under this key.
    NotFound,
    /// Something is under this key already.
    Exists,
    /// The range begins behind the end.
    OutOfRange,
    /// The store does not know this kind of request.
    Unknown(String),
    /// May go by itself: no answer, a busy store. What was asked may have been done all the same.
    Transient(String),
    /// Will not go without the operator, and is no fault of this request: credentials, bucket, region, clock.
    Denied(String),
    /// The store has no room.
    Full,
    /// This request will never be taken.
    Refused(String),
    /// What failed is here and not there.
    Here(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

impl From<object_store::Error> for Fault {
    fn from(error: object_store::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(this) = cause {
            if let Some(answer) = this.downcast_ref::<Answer>() {
                return answer.into();
            }
            cause = this.source();
        }
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => Self::Exists,
            object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => {
                Self::Unknown(chain(&error))
            }
            // No answer, half of one, or an error in the body of a 200.
            error => Self::Transient(wire_words(&error)),
        }
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        Self::Transient(chain(&error.without_url()))
    }
}

impl From<&Answer> for Fault {
    fn from(answer: &Answer) -> Self {
        let words = answer.to_string();
        match (answer.status, answer.code.as_str()) {
            (_, "RequestTimeTooSkewed") => Self::Denied(format!(
                "the clocks of this machine and of the store differ too much: set up NTP ({words})"
            )),
            (_, "NoSuchBucket") => Self::Denied(format!("there is no such bucket ({words})")),
            (StatusCode::NOT_FOUND, _) => Self::NotFound,
            (StatusCode::PRECONDITION_FAILED, _) => Self::Exists,
            (StatusCode::RANGE_NOT_SATISFIABLE, _) => Self::OutOfRange,
            (StatusCode::INSUFFICIENT_STORAGE, _) | (_, "QuotaExceeded" | "XMinioStorageFull") => Self::Full,
            (StatusCode::NOT_IMPLEMENTED, _) => Self::Unknown(words),
            (status, _) if status.is_server_error() => Self::Transient(words),
            // A conflict is of two requests at the same moment. The codes are of bodies that were damaged on the way.
            (StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS, _)
            | (
                StatusCode::BAD_REQUEST,
                "BadDigest"
                | "IncompleteBody"
                | "InvalidDigest"
                | "RequestTimeout"
                | "XAmzContentChecksumMismatch"
                | "XAmzContentSHA256Mismatch",
            ) => Self::Transient(words),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                Self::Denied(format!("the store does not take our key ({words})"))
            }
            (status, _) if status.is_redirection() => {
                Self::Denied(format!("the bucket is elsewhere: check blobs.s3_region and s3_endpoint ({words})"))
            }
            _ => Self::Refused(words),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotFound => Self::NotFound,
            Fault::Exists => Self::Io(std::io::ErrorKind::AlreadyExists.into()),
            Fault::Full => Self::Full,
            Fault::Transient(why) | Fault::Denied(why) => Self::Unavailable(why),
            Fault::OutOfRange => Self::Io(std::io::ErrorKind::UnexpectedEof.into()),
            Fault::Unknown(why) | Fault::Refused(why) => Self::Io(std::io::Error::other(why)),
            Fault::Here(error) => error,
        }
    }
}

/// What went wrong on the wire, without the address that `object_store` puts before it: ids of photos stand in those,
/// and no log at its usual level has them.
fn wire_words(error: &(dyn StdError + 'static)) -> String {
    let mut deepest = error;
    loop {
        if deepest.is::<HttpError>() {
            return chain(deepest);
        }
        match deepest.source() {
            Some(cause) => deepest = cause,
            None => return deepest.to_string(),
        }
    }
}

/// An error with its causes, each once: what only the log hears.
fn chain(error: &dyn StdError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(this) = cause {
        let more = this.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = this.source();
    }
    words
}

/// The waits between tries, and their end.
pub(super) struct Retry {
    end: Instant,
    wait: Duration,
}

impl Retry {
    pub(super) fn new(limit: Duration) -> Self {
        Self { end: Instant::now() + limit, wait: WAIT_MIN }
    }

    /// Waits before another try; `false` at once where its time would be over.
    pub(super) async fn again(&mut self, why: &str) -> bool {
        // Half of it by chance, so that those who failed together do not come back together.
        let chance = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
        let wait = self.wait / 2 + self.wait / 2 * chance / 255;
        self.wait = WAIT_MAX.min(self.wait * 2);
        if Instant::now() + wait > self.end {
            return false;
        }
        tracing::debug!(why, "S3 is tried again");
        tokio::time::sleep(wait).await;
        true
    }
}
