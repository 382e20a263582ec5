//! An app's database, with the tables as an app makes them: keys of several kinds, flags and times of the engine's own.

use std::time::Duration;

use host::{AppCapture, Host, HostOptions};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Postgres,
    MariaDb,
    Sqlite,
}

/// What the app's primary keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    Integer,
    /// The engine's own type where it has one, else 36 characters.
    Uuid,
    /// 36 characters.
    Text,
    /// SQLAlchemy's `Uuid` where the engine has no type for it: 32 digits.
    Digits,
    Bytes,
}

pub const KEYS: [Keys; 5] = [Keys::Integer, Keys::Uuid, Keys::Text, Keys::Digits, Keys::Bytes];

pub struct App {
    pub engine: Engine,
    pub keys: Keys,
    pub url: String,
    _folder: Option<tempfile::TempDir>,
}

pub fn engine() -> Engine {
    if std::env::var("FILMGATE_TEST_MARIADB_URL").is_ok() {
        Engine::MariaDb
    } else if std::env::var("FILMGATE_TEST_POSTGRES_URL").is_ok() {
        Engine::Postgres
    } else {
        Engine::Sqlite
    }
}

async fn connect(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(url).await.unwrap()
}

impl App {
    /// A database of its own without a table.
    pub async fn empty(keys: Keys) -> Self {
        let engine = engine();
        let name = format!("app_{}", Uuid::now_v7().simple());
        let variable = match engine {
            Engine::Postgres => "FILMGATE_TEST_POSTGRES_URL",
            Engine::MariaDb => "FILMGATE_TEST_MARIADB_URL",
            Engine::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}/app.db", folder.path().display());
                connect(&format!("{url}?mode=rwc")).await.close().await.unwrap();
                return Self { engine, keys, url, _folder: Some(folder) };
            }
        };
        let server = std::env::var(variable).unwrap();
        let mut link = connect(&server).await;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut link).await.unwrap();
        let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
        Self { engine, keys, url, _folder: None }
    }

    /// The contract's tables, with a user 1 and a user 2.
    pub async fn new(keys: Keys) -> Self {
        let app = Self::empty(keys).await;
        app.execute(&app.schema()).await;
        app.execute("INSERT INTO users (id, username, is_active) VALUES (1, 'ada', true), (2, 'bob', true)").await;
        app
    }

    fn schema(&self) -> String {
        use Engine::{MariaDb, Postgres, Sqlite};
        let (key, plain) = match (self.keys, self.engine) {
            (Keys::Integer, Postgres) => ("serial PRIMARY KEY", "integer"),
            (Keys::Integer, MariaDb) => ("INT AUTO_INCREMENT PRIMARY KEY", "INT"),
            (Keys::Integer, Sqlite) => ("INTEGER NOT NULL PRIMARY KEY", "INTEGER"),
            (Keys::Uuid, Postgres | MariaDb) => ("uuid PRIMARY KEY", "uuid"),
            (Keys::Digits, _) => ("CHAR(32) PRIMARY KEY", "CHAR(32)"),
            (Keys::Bytes, Postgres) => ("bytea PRIMARY KEY", "bytea"),
            (Keys::Bytes, _) => ("BINARY(16) PRIMARY KEY", "BINARY(16)"),
            (Keys::Uuid | Keys::Text, _) => ("CHAR(36) PRIMARY KEY", "CHAR(36)"),
        };
        let (mode, time, json) = match self.engine {
            Postgres => ("recordingmode", "timestamp", "jsonb"),
            MariaDb => ("ENUM('INTERVAL', 'EVENT_DRIVEN')", "DATETIME(6)", "JSON"),
            Sqlite => ("VARCHAR(12)", "DATETIME", "JSON"),
        };
        let words = if self.engine == Postgres {
            "CREATE TYPE recordingmode AS ENUM ('INTERVAL', 'EVENT_DRIVEN');"
        } else {
            ""
        };
        format!(
            "{words}
             CREATE TABLE users (id INTEGER PRIMARY KEY, username VARCHAR(80) NOT NULL, is_active BOOLEAN NOT NULL);
             CREATE TABLE camera_settings (
                 id {key}, setting_name VARCHAR(100) NOT NULL, recording_mode {mode} NOT NULL,
                 interval_seconds INTEGER, resolution VARCHAR(20) NOT NULL,
                 capture_on_button_click BOOLEAN NOT NULL, capture_on_message_send BOOLEAN NOT NULL,
                 capture_on_question_start BOOLEAN NOT NULL, is_active BOOLEAN NOT NULL, is_default BOOLEAN NOT NULL);
             CREATE TABLE assessment_sessions (
                 id {key}, user_id INTEGER NOT NULL REFERENCES users (id),
                 camera_settings_id {plain} REFERENCES camera_settings (id));
             CREATE TABLE camera_captures (
                 id {key}, session_id {plain} NOT NULL REFERENCES assessment_sessions (id),
                 filename VARCHAR(255) NOT NULL, file_size_bytes INTEGER, capture_trigger VARCHAR(50) NOT NULL,
                 timestamp {time} NOT NULL, assessment_id {plain}, assessment_type VARCHAR(20),
                 camera_settings_snapshot {json});"
        )
    }

    pub async fn execute(&self, sql: &str) {
        let mut link = connect(&self.url).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut link).await.unwrap_or_else(|e| panic!("{e}: {sql}"));
        link.close().await.unwrap();
    }

    /// The first column of each row, which must be text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let mut link = connect(&self.url).await;
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut link).await.unwrap();
        link.close().await.unwrap();
        rows.iter()
            .map(|row| row.try_get_unchecked::<Option<String>, _>(0).unwrap().unwrap_or("NULL".to_owned()))
            .collect()
    }

    pub async fn count(&self, condition: &str) -> usize {
        let text = match self.engine {
            Engine::MariaDb => "CHAR",
            _ => "text",
        };
        let sql = format!("SELECT CAST(count(*) AS {text}) FROM camera_captures WHERE {condition}");
        self.texts(&sql).await[0].parse().unwrap()
    }

    /// A key as the app's column holds it, in SQL. `number` tells keys apart.
    pub fn key(&self, number: u64) -> String {
        let uuid = uuid(number);
        match (self.keys, self.engine) {
            (Keys::Integer, _) => number.to_string(),
            (Keys::Digits, _) => format!("'{}'", uuid.simple()),
            (Keys::Bytes, Engine::Postgres) => format!("'\\x{}'", uuid.simple()),
            (Keys::Bytes, _) => format!("x'{}'", uuid.simple()),
            _ => format!("'{uuid}'"),
        }
    }

    /// The same as the app's pages name it.
    pub fn name(&self, number: u64) -> String {
        if self.keys == Keys::Integer { number.to_string() } else { uuid(number).to_string() }
    }

    pub async fn settings(&self, number: u64, mode: &str, interval: &str) {
        let key = self.key(number);
        self.execute(&format!(
            "INSERT INTO camera_settings (id, setting_name, recording_mode, interval_seconds, resolution,
                 capture_on_button_click, capture_on_message_send, capture_on_question_start, is_active, is_default)
             VALUES ({key}, 'study {number}', '{mode}', {interval}, '1280x720', true, false, true, true, false)"
        ))
        .await;
    }

    pub async fn session(&self, number: u64, user: i64, settings: Option<u64>) {
        let (key, settings) = (self.key(number), settings.map_or("NULL".to_owned(), |number| self.key(number)));
        self.execute(&format!(
            "INSERT INTO assessment_sessions (id, user_id, camera_settings_id) VALUES ({key}, {user}, {settings})"
        ))
        .await;
    }

    pub fn options(&self) -> HostOptions {
        HostOptions { cache: Duration::ZERO, cache_absent: Duration::ZERO, ..HostOptions::new(self.url.clone()) }
    }

    /// Without a cache, so that each question is asked.
    pub fn host(&self) -> Host {
        Host::new(self.options()).unwrap()
    }

    pub fn capture(&self, session: u64) -> AppCapture {
        let id = Uuid::now_v7();
        AppCapture {
            id,
            session_key: self.name(session),
            filename: format!("{id}.jpg"),
            file_size_bytes: 123_456,
            capture_trigger: "INTERVAL".to_owned(),
            timestamp: "2026-11-24T08:00:00.123456Z".parse().unwrap(),
            assessment_id: None,
            assessment_type: "GENERAL".to_owned(),
            camera_settings_snapshot: Some(r#"{"setting_name":"Ünïcode \"x\""}"#.to_owned()),
        }
    }
}

pub fn uuid(number: u64) -> Uuid {
    Uuid::from_u128(0x5b1f_0c9e_1d0e_4f0a_8a55_0000_0000_0000 + u128::from(number))
}
