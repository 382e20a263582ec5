//! What the tests share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use blobs::{Blobs, BlobsOptions};
use bytes::Bytes;
use decoder::{Decoder, DecoderOptions, Recipe};
use futures_util::{Stream, StreamExt, stream};
use intake::{BodyError, FormKind, Intake, Limits, Options, Receipt, Refusal, Rooms, Upload, Uploader};
use jiff::Timestamp;
use records::{CatalogOptions, NewCameraSettings, RecordingMode, Records, Registered, SettingsChoice, Sync};
use testkit::form::BOUNDARY;
use testkit::rig::store;
use testkit::{Form, Shot, photo};
use uuid::Uuid;

/// Whose session it is.
pub const ANNA: Uploader = Uploader { user_id: 1, is_admin: false };
pub const BEN: Uploader = Uploader { user_id: 2, is_admin: false };

pub struct House {
    pub intake: Intake,
    pub records: Records,
    pub blobs: Blobs,
    pub derivatives: Blobs,
    pub session: Uuid,
    pub settings: Uuid,
    pub seconds: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

pub fn limits() -> Limits {
    Limits {
        upload_bytes_max: 1_000_000,
        request_bytes_max: 4_000_000,
        captures_per_request_max: 5,
        parts_per_request_max: 20,
        metadata_bytes_max: 4096,
        metadata_depth_max: 8,
        uploads_in_flight_max: 100,
        uploads_in_flight_per_user_max: 100,
        bytes_in_flight_max: 100_000_000,
        bytes_in_flight_per_user_max: 100_000_000,
        image: imaging::Limits::default(),
    }
}

/// A house with one session of Anna's, whose settings want INTERVAL.
pub async fn house() -> House {
    house_with(limits()).await
}

pub async fn house_with(limits: Limits) -> House {
    let folder = tempfile::tempdir().unwrap();
    // Thousands of uploads, and the fault rigs are for fsyncs.
    let catalog = CatalogOptions { sync: Sync::Relaxed, ..CatalogOptions::default() };
    let records = Records::open(&folder.path().join("catalog.sqlite"), &catalog).unwrap();
    let options = BlobsOptions { durable: false, ..BlobsOptions::default() };
    let blobs = Blobs::open(&folder.path().join("blobs"), options).unwrap();
    let seconds = Arc::new(AtomicI64::new(1_800_000_000));
    let time = seconds.clone();
    let clock: intake::Clock = Arc::new(move || Timestamp::from_second(time.load(Ordering::Relaxed)).unwrap());
    let settings = Uuid::now_v7();
    records.create_camera_settings(settings, interval(), clock()).await.unwrap();
    let session = Uuid::now_v7();
    let choice = SettingsChoice::Chosen(Some(settings));
    let registered = records.register_session(session, ANNA.user_id, choice, clock()).await.unwrap();
    assert!(matches!(registered, Registered::Created(_)));
    let options = BlobsOptions { durable: false, ..BlobsOptions::default() };
    let derivatives = Blobs::open(&folder.path().join("blobs/.derivatives"), options).unwrap();
    let rooms = Rooms {
        records: records.clone(),
        blobs: blobs.clone(),
        derivatives: derivatives.clone(),
        decoder: decoder(),
        sessions: None,
        clock,
    };
    let intake = Intake::new(rooms, limits, Options::default());
    House { intake, records, blobs, derivatives, session, settings, seconds, folder }
}

/// Nobody decodes here: that is tried at the socket, with the program itself.
fn decoder() -> Decoder {
    Decoder::new(DecoderOptions {
        program: "/nonexistent".into(),
        arguments: Vec::new(),
        processes_max: 1,
        memory_bytes_max: 1 << 30,
        timeout: Duration::from_secs(1),
        niceness: 0,
        recipe: Recipe::default(),
    })
}

/// Settings that want INTERVAL and nothing else.
pub fn interval() -> NewCameraSettings {
    NewCameraSettings {
        setting_name: "interval".to_owned(),
        recording_mode: RecordingMode::Interval,
        interval_seconds: Some(5),
        resolution: "1280x720".to_owned(),
        capture_on_button_click: false,
        capture_on_message_send: false,
        capture_on_question_start: false,
        is_active: true,
        is_default: false,
    }
}

/// A small whole photo that no other seed shares.
pub fn frame(seed: u64) -> Vec<u8> {
    photo::jpeg(16, 8, seed)
}

pub fn batch(uploader: Uploader) -> Upload {
    Upload {
        uploader,
        kind: FormKind::Batch,
        boundary: BOUNDARY.to_owned(),
        content_length: None,
        idempotency_key: None,
        of_timer: false,
    }
}

pub fn keyed(key: &str) -> Upload {
    Upload { idempotency_key: Some(key.to_owned()), ..batch(ANNA) }
}

/// A body that arrives in these pieces.
pub fn body(pieces: Vec<Vec<u8>>) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static {
    stream::iter(pieces).map(|piece| Ok(Bytes::from(piece)))
}

impl House {
    /// A batch of this session's, with its trigger for each frame.
    pub fn form(&self, shots: &[(u64, &str)]) -> Form {
        let shots: Vec<Shot> =
            shots.iter().map(|(seed, trigger)| Shot { photo: frame(*seed), trigger: (*trigger).to_owned() }).collect();
        testkit::api::upload_form(&self.session.to_string(), &shots)
    }

    pub fn single(&self) -> Upload {
        Upload { kind: FormKind::Single { session_id: self.session.to_string() }, ..batch(ANNA) }
    }

    pub async fn send(&self, upload: Upload, form: &Form) -> Result<Receipt, Refusal> {
        self.intake.receive(upload, body(vec![form.bytes()])).await
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Where each published photo lies.
    pub fn files(&self) -> Vec<PathBuf> {
        store::published(&self.data()).unwrap().into_values().collect()
    }

    pub async fn rows(&self) -> Vec<records::Capture> {
        self.records.captures_by_id(Uuid::nil(), 10_000).await.unwrap()
    }

    fn metric(&self, name: &str) -> u64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.intake.register_metrics(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// So many photos, each with its row, and besides nothing: no staging file, no place taken, no byte reserved.
    pub async fn holds(&self, photos: usize) {
        for _ in 0..400 {
            let rows = self.rows().await;
            let done = self.metric("uploads_in_flight") == 0
                && self.metric("bytes_in_flight") == 0
                && store::staged(&self.data()).is_empty()
                && rows.len() == photos
                && self.files().len() == photos;
            if done {
                for row in rows {
                    self.blobs.open_verified(row.blob.key, blobs::Part::WHOLE, row.blob.sha256).await.unwrap();
                }
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!(
            "wanted {photos} photos: {} rows, {:?}, staged {:?}, {} uploads, {} bytes",
            self.rows().await.len(),
            self.files(),
            store::staged(&self.data()),
            self.metric("uploads_in_flight"),
            self.metric("bytes_in_flight")
        );
    }
}

/// Polls a future so many times and lets it go wherever it is then; whether it came to its end.
pub async fn polled(times: usize, future: impl Future) -> bool {
    let mut future = std::pin::pin!(future);
    let mut left = times;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}
