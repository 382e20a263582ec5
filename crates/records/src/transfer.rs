//! A catalog copied into another, row by row, whatever engine either has: for moving house and for backups.
//!
//! **Promises** that what is copied is one moment of the source, however much is written meanwhile; that a copy which
//! was broken off can go on; that [`Records::compare`] reads every row of both and names the first that differ.
//! **Leaves** to others: the photos; that nobody else writes to the destination.

use std::cmp::Ordering;

use uuid::Uuid;

use crate::db::{Db, Dialect, Row, Value};
use crate::{Records, Result};

/// Rows read, written and compared at once.
const STEP: usize = 500;
/// Values that a statement of every engine takes.
const VALUES_MAX: usize = 30_000;

/// A table, in the order in which its rows may be written.
struct Table {
    name: &'static str,
    /// What its rows are ordered by; unique.
    key: &'static [&'static str],
    columns: &'static [&'static str],
}

const TABLES: &[Table] = &[
    Table {
        name: "users",
        key: &["id"],
        columns: &["id", "username", "password_hash", "role", "is_active", "created_at"],
    },
    Table { name: "sign_ins", key: &["secret_hash"], columns: &["secret_hash", "user_id", "created_at", "expires_at"] },
    Table {
        name: "tokens",
        key: &["id"],
        columns: &["id", "name", "scope", "user_id", "secret_hash", "created_at", "expires_at", "revoked_at"],
    },
    Table {
        name: "camera_settings",
        key: &["id"],
        columns: &[
            "id",
            "setting_name",
            "recording_mode",
            "interval_seconds",
            "resolution",
            "capture_on_button_click",
            "capture_on_message_send",
            "capture_on_question_start",
            "is_active",
            "is_default",
            "created_at",
            "updated_at",
            "host_key",
        ],
    },
    Table {
        name: "assessment_sessions",
        key: &["id"],
        columns: &["id", "user_id", "camera_settings_id", "created_at", "ended_at", "host_key"],
    },
    Table {
        name: "captures",
        key: &["id"],
        columns: &[
            "id",
            "session_id",
            "filename",
            "blob_key",
            "blob_format",
            "content_type",
            "size_bytes",
            "width_px",
            "height_px",
            "sha256",
            "capture_trigger",
            "assessment_type",
            "assessment_id",
            "captured_at",
            "received_at",
            "settings_snapshot",
            "metadata",
            "processed_count",
            "processed_at",
            "upright_width_px",
            "upright_height_px",
            "taken_at",
            "placeholder",
            "sharpness",
            "brightness",
            "perceptual_hash",
            "near_duplicate_of",
            "received_sha256",
            "failure",
            "quarantined_at",
        ],
    },
    Table {
        name: "tombstones",
        key: &["capture_id"],
        columns: &["capture_id", "session_id", "filename", "blob_key", "reason", "deleted_at"],
    },
    Table {
        name: "idempotency_keys",
        key: &["user_id", "key"],
        columns: &["user_id", "key", "digest", "answer", "created_at"],
    },
    Table {
        name: "tasks",
        key: &["id"],
        columns: &[
            "id",
            "kind",
            "state",
            "capture_id",
            "session_id",
            "user_id",
            "sink",
            "payload",
            "priority",
            "turn",
            "is_ready",
            "available_at",
            "attempts",
            "fence",
            "worker",
            "lease_expires_at",
            "handed_over_at",
            "error",
            "created_at",
            "started_at",
            "finished_at",
        ],
    },
    Table {
        name: "derivatives",
        key: &["capture_id", "size", "content_type"],
        columns: &[
            "capture_id",
            "size",
            "content_type",
            "blob_key",
            "offset_bytes",
            "size_bytes",
            "width_px",
            "height_px",
            "sha256",
        ],
    },
    Table { name: "doomed_blobs", key: &["store", "blob_key"], columns: &["store", "blob_key", "doomed_at"] },
];

/// How far a copy or a comparison is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The table under way.
    pub table: &'static str,
    /// Rows done, of all tables.
    pub done: u64,
    /// Rows there are to do, of all tables.
    pub total: u64,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Rows that are the same on both sides.
    pub same: u64,
    /// Rows that are not: the table, and what is wrong. No value of a row is told but an opaque id. At most 20.
    pub differences: Vec<String>,
}

/// A value that outlives its row.
#[derive(Clone, Debug, PartialEq)]
enum Held {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Held {
    /// The same for both engines: one has no type for ids, the other none for flags.
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Int(value.into()),
            Value::Int(value) => Self::Int(value),
            Value::Real(value) => Self::Real(value),
            Value::Text(value) => Self::Text(value.to_owned()),
            Value::Blob(value) => Self::Blob(value.to_owned()),
            Value::Uuid(value) => Self::Blob(value.as_bytes().to_vec()),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(value) => Value::Int(*value),
            Self::Real(value) => Value::Real(*value),
            Self::Text(value) => Value::Text(value),
            Self::Blob(value) => Value::Blob(value),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(this), Self::Int(other)) => this.cmp(other),
            (Self::Text(this), Self::Text(other)) => this.as_bytes().cmp(other.as_bytes()),
            (Self::Blob(this), Self::Blob(other)) => this.cmp(other),
            _ => Ordering::Equal,
        }
    }
}

type HeldRow = Vec<Held>;

impl Table {
    fn key_of(&self, row: &[Held]) -> Vec<Held> {
        self.key
            .iter()
            .filter_map(|key| self.columns.iter().position(|column| column == key))
            .filter_map(|at| row.get(at).cloned())
            .collect()
    }

    /// The next rows after a key.
    fn step(&self, db: &Db<'_>, after: Option<&[Held]>) -> Result<Vec<HeldRow>> {
        let (columns, key) = (self.columns.join(", "), self.key.join(", "));
        let (table, mut values) = (self.name, Vec::new());
        let mut beyond = String::new();
        if let Some(after) = after {
            let marks = vec!["?"; after.len()].join(", ");
            beyond = format!("WHERE ({key}) > ({marks})");
            values.extend(after.iter().map(Held::value));
        }
        let sql = format!("SELECT {columns} FROM {table} {beyond} ORDER BY {key} LIMIT {STEP}");
        let read = |row: &Row<'_>| (0..self.columns.len()).map(|at| Ok(Held::of(row.value(at)?))).collect();
        db.all(&sql, &values, read)
    }

    fn insert(&self, db: &Db<'_>, rows: &[HeldRow]) -> Result<()> {
        for rows in rows.chunks((VALUES_MAX / self.columns.len()).clamp(1, STEP)) {
            let marks = format!("({})", vec!["?"; self.columns.len()].join(", "));
            let sql = format!(
                "INSERT INTO {} ({}) VALUES {} ON CONFLICT ({}) DO NOTHING",
                self.name,
                self.columns.join(", "),
                vec![marks; rows.len()].join(", "),
                self.key.join(", "),
            );
            let values: Vec<_> = rows.iter().flatten().map(Held::value).collect();
            db.execute(&sql, &values)?;
        }
        Ok(())
    }

    /// Which row it is, for a message: by its id, where that tells nothing.
    fn name_of(&self, key: &[Held]) -> String {
        match key.first() {
            Some(Held::Blob(id)) if id.len() == 16 => {
                format!("{} {}", self.name, Uuid::from_slice(id).unwrap_or_default())
            }
            Some(Held::Int(id)) if self.key.len() == 1 => format!("{} {id}", self.name),
            _ => format!("{}: a row", self.name),
        }
    }
}

fn total(db: &Db<'_>) -> Result<u64> {
    let mut total = 0;
    for table in TABLES {
        total += db.scalar::<u64>(&format!("SELECT count(*) FROM {}", table.name), &[])?;
    }
    Ok(total)
}

/// Numbers that the engine gives out itself go on behind those that were copied.
fn go_on_counting(db: &Db<'_>) -> Result<()> {
    if db.dialect() == Dialect::Postgres {
        let go_on = "SELECT setval(pg_get_serial_sequence('users', 'id'), coalesce(max(id), 1), max(id) IS NOT NULL)
                     FROM users";
        db.scalar::<i64>(go_on, &[])?;
    }
    Ok(())
}

impl Records {
    /// Whether there is not one row in it.
    pub async fn is_empty(&self) -> Result<bool> {
        self.engine
            .read(|db| {
                for table in TABLES {
                    if db.scalar::<bool>(&format!("SELECT EXISTS (SELECT 1 FROM {})", table.name), &[])? {
                        return Ok(false);
                    }
                }
                Ok(true)
            })
            .await
    }

    /// Copies every row, as they all were at one moment, into another catalog; how many. Rows that are there already
    /// stay as they are: [`Records::compare`] tells whether they are the same.
    ///
    /// # Errors
    /// Where either fails. What was copied until then stays, and a second call goes on.
    pub async fn copy_to(&self, to: &Self, progress: impl Fn(Progress) + Send + Sync + 'static) -> Result<u64> {
        let (to, runtime) = (to.clone(), tokio::runtime::Handle::current());
        self.engine
            .snapshot(move |db| {
                let (total, mut done) = (total(db)?, 0);
                for table in TABLES {
                    let mut after = None;
                    loop {
                        let rows = table.step(db, after.as_deref())?;
                        let Some(last) = rows.last() else { break };
                        after = Some(table.key_of(last));
                        done += rows.len() as u64;
                        runtime.block_on(to.engine.write_again(move |db| table.insert(db, &rows)))?;
                        progress(Progress { table: table.name, done, total });
                    }
                }
                runtime.block_on(to.engine.write_again(go_on_counting))?;
                Ok(done)
            })
            .await
    }

    /// Compares every row with another catalog's, each side as it was at one moment.
    pub async fn compare(&self, other: &Self, progress: impl Fn(Progress) + Send + Sync + 'static) -> Result<Compared> {
        let (other, runtime) = (other.clone(), tokio::runtime::Handle::current());
        self.engine
            .snapshot(move |db| {
                let (total, mut done) = (total(db)?, 0);
                let mut compared = Compared::default();
                for table in TABLES {
                    let (mut after, mut after_there) = (None::<Vec<Held>>, None::<Vec<Held>>);
                    let (mut here, mut there) = (Vec::new().into_iter().peekable(), Vec::new().into_iter().peekable());
                    loop {
                        if here.peek().is_none() {
                            let rows = table.step(db, after.as_deref())?;
                            after = rows.last().map(|row: &HeldRow| table.key_of(row)).or(after);
                            here = rows.into_iter().peekable();
                        }
                        if there.peek().is_none() {
                            let from = after_there.clone();
                            let rows =
                                runtime.block_on(other.engine.read(move |db| table.step(db, from.as_deref())))?;
                            after_there = rows.last().map(|row: &HeldRow| table.key_of(row)).or(after_there);
                            there = rows.into_iter().peekable();
                        }
                        let order = match (here.peek(), there.peek()) {
                            (None, None) => break,
                            (Some(_), None) => Ordering::Less,
                            (None, Some(_)) => Ordering::Greater,
                            (Some(this), Some(that)) => compare_keys(&table.key_of(this), &table.key_of(that)),
                        };
                        compared.take(table, order, &mut here, &mut there);
                        if order != Ordering::Greater {
                            done += 1;
                        }
                        if done % STEP as u64 == 0 {
                            progress(Progress { table: table.name, done, total });
                        }
                    }
                }
                progress(Progress { table: "", done, total });
                Ok(compared)
            })
            .await
    }
}

fn compare_keys(this: &[Held], that: &[Held]) -> Ordering {
    this.iter().zip(that).map(|(this, that)| this.order(that)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Differences told; beyond them they are only counted as "and more".
const DIFFERENCES_MAX: usize = 20;

impl Compared {
    fn take(
        &mut self,
        table: &Table,
        order: Ordering,
        here: &mut impl Iterator<Item = HeldRow>,
        there: &mut impl Iterator<Item = HeldRow>,
    ) {
        let (row, what) = match order {
            Ordering::Less => (here.next(), "is missing"),
            Ordering::Greater => (there.next(), "is not of this catalog"),
            Ordering::Equal => {
                let (this, that) = (here.next(), there.next());
                if this == that {
                    self.same += 1;
                    return;
                }
                (this, "differs")
            }
        };
        if self.differences.len() < DIFFERENCES_MAX {
            let key = row.map(|row| table.key_of(&row)).unwrap_or_default();
            self.differences.push(format!("{} {what}", table.name_of(&key)));
        }
    }

    /// Whether both are the same to the last row.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
    }
}
