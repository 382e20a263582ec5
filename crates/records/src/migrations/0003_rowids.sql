-- Wide rows lie in tables with a rowid. Without one a row lies whole in the inner pages of its tree as well, six or so
-- to a page: of ten million captures each is found through some eight pages, and with a rowid through four.
--
-- What refers to captures goes first, or it would be deleted with the old table.

CREATE TABLE captures_3 (
    id                BLOB    NOT NULL PRIMARY KEY,
    session_id        BLOB    NOT NULL REFERENCES assessment_sessions (id),
    filename          TEXT    NOT NULL UNIQUE,
    blob_key          TEXT    NOT NULL UNIQUE,
    blob_format       TEXT    NOT NULL CHECK (blob_format IN ('plain')),
    content_type      TEXT    NOT NULL,
    size_bytes        INTEGER NOT NULL,
    width_px          INTEGER NOT NULL,
    height_px         INTEGER NOT NULL,
    sha256            BLOB    NOT NULL CHECK (length(sha256) = 32),
    capture_trigger   TEXT    NOT NULL,
    assessment_type   TEXT    NOT NULL CHECK (assessment_type IN ('PHQ', 'LLM', 'GENERAL')),
    assessment_id     TEXT,   -- a JSON scalar: the app's ids may be numbers or text
    captured_at       TEXT,   -- the client's clock, as sent
    received_at       INTEGER NOT NULL,
    settings_snapshot TEXT,   -- JSON, the settings that the final gate used
    metadata          TEXT    NOT NULL, -- JSON object, as sent
    processed_count   INTEGER NOT NULL DEFAULT 0,
    processed_at      INTEGER,
    upright_width_px  INTEGER,
    upright_height_px INTEGER,
    taken_at          TEXT,   -- the camera's clock, by Exif
    placeholder       BLOB,   -- ThumbHash
    sharpness         REAL,
    brightness        REAL,
    perceptual_hash   INTEGER,
    near_duplicate_of BLOB,   -- the frame before it in its session
    received_sha256   BLOB,   -- where the original was replaced by one without metadata
    failure           TEXT,   -- why it could not be processed, for a person
    quarantined_at    INTEGER
) STRICT;
INSERT INTO captures_3 SELECT * FROM captures ORDER BY id;

CREATE TABLE derivatives_3 (
    capture_id   BLOB    NOT NULL REFERENCES captures_3 (id) ON DELETE CASCADE,
    size         TEXT    NOT NULL CHECK (size IN ('thumb', 'preview')),
    content_type TEXT    NOT NULL,
    blob_key     TEXT    NOT NULL,         -- those of one run share a blob
    offset_bytes INTEGER NOT NULL,         -- where in it this one begins
    size_bytes   INTEGER NOT NULL,
    width_px     INTEGER NOT NULL,
    height_px    INTEGER NOT NULL,
    sha256       BLOB    NOT NULL CHECK (length(sha256) = 32),
    PRIMARY KEY (capture_id, size, content_type),
    UNIQUE (blob_key, offset_bytes)
) STRICT;
INSERT INTO derivatives_3 SELECT * FROM derivatives;

DROP TABLE derivatives;
DROP TABLE captures;
ALTER TABLE captures_3 RENAME TO captures;
ALTER TABLE derivatives_3 RENAME TO derivatives;
CREATE INDEX captures_by_session ON captures (session_id, received_at, id);
CREATE INDEX captures_by_time ON captures (received_at, id);
CREATE INDEX captures_near_duplicates ON captures (near_duplicate_of) WHERE near_duplicate_of IS NOT NULL;

CREATE TABLE tasks_3 (
    id               BLOB    NOT NULL PRIMARY KEY,
    kind             TEXT    NOT NULL CHECK (kind IN ('process', 'deliver', 'sweep')),
    state            TEXT    NOT NULL CHECK (state IN ('PENDING', 'STARTED', 'RETRY', 'SUCCESS', 'FAILURE', 'REVOKED')),
    -- No foreign key: what was done outlives what it was done to.
    capture_id       BLOB,
    session_id       BLOB,
    user_id          INTEGER,
    -- A delivery: to whom, and what.
    sink             TEXT,
    payload          TEXT,
    -- 0 first. Within a priority by turn: an owner's next task stands one turn behind their last.
    priority         INTEGER NOT NULL DEFAULT 0,
    turn             INTEGER NOT NULL DEFAULT 0,
    -- 1: in line. 0: waits for available_at, is running, or has ended.
    is_ready         INTEGER NOT NULL CHECK (is_ready IN (0, 1)),
    available_at     INTEGER NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0,
    -- Goes up with every claim and never down: who holds an older number has lost the task.
    fence            INTEGER NOT NULL DEFAULT 0,
    worker           TEXT,
    lease_expires_at INTEGER,
    -- When the transport last got it; a transport may lose everything, so it is handed over again after a while.
    handed_over_at   INTEGER,
    error            TEXT,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER
) STRICT;
INSERT INTO tasks_3 SELECT * FROM tasks ORDER BY id;
DROP TABLE tasks;
ALTER TABLE tasks_3 RENAME TO tasks;
CREATE INDEX tasks_in_line ON tasks (kind, priority, turn, id) WHERE is_ready = 1;
CREATE INDEX tasks_in_line_by_owner ON tasks (kind, priority, user_id, sink, turn) WHERE is_ready = 1;
CREATE INDEX tasks_handed_over ON tasks (kind) WHERE handed_over_at IS NOT NULL;
CREATE INDEX tasks_waiting ON tasks (kind, available_at) WHERE is_ready = 0 AND state IN ('PENDING', 'RETRY');
CREATE INDEX tasks_leased ON tasks (kind, lease_expires_at) WHERE state = 'STARTED';
CREATE INDEX tasks_open ON tasks (kind, state) WHERE state IN ('PENDING', 'STARTED', 'RETRY', 'FAILURE');
CREATE INDEX tasks_ended ON tasks (finished_at) WHERE state IN ('SUCCESS', 'REVOKED');
-- Few among many, and looked for by people.
CREATE INDEX tasks_dead ON tasks (created_at, id) WHERE state = 'FAILURE';
CREATE INDEX tasks_by_capture ON tasks (capture_id);
CREATE INDEX tasks_by_time ON tasks (created_at, id);
CREATE INDEX tasks_by_user ON tasks (user_id, created_at, id);
CREATE UNIQUE INDEX tasks_one_sweep ON tasks (kind) WHERE kind = 'sweep' AND state IN ('PENDING', 'STARTED', 'RETRY');

CREATE TABLE idempotency_keys_3 (
    user_id    INTEGER NOT NULL,
    key        TEXT    NOT NULL,
    digest     BLOB    NOT NULL,
    answer     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT;
INSERT INTO idempotency_keys_3 SELECT * FROM idempotency_keys ORDER BY created_at;
DROP TABLE idempotency_keys;
ALTER TABLE idempotency_keys_3 RENAME TO idempotency_keys;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
