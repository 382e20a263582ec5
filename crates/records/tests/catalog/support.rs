//! What the tests share.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use records::{
    AssessmentType, CameraSettings, CatalogOptions, Claim, ClaimTerms, Effect, Ending, Error, EventKind, EventSink,
    Finished, NewCameraSettings, NewCapture, PostgresOptions, Recorded, Recording, RecordingError, RecordingMode,
    Records, Registered, Session, SettingsChoice, StoredBlob, Task, TaskFilter, TaskKind,
};
use uuid::Uuid;

/// A catalog of its own. The one place that names an engine: with `FILMGATE_TEST_POSTGRES_URL` the same cases run on a
/// database of that server, made for each.
pub struct Catalog {
    pub records: Records,
    place: Place,
}

enum Place {
    File(tempfile::TempDir),
    Server(PostgresOptions),
}

impl std::ops::Deref for Catalog {
    type Target = Records;
    fn deref(&self) -> &Records {
        &self.records
    }
}

pub async fn catalog() -> Catalog {
    catalog_heard_by(&[]).await
}

/// A catalog whose events these sinks hear, each of all kinds.
pub async fn catalog_heard_by(sinks: &[&str]) -> Catalog {
    let sink = |name: &&str| EventSink { name: (*name).to_owned(), kinds: EventKind::ALL.to_vec() };
    let options = CatalogOptions { event_sinks: sinks.iter().map(sink).collect(), ..CatalogOptions::default() };
    let place = match std::env::var("FILMGATE_TEST_POSTGRES_URL") {
        Ok(server) => Place::Server(new_database(&server).await),
        Err(_) => Place::File(tempfile::tempdir().unwrap()),
    };
    let records = place.open(&options).await;
    Catalog { records, place }
}

/// A catalog in a file, whatever the others are: for what is about files.
pub async fn file_catalog() -> Catalog {
    let place = Place::File(tempfile::tempdir().unwrap());
    Catalog { records: place.open(&CatalogOptions::default()).await, place }
}

pub fn open(path: &Path) -> records::Result<Records> {
    Records::open(path, &CatalogOptions::default())
}

pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The URL of a server with another database's name in it.
fn url_of(server: &str, database: &str) -> String {
    let (head, query) = server.split_once('?').map_or((server, None), |(head, query)| (head, Some(query)));
    let server = head.rsplit_once('/').unwrap().0;
    query.map_or(format!("{server}/{database}"), |query| format!("{server}/{database}?{query}"))
}

async fn new_database(server: &str) -> PostgresOptions {
    let name = format!("test_{}", Uuid::now_v7().simple());
    connect(server).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    PostgresOptions {
        url: url_of(server, &name),
        tls_ca_pem: None,
        connections_max: 8,
        unavailable_after: std::time::Duration::from_secs(5),
    }
}

impl Place {
    async fn open(&self, options: &CatalogOptions) -> Records {
        match self {
            Self::File(folder) => Records::open(&folder.path().join("catalog.sqlite"), options).unwrap(),
            Self::Server(server) => Records::open_postgres(server, options).await.unwrap(),
        }
    }
}

impl Catalog {
    pub fn path(&self) -> PathBuf {
        match &self.place {
            Place::File(folder) => folder.path().join("catalog.sqlite"),
            Place::Server(_) => panic!("a catalog in a file"),
        }
    }

    pub fn server(&self) -> PostgresOptions {
        match &self.place {
            Place::Server(server) => server.clone(),
            Place::File(_) => panic!("a catalog on a server"),
        }
    }

    /// The catalog opened once more, as another process does it.
    pub async fn beside(&self) -> Records {
        self.place.open(&CatalogOptions::default()).await
    }

    /// Closed, and opened again.
    pub async fn reopened(mut self) -> Self {
        self.records.clone().close().await;
        self.records = self.beside().await;
        self
    }

    pub async fn new_settings(&self, name: &str) -> CameraSettings {
        self.create_camera_settings(Uuid::now_v7(), chosen(name), at(1)).await.unwrap()
    }

    pub async fn new_session(&self, user_id: i64) -> Session {
        let registered = self.register_session(Uuid::now_v7(), user_id, SettingsChoice::Default, at(2)).await.unwrap();
        let Registered::Created(session) = registered else { panic!("{registered:?}") };
        session
    }

    pub async fn recording(&self, session: Uuid, captures: Vec<NewCapture>) -> Recording {
        let gate = self.session_gate(session).await.unwrap().unwrap();
        Recording { gate, captures, idempotency: None, now: at(9) }
    }

    pub async fn record(&self, session: Uuid, captures: Vec<NewCapture>) -> Result<Recorded, RecordingError> {
        self.record_captures(self.recording(session, captures).await).await
    }

    /// Records so many captures of a user, one after the other from [`at`] this second; their tasks.
    pub async fn upload(&self, user_id: i64, many: usize, seconds: i64) -> Vec<Uuid> {
        let session = self.new_session(user_id).await.id;
        let captures: Vec<_> = (seconds..).take(many).map(capture).collect();
        let tasks = captures.iter().map(|capture| capture.task_id).collect();
        self.record(session, captures).await.unwrap();
        tasks
    }

    pub async fn claim(&self, kind: TaskKind, max: usize, now: Timestamp) -> Vec<Claim> {
        self.claim_tasks(terms(kind), max, now).await.unwrap().claims
    }

    pub async fn finish(&self, claim: &Claim, ending: Ending, now: Timestamp) -> Finished {
        self.finish_task(claim.task.id, claim.fence, ending, now).await.unwrap()
    }

    pub async fn succeed(&self, claim: &Claim, effect: Effect, now: Timestamp) -> Finished {
        self.finish(claim, Ending::Success(effect), now).await
    }

    pub async fn task_now(&self, id: Uuid) -> Task {
        self.task(id).await.unwrap().unwrap()
    }

    pub async fn tasks_of(&self, kind: TaskKind) -> Vec<Task> {
        let filter = TaskFilter { kind: Some(kind), ..TaskFilter::default() };
        self.tasks(filter, None, 1000).await.unwrap().items
    }

    /// What changes with every write of a task: the file's log, or where each row lies and who wrote it.
    pub async fn written(&self) -> Vec<u8> {
        match &self.place {
            Place::File(_) => std::fs::read(format!("{}-wal", self.path().display())).unwrap(),
            Place::Server(server) => {
                let rows =
                    "SELECT string_agg(concat_ws(' ', id, ctid, xmin, xmax), ',' ORDER BY id) FROM filmgate.tasks";
                connect(&server.url).await.query_one(rows, &[]).await.unwrap().get::<_, String>(0).into_bytes()
            }
        }
    }

    /// Looks into the catalog from outside.
    pub async fn count(&self, sql: &str) -> i64 {
        match &self.place {
            Place::File(_) => {
                rusqlite::Connection::open(self.path()).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
            }
            Place::Server(server) => {
                let client = connect(&server.url).await;
                client.batch_execute("SET search_path = filmgate").await.unwrap();
                client.query_one(sql, &[]).await.unwrap().get(0)
            }
        }
    }
}

/// A moment, so many seconds after the first one.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub fn chosen(name: &str) -> NewCameraSettings {
    NewCameraSettings {
        setting_name: name.to_owned(),
        recording_mode: RecordingMode::Interval,
        interval_seconds: Some(5),
        resolution: "1280x720".to_owned(),
        capture_on_button_click: false,
        capture_on_message_send: true,
        capture_on_question_start: false,
        is_active: true,
        is_default: false,
    }
}

/// How long a claim of the tests holds.
pub const LEASE_SECONDS: i64 = 60;

/// Claims for `worker`, three attempts.
pub fn terms(kind: TaskKind) -> ClaimTerms {
    ClaimTerms {
        kind,
        worker: "serve/one".to_owned(),
        lease: SignedDuration::from_secs(LEASE_SECONDS),
        attempts_max: 3,
        takes_back: true,
    }
}

/// A capture received at [`at`] so many seconds.
pub fn capture(seconds: i64) -> NewCapture {
    let id = Uuid::now_v7();
    NewCapture {
        id,
        task_id: Uuid::now_v7(),
        task_priority: 1,
        filename: format!("{id}.jpg"),
        blob: StoredBlob {
            key: format!("2027-01-15/0800/{id}.jpg"),
            format: "plain".to_owned(),
            size_bytes: 12_345,
            sha256: [7; 32],
        },
        content_type: "image/jpeg".to_owned(),
        width_px: 1280,
        height_px: 720,
        trigger: "INTERVAL".to_owned(),
        assessment_type: AssessmentType::General,
        assessment_id: None,
        captured_at: Some("2027-01-15T08:00:00Z".to_owned()),
        received_at: at(seconds),
        metadata: r#"{"ü":1}"#.to_owned(),
    }
}

#[allow(clippy::needless_pass_by_value)] // reads better where it is called
pub fn conflict<T: std::fmt::Debug>(outcome: records::Result<T>) {
    assert!(matches!(outcome, Err(Error::Conflict(_))), "{outcome:?}");
}

/// The engine itself would not have it.
pub fn refused(error: &Error) -> bool {
    matches!(error, Error::Engine(_) | Error::Postgres { .. })
}

#[allow(clippy::needless_pass_by_value)] // as above
pub fn not_found<T: std::fmt::Debug>(outcome: records::Result<T>) {
    assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
}
