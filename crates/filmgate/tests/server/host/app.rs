//! An app with a real database of its own, and Filmgate beside it. Its users come by tokens, made here.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use testkit::api::{Shot, upload_form};
use testkit::rig::mariadb::{self, MariaDb};
use testkit::rig::postgres::{self, Postgres};
use testkit::server::{Server, ServerBuilder};
use testkit::{Request, Response, photo};

use crate::support::{holds_within, patient, unique, unprocessed};

const SECRET: &str = "a secret of thirty-two bytes....";
/// How long an answer of the app's database counts in these tests.
pub const CACHE: Duration = Duration::from_millis(300);
/// Until something that was cached is seen, on a busy machine.
pub const SEEN: Duration = Duration::from_secs(10);

/// What the app's primary keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    Integer,
    Uuid,
}

pub enum Database {
    Sqlite(tempfile::TempDir),
    Postgres(Arc<Postgres>, String),
    MariaDb(Arc<MariaDb>, String),
}

pub struct App {
    pub database: Database,
    keys: Keys,
}

static POSTGRES: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
static MARIADB: Mutex<Weak<MariaDb>> = Mutex::new(Weak::new());

/// One for all tests, as long as one of them needs it.
fn shared<T>(place: &Mutex<Weak<T>>, start: impl FnOnce() -> T) -> Arc<T> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    place.upgrade().unwrap_or_else(|| {
        let started = Arc::new(start());
        *place = Arc::downgrade(&started);
        started
    })
}

impl App {
    pub fn on_sqlite(keys: Keys) -> Self {
        let app = Self { database: Database::Sqlite(tempfile::tempdir().unwrap()), keys };
        app.make()
    }

    pub fn on_postgres(keys: Keys) -> Self {
        Self::of(shared(&POSTGRES, || Postgres::start().unwrap()), keys)
    }

    pub fn of(server: Arc<Postgres>, keys: Keys) -> Self {
        let name = unique("app").replace('-', "_");
        server.create_database(&name).unwrap();
        Self { database: Database::Postgres(server, name), keys }.make()
    }

    pub fn on_mariadb(keys: Keys) -> Self {
        let server = shared(&MARIADB, || MariaDb::start().unwrap());
        let name = unique("app").replace('-', "_");
        server.create_database(&name).unwrap();
        Self { database: Database::MariaDb(server, name), keys }.make()
    }

    /// The app over a server that came back.
    pub fn again(server: Postgres, name: String, keys: Keys) -> Self {
        Self { database: Database::Postgres(Arc::new(server), name), keys }
    }

    /// An app on each engine that is there; says what is not run.
    pub fn on_each() -> Vec<Self> {
        let mut apps = vec![Self::on_sqlite(Keys::Integer)];
        match postgres::NEED.missing() {
            None => apps.push(Self::on_postgres(Keys::Uuid)),
            Some(what) => println!("NOT RUN: on PostgreSQL, it lacks {what}"),
        }
        match mariadb::NEED.missing() {
            None => apps.push(Self::on_mariadb(Keys::Integer)),
            Some(what) => println!("NOT RUN: on MariaDB, it lacks {what}"),
        }
        apps
    }

    fn make(self) -> Self {
        let (key, plain) = match (self.keys, &self.database) {
            (Keys::Integer, Database::Postgres(..)) => ("serial PRIMARY KEY", "integer"),
            (Keys::Integer, Database::MariaDb(..)) => ("INT AUTO_INCREMENT PRIMARY KEY", "INT"),
            (Keys::Integer, Database::Sqlite(_)) => ("INTEGER NOT NULL PRIMARY KEY", "INTEGER"),
            (Keys::Uuid, Database::Postgres(..)) => ("uuid PRIMARY KEY", "uuid"),
            (Keys::Uuid, _) => ("CHAR(36) PRIMARY KEY", "CHAR(36)"),
        };
        let (time, json) = match self.database {
            Database::Postgres(..) => ("timestamp", "jsonb"),
            Database::MariaDb(..) => ("DATETIME(6)", "JSON"),
            Database::Sqlite(_) => ("DATETIME", "JSON"),
        };
        self.execute(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, username VARCHAR(80), is_active BOOLEAN, role VARCHAR(20))",
        );
        self.execute(&format!(
            "CREATE TABLE camera_settings (id {key}, setting_name VARCHAR(100), recording_mode VARCHAR(20),
                 interval_seconds INTEGER, resolution VARCHAR(20), capture_on_button_click BOOLEAN,
                 capture_on_message_send BOOLEAN, capture_on_question_start BOOLEAN, is_active BOOLEAN,
                 is_default BOOLEAN)"
        ));
        self.execute(&format!(
            "CREATE TABLE assessment_sessions (id {key}, user_id INTEGER NOT NULL REFERENCES users (id),
                 camera_settings_id {plain})"
        ));
        self.execute(&format!(
            "CREATE TABLE camera_captures (id {key}, session_id {plain} NOT NULL, filename VARCHAR(255) NOT NULL,
                 file_size_bytes INTEGER, capture_trigger VARCHAR(50) NOT NULL, timestamp {time} NOT NULL,
                 assessment_id {plain}, assessment_type VARCHAR(20), camera_settings_snapshot {json})"
        ));
        self.execute(
            "INSERT INTO users (id, username, is_active, role) VALUES (1, 'ada', true, 'user'), (2, 'bob', true, 'user'),
                 (9, 'eve', true, 'admin')",
        );
        for setting in [7, 8] {
            let key = self.key(setting);
            self.execute(&format!(
                "INSERT INTO camera_settings VALUES ({key}, 'study', 'INTERVAL', 2, '1280x720', true, false, true, true, true)"
            ));
        }
        for (session, user, settings) in [(42, 1, 7), (43, 2, 8)] {
            let (key, settings) = (self.key(session), self.key(settings));
            self.execute(&format!("INSERT INTO assessment_sessions VALUES ({key}, {user}, {settings})"));
        }
        self
    }

    pub fn url(&self) -> String {
        match &self.database {
            Database::Sqlite(folder) => format!("sqlite:///{}", folder.path().join("app.db").display()),
            Database::Postgres(server, name) => server.url(name),
            Database::MariaDb(server, name) => server.url(name),
        }
    }

    fn sqlite(folder: &tempfile::TempDir) -> rusqlite::Connection {
        let link = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
        link.busy_timeout(Duration::from_secs(10)).unwrap();
        link
    }

    pub fn execute(&self, sql: &str) {
        match &self.database {
            Database::Sqlite(folder) => Self::sqlite(folder).execute_batch(sql).unwrap(),
            Database::Postgres(server, name) => drop(server.execute(name, sql).unwrap()),
            Database::MariaDb(server, name) => server.execute(name, sql).unwrap(),
        }
    }

    /// Rows of texts; each column is cast to one where the engine needs that.
    pub fn rows(&self, columns: &[&str], rest: &str) -> Vec<Vec<String>> {
        let kind = if matches!(self.database, Database::MariaDb(..)) { "CHAR" } else { "text" };
        let texts: Vec<String> =
            columns.iter().map(|column| format!("coalesce(CAST({column} AS {kind}), 'NULL')")).collect();
        let sql = format!("SELECT {} {rest}", texts.join(", "));
        match &self.database {
            Database::Sqlite(folder) => {
                let link = Self::sqlite(folder);
                let mut statement = link.prepare(&sql).unwrap();
                let row = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|at| row.get(at)).collect();
                statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
            }
            Database::Postgres(server, name) => server.rows(name, &sql).unwrap(),
            Database::MariaDb(server, name) => server.rows(name, &sql).unwrap(),
        }
    }

    pub fn captures(&self, condition: &str) -> Vec<String> {
        let rest = format!("FROM camera_captures WHERE {condition} ORDER BY filename");
        self.rows(&["filename"], &rest).into_iter().flatten().collect()
    }

    /// A key as the app's pages name it; `number` tells keys apart.
    pub fn name(&self, number: u64) -> String {
        match self.keys {
            Keys::Integer => number.to_string(),
            Keys::Uuid => format!("5b1f0c9e-1d0e-4f0a-8a55-{number:012}"),
        }
    }

    /// The same in SQL.
    pub fn key(&self, number: u64) -> String {
        if self.keys == Keys::Integer { self.name(number) } else { format!("'{}'", self.name(number)) }
    }

    /// A key as it stands in JSON.
    pub fn json(&self, number: u64) -> Value {
        if self.keys == Keys::Integer { number.into() } else { self.name(number).into() }
    }

    /// Filmgate beside it, reading; to be set up further.
    pub fn beside(&self) -> ServerBuilder {
        let cache = CACHE.as_millis().to_string();
        unprocessed(patient())
            .env("FILMGATE__IDENTITY__PROVIDER", "jwt")
            .env("FILMGATE__IDENTITY__JWT__SECRET", SECRET)
            .env("FILMGATE__IDENTITY__JWT__ISSUER", "the app")
            .env("FILMGATE__IDENTITY__JWT__AUDIENCES", "filmgate")
            .env("FILMGATE__HOST__DATABASE_URL", &self.url())
            .env("FILMGATE__HOST__CACHE_MS", &cache)
            .env("FILMGATE__HOST__USER_ACTIVE_COLUMN", "is_active")
            .env("FILMGATE__HOST__USER_ADMIN_COLUMN", "role")
            .env("FILMGATE__HOST__USER_ADMIN_VALUES", "admin")
    }

    /// The same, writing too.
    pub fn written(&self) -> ServerBuilder {
        self.beside().env("FILMGATE__HOST__WRITE_CAPTURES", "true")
    }
}

/// What this user sends to say who they are.
pub fn token(user_id: i64) -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let expires_at = jiff::Timestamp::now().as_second() + 600;
    let claims = json!({"iss": "the app", "aud": "filmgate", "sub": user_id.to_string(), "exp": expires_at});
    let text = format!("{}.{}", part(json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let signer = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).unwrap();
    let signature = signer.chain_update(&text).finalize().into_bytes();
    format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Sends as a user of the app's.
#[track_caller]
pub fn as_user(server: &Server, user_id: i64, request: &Request) -> Response {
    request.clone().header("Authorization", &token(user_id)).send(server.address()).unwrap()
}

/// An upload of a photo of its own.
pub fn upload_of(session: &str, seed: u64) -> Request {
    let shot = Shot::interval(photo::jpeg_bytes(3_000, seed));
    Request::post("/assessment/camera/upload").form(&upload_form(session, &[shot]))
}

/// Uploads one photo of the user's, which is stored; its filename.
#[track_caller]
pub fn stored(server: &Server, user_id: i64, session: &str, seed: u64) -> (String, String) {
    let answer = as_user(server, user_id, &upload_of(session, seed));
    assert_eq!(answer.status, 200, "{answer:?}");
    let capture = &answer.json()["captures"][0];
    let text = |name: &str| capture[name].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    (text("id"), text("filename"))
}

/// Waits until it is so.
#[track_caller]
pub fn soon(what: &str, question: impl FnMut() -> bool) {
    assert!(holds_within(SEEN, question), "{what}");
}
