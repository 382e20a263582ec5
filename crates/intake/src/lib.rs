//! The way of a capture, from the socket's bytes to durable and back.
//!
//! **Owns** the order of work on an upload: *gate cheaply* as soon as the session is known, *stage* while bytes arrive,
//! *gate again* with everything known, check the structure, *publish*, *record*, and only then let the answer go.
//! **Promises** that all captures of a request are stored or none is; that a retry with the same idempotency key gets
//! the same answer and stores nothing twice; that a client who leaves half-way leaves nothing behind; that a crash
//! leaves at most bytes without a row, which [`Intake::recover`] sets aside.
//! **Leaves** to others: HTTP (`filmgate`), how rows and bytes become durable (`records`, `blobs`), what a photo is
//! (`imaging`).
//!
//! [`Intake::receive`] is the one door in.

mod admission;
mod delete;
mod disposition;
mod form;
mod fsck;
mod gate;
mod import;
mod keys;
mod metadata;
mod multipart;
mod pressure;
mod process;
mod publish;
mod receive;
mod refusal;
mod source;
mod sweep;
mod turns;

use std::sync::Arc;
use std::time::Instant;

use blobs::Blobs;
use decoder::Decoder;
use jiff::Timestamp;
use records::Records;

pub use delete::FileRefusal;
pub use fsck::{FsckOptions, FsckReport};
pub use gate::Trigger;
pub use import::{OldPhoto, Ready, Unusable};
pub use pressure::{HintOptions, Wish};
pub use process::ProcessOutcome;
pub use receive::{BodyError, FormKind, Receipt, Skipped, StoredCapture, Upload, Uploader, contract_time};
pub use refusal::{ERROR_CODES, Refusal};
pub use source::SessionSource;
pub use sweep::{Keep, Recovered, Swept};

/// Tells the time. Passed in, so that tests can say what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What one upload, one user and the whole server may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one photo.
    pub upload_bytes_max: u64,
    /// Bytes of one request's body.
    pub request_bytes_max: u64,
    /// Photos in one request.
    pub captures_per_request_max: usize,
    /// Parts of one form, fields included.
    pub parts_per_request_max: usize,
    /// Bytes of one text field.
    pub metadata_bytes_max: usize,
    /// How deep metadata may nest.
    pub metadata_depth_max: usize,
    /// Uploads at once, in all.
    pub uploads_in_flight_max: usize,
    /// Uploads at once, of one user.
    pub uploads_in_flight_per_user_max: usize,
    /// Bytes under way at once, in all.
    pub bytes_in_flight_max: u64,
    /// Bytes under way at once, of one user.
    pub bytes_in_flight_per_user_max: u64,
    /// What a photo's structure may ask for.
    pub image: imaging::Limits,
}

/// What of a photo is checked before its upload is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Its structure.
    Structure,
    /// Also that it can be decoded.
    Decode,
}

/// What becomes of an original once it is processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// It stays as it was received.
    Keep,
    /// One without metadata takes its place.
    Strip,
}

/// What a deployment chose.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is checked before the answer.
    pub verify: Verify,
    /// What becomes of originals.
    pub original: Original,
    /// Most differing bits of a near-duplicate's perceptual hash.
    pub near_duplicate_bits_max: u32,
    /// What is asked of cameras under pressure.
    pub hints: HintOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            verify: Verify::Structure,
            original: Original::Keep,
            near_duplicate_bits_max: 6,
            hints: HintOptions::default(),
        }
    }
}

/// Photos read back for a decode before their answer, at once.
const VERIFYING_MAX: usize = 8;

/// What intake works with.
#[derive(Clone)]
pub struct Rooms {
    /// The rows.
    pub records: Records,
    /// The photos.
    pub blobs: Blobs,
    /// What processing makes of them.
    pub derivatives: Blobs,
    /// Who decodes.
    pub decoder: Decoder,
    /// Who knows the sessions; `None`: the catalog alone.
    pub sessions: Option<Arc<dyn SessionSource>>,
    /// The time.
    pub clock: Clock,
}

/// The way in, open. Cheap to clone.
#[derive(Clone)]
pub struct Intake(Arc<Parts>);

/// What an [`Intake`] is made of.
pub struct Parts {
    records: Records,
    blobs: Blobs,
    derivatives: Blobs,
    decoder: Decoder,
    options: Options,
    verifying: turns::Turns,
    sessions: Option<Arc<dyn SessionSource>>,
    limits: Arc<Limits>,
    clock: Clock,
    admission: admission::Admission,
    pressure: pressure::Pressure,
    keys_in_progress: keys::KeysInProgress,
    metrics: receive::Metrics,
}

impl std::ops::Deref for Intake {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Intake {
    /// Opens the way in.
    pub fn new(rooms: Rooms, limits: Limits, options: Options) -> Self {
        let Rooms { records, blobs, derivatives, decoder, sessions, clock } = rooms;
        let limits = Arc::new(limits);
        let pressure = pressure::Pressure::new(options.hints.clone(), Instant::now());
        Self(Arc::new(Parts {
            records,
            blobs,
            derivatives,
            decoder,
            options,
            sessions,
            verifying: turns::Turns::new(VERIFYING_MAX),
            admission: admission::Admission::new(limits.clone(), pressure.clone()),
            pressure,
            limits,
            clock,
            keys_in_progress: keys::KeysInProgress::default(),
            metrics: receive::Metrics::new(),
        }))
    }

    /// Adds intake's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.metrics.register(registry);
        self.admission.register_metrics(registry);
        self.pressure.register_metrics(registry);
    }

    /// The store of what processing makes.
    pub fn derivatives(&self) -> &Blobs {
        &self.derivatives
    }

    /// What is asked of cameras just now.
    pub fn wish(&self) -> Wish {
        self.pressure.wish(Instant::now())
    }

    /// Uploads under way, and the most there may be.
    pub fn uploads_in_flight(&self) -> (usize, usize) {
        (self.admission.requests(), self.limits.uploads_in_flight_max)
    }
}
