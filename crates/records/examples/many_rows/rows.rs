//! The rows of a catalog that has been in use for a while, any number of them, the same whoever asks.
//!
//! Eight cameras at a time send a photo every ten seconds, three hundred in a session; a user has some ten sessions.
//! All but the last thousands of tasks succeeded, a hundredth of the captures was deleted, a tenth has derivatives and a
//! tenth an idempotency key. Tasks are never forgotten, which is the harder case: the sweep forgets them after a month.
//! What waits in line and what failed for good is as much in every catalog: it depends on workers and people, not on age.

use uuid::Uuid;

/// Cameras at work at once.
pub const CAMERAS: u64 = 8;
/// Captures of a session.
pub const SESSION: u64 = 300;
const BLOCK: u64 = CAMERAS * SESSION;
const SPACING_US: u64 = 1_250_000;
/// The last capture's time, 2025-06-01: whatever is recorded from now on is the newest.
const END_US: u64 = 1_748_736_000_000_000;
const IN_LINE_MAX: u64 = 2000;
const DEAD: u64 = 20;

/// A value of a column.
pub enum Cell {
    Null,
    Int(u64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
    Uuid(Uuid),
}

/// A table and its columns.
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [&'static str],
    rows: fn(&Plan, u64, &mut Vec<Row>),
    /// For which of so many numbers there are rows.
    numbers: fn(&Plan) -> u64,
}

pub type Row = Vec<Cell>;

/// Every table with rows, each behind those that it refers to.
pub const TABLES: &[Table] = &[
    Table {
        name: "users",
        columns: &["id", "username", "password_hash", "role", "created_at"],
        rows: user,
        numbers: |plan| plan.users,
    },
    Table {
        name: "camera_settings",
        columns: &[
            "id",
            "setting_name",
            "recording_mode",
            "interval_seconds",
            "resolution",
            "is_default",
            "created_at",
            "updated_at",
        ],
        rows: settings,
        numbers: |_| 1,
    },
    Table {
        name: "assessment_sessions",
        columns: &["id", "user_id", "camera_settings_id", "created_at", "ended_at"],
        rows: session,
        numbers: Plan::sessions,
    },
    Table {
        name: "captures",
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
            "captured_at",
            "received_at",
            "settings_snapshot",
            "metadata",
            "processed_count",
            "processed_at",
            "upright_width_px",
            "upright_height_px",
            "placeholder",
            "sharpness",
            "brightness",
            "perceptual_hash",
            "near_duplicate_of",
            "failure",
            "quarantined_at",
        ],
        rows: capture,
        numbers: |plan| plan.captures,
    },
    Table {
        name: "tasks",
        columns: &[
            "id",
            "kind",
            "state",
            "capture_id",
            "session_id",
            "user_id",
            "priority",
            "turn",
            "is_ready",
            "available_at",
            "attempts",
            "fence",
            "worker",
            "error",
            "created_at",
            "started_at",
            "finished_at",
        ],
        rows: task,
        numbers: |plan| plan.captures,
    },
    Table {
        name: "derivatives",
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
        rows: derivatives,
        numbers: |plan| plan.captures,
    },
    Table {
        name: "idempotency_keys",
        columns: &["user_id", "key", "digest", "answer", "created_at"],
        rows: idempotency_key,
        numbers: |plan| plan.captures,
    },
    Table {
        name: "tombstones",
        columns: &["capture_id", "session_id", "filename", "blob_key", "reason", "deleted_at"],
        rows: tombstone,
        numbers: |plan| plan.captures,
    },
];

impl Table {
    /// Every row, in the order of its time.
    pub fn rows(&self, plan: &Plan) -> impl Iterator<Item = Row> {
        let mut rows = Vec::new();
        (0..(self.numbers)(plan)).flat_map(move |number| {
            (self.rows)(plan, number, &mut rows);
            std::mem::take(&mut rows)
        })
    }
}

/// How many of what.
pub struct Plan {
    pub captures: u64,
    users: u64,
    in_line: u64,
}

/// How far a capture's task is.
#[derive(PartialEq)]
enum Fate {
    Processed,
    Dead,
    InLine,
}

impl Plan {
    pub fn of(captures: u64) -> Self {
        let sessions = captures.div_ceil(BLOCK) * CAMERAS;
        Self { captures, users: (sessions / 10).max(CAMERAS), in_line: (captures / 5).min(IN_LINE_MAX) }
    }

    fn sessions(&self) -> u64 {
        self.captures.div_ceil(BLOCK) * CAMERAS
    }

    /// Sessions that have all their captures, of so many blocks or fewer, from all of the catalog's time; those of a
    /// block were recorded together.
    pub fn whole_sessions(&self, blocks: u64) -> Vec<Uuid> {
        let whole = self.captures / BLOCK;
        let blocks = blocks.min(whole);
        let first = (0..blocks).map(|block| block * whole / blocks * CAMERAS);
        first.flat_map(|first| (first..first + CAMERAS).map(|number| self.session_id(number))).collect()
    }

    /// Those that the cameras are busy with.
    pub fn last_sessions(&self) -> Vec<Uuid> {
        (self.sessions() - CAMERAS..self.sessions()).map(|number| self.session_id(number)).collect()
    }

    fn at(&self, capture: u64) -> u64 {
        END_US - (self.captures - capture) * SPACING_US
    }

    fn user_of(&self, session: u64) -> u64 {
        1 + session % self.users
    }

    fn session_id(&self, session: u64) -> Uuid {
        id(self.at(session / CAMERAS * BLOCK), 1, session)
    }

    fn capture_id(&self, capture: u64) -> Uuid {
        id(self.at(capture), 2, capture)
    }

    fn fate(&self, capture: u64) -> Fate {
        match self.captures - capture {
            left if left <= self.in_line => Fate::InLine,
            left if left <= self.in_line + DEAD => Fate::Dead,
            _ => Fate::Processed,
        }
    }

    fn has_derivatives(&self, capture: u64) -> bool {
        capture.is_multiple_of(10) && self.fate(capture) == Fate::Processed
    }
}

fn session_of(capture: u64) -> u64 {
    capture / BLOCK * CAMERAS + capture % CAMERAS
}

/// A number that looks like chance (splitmix64).
fn chance(kind: u64, number: u64) -> u64 {
    let mut mixed = (number ^ kind << 56).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

fn id(time_us: u64, kind: u64, number: u64) -> Uuid {
    let random = u128::from(chance(kind, number)) << 64 | u128::from(chance(kind + 16, number));
    let bytes = random.to_be_bytes();
    uuid::Builder::from_unix_timestamp_millis(time_us / 1000, bytes[..10].try_into().unwrap()).into_uuid()
}

fn sha256(kind: u64, number: u64) -> Vec<u8> {
    (0..4).flat_map(|part| chance(kind + part, number).to_be_bytes()).collect()
}

fn blob_key(time_us: u64, name: &str) -> String {
    let time = jiff::Timestamp::from_microsecond(time_us.try_into().unwrap()).unwrap();
    let time = jiff::tz::Offset::UTC.to_datetime(time);
    format!("{:04}-{:02}-{:02}/{:02}{:02}/{name}", time.year(), time.month(), time.day(), time.hour(), time.minute())
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn user(_: &Plan, number: u64, rows: &mut Vec<Row>) {
    let name = format!("patient{number}");
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    rows.push(vec![Cell::Int(number + 1), text(name), text(hash), text("participant"), Cell::Int(END_US / 2)]);
}

fn settings_id() -> Uuid {
    id(END_US / 2, 3, 0)
}

fn settings(_: &Plan, _: u64, rows: &mut Vec<Row>) {
    let at = || Cell::Int(END_US / 2);
    let (name, mode, resolution) = (text("every ten seconds"), text("INTERVAL"), text("1280x720"));
    rows.push(vec![Cell::Uuid(settings_id()), name, mode, Cell::Int(10), resolution, Cell::Int(1), at(), at()]);
}

fn session(plan: &Plan, number: u64, rows: &mut Vec<Row>) {
    let begin = plan.at(number / CAMERAS * BLOCK);
    let has_ended = number + CAMERAS < plan.sessions();
    rows.push(vec![
        Cell::Uuid(plan.session_id(number)),
        Cell::Int(plan.user_of(number)),
        Cell::Uuid(settings_id()),
        Cell::Int(begin),
        if has_ended { Cell::Int(begin + BLOCK * SPACING_US) } else { Cell::Null },
    ]);
}

fn capture(plan: &Plan, number: u64, rows: &mut Vec<Row>) {
    let (at, id, fate) = (plan.at(number), plan.capture_id(number), plan.fate(number));
    let filename = format!("{id}.jpg");
    let position = number % BLOCK / CAMERAS;
    let is_near_duplicate = position > 0 && number.is_multiple_of(20);
    let processed = |cell: Cell| if fate == Fate::Processed { cell } else { Cell::Null };
    let dead = |cell: Cell| if fate == Fate::Dead { cell } else { Cell::Null };
    rows.push(vec![
        Cell::Uuid(id),
        Cell::Uuid(plan.session_id(session_of(number))),
        text(&*filename),
        text(blob_key(at, &filename)),
        text("plain"),
        text("image/jpeg"),
        Cell::Int(100_000 + chance(4, number) % 100_000),
        Cell::Int(1280),
        Cell::Int(720),
        Cell::Bytes(sha256(5, number)),
        text("INTERVAL"),
        text("PHQ"),
        text("2025-06-01T12:00:00.000Z"),
        Cell::Int(at),
        text(r#"{"setting_name":"every ten seconds","recording_mode":"INTERVAL","interval_seconds":10,"resolution":"1280x720"}"#),
        text(format!(r#"{{"trigger":"INTERVAL","assessment_type":"PHQ","timestamp":"2025-06-01T12:00:00.000Z","position":{position}}}"#)),
        Cell::Int(u64::from(fate == Fate::Processed)),
        processed(Cell::Int(at + 1_000_000)),
        processed(Cell::Int(1280)),
        processed(Cell::Int(720)),
        processed(Cell::Bytes(sha256(6, number)[..25].to_vec())),
        processed(Cell::Real((chance(7, number) % 100_000) as f64 / 100.0)),
        processed(Cell::Real((chance(8, number) % 1000) as f64 / 1000.0)),
        processed(Cell::Int(chance(9, number) >> 1)),
        if is_near_duplicate { processed(Cell::Uuid(plan.capture_id(number - CAMERAS))) } else { Cell::Null },
        dead(text("the decoder gave up")),
        dead(Cell::Int(at + 1_000_000)),
    ]);
}

fn task(plan: &Plan, number: u64, rows: &mut Vec<Row>) {
    let (at, fate) = (plan.at(number), plan.fate(number));
    let is_in_line = fate == Fate::InLine;
    let begun = |cell: Cell| if is_in_line { Cell::Null } else { cell };
    let turn = if is_in_line { (number - (plan.captures - plan.in_line)) / CAMERAS } else { position_in_time(number) };
    rows.push(vec![
        Cell::Uuid(id(at, 10, number)),
        text("process"),
        text(match fate {
            Fate::Processed => "SUCCESS",
            Fate::Dead => "FAILURE",
            Fate::InLine => "PENDING",
        }),
        Cell::Uuid(plan.capture_id(number)),
        Cell::Uuid(plan.session_id(session_of(number))),
        Cell::Int(plan.user_of(session_of(number))),
        Cell::Int(1),
        Cell::Int(turn),
        Cell::Int(u64::from(is_in_line)),
        Cell::Int(at),
        Cell::Int(u64::from(!is_in_line)),
        Cell::Int(u64::from(!is_in_line)),
        begun(text("serve/node-1")),
        if fate == Fate::Dead { text("the decoder gave up") } else { Cell::Null },
        Cell::Int(at),
        begun(Cell::Int(at + 500_000)),
        begun(Cell::Int(at + 1_000_000)),
    ]);
}

/// The turn of a task done long ago: of no consequence.
fn position_in_time(capture: u64) -> u64 {
    capture / CAMERAS
}

fn derivatives(plan: &Plan, number: u64, rows: &mut Vec<Row>) {
    if !plan.has_derivatives(number) {
        return;
    }
    let id = plan.capture_id(number);
    let key = blob_key(plan.at(number), &format!("{id}.1"));
    for (size, offset, bytes, width, height) in [("preview", 0, 60_000, 1024, 576), ("thumb", 60_000, 5000, 256, 144)] {
        rows.push(vec![
            Cell::Uuid(id),
            text(size),
            text("image/webp"),
            text(&*key),
            Cell::Int(offset),
            Cell::Int(bytes),
            Cell::Int(width),
            Cell::Int(height),
            Cell::Bytes(sha256(11, number)),
        ]);
    }
}

fn idempotency_key(plan: &Plan, number: u64, rows: &mut Vec<Row>) {
    if !number.is_multiple_of(10) {
        return;
    }
    rows.push(vec![
        Cell::Int(plan.user_of(session_of(number))),
        // As clients make them: by chance.
        text(uuid::Builder::from_random_bytes(sha256(12, number)[..16].try_into().unwrap()).into_uuid()),
        Cell::Bytes(sha256(13, number)),
        text(answer(&plan.capture_id(number))),
        Cell::Int(plan.at(number)),
    ]);
}

/// What an upload was told.
pub fn answer(id: &Uuid) -> String {
    format!(
        r#"{{"status":"OLKORECT","message":"Uploaded 1 captures","filenames":["{id}.jpg"],"capture_ids":["{id}"],"skipped":[]}}"#
    )
}

fn tombstone(plan: &Plan, number: u64, rows: &mut Vec<Row>) {
    if !number.is_multiple_of(100) {
        return;
    }
    let at = plan.at(number);
    let id = id(at, 14, number);
    let filename = format!("{id}.jpg");
    rows.push(vec![
        Cell::Uuid(id),
        Cell::Uuid(plan.session_id(session_of(number))),
        text(&*filename),
        text(blob_key(at, &filename)),
        text("user"),
        Cell::Int(at + SPACING_US),
    ]);
}
