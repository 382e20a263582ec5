-- The work after an upload: tasks with leases, what processing made of a capture, and bytes that are to go.

CREATE TABLE tasks_2 (
    id               BLOB    PRIMARY KEY,
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
) STRICT, WITHOUT ROWID;

INSERT INTO tasks_2 (id, kind, state, capture_id, session_id, user_id, priority, is_ready, available_at, created_at)
SELECT tasks.id, 'process', 'PENDING', capture_id, session_id,
       (SELECT user_id FROM assessment_sessions WHERE assessment_sessions.id = session_id),
       upper(capture_trigger) = 'INTERVAL', 1, created_at, created_at
FROM tasks JOIN captures ON captures.id = capture_id;

DROP TABLE tasks;
ALTER TABLE tasks_2 RENAME TO tasks;

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

-- How often processing took effect: 1 once it is done, whatever died on the way.
ALTER TABLE captures ADD COLUMN processed_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE captures ADD COLUMN processed_at INTEGER;
ALTER TABLE captures ADD COLUMN upright_width_px INTEGER;
ALTER TABLE captures ADD COLUMN upright_height_px INTEGER;
ALTER TABLE captures ADD COLUMN taken_at TEXT;          -- the camera's clock, by Exif
ALTER TABLE captures ADD COLUMN placeholder BLOB;       -- ThumbHash
ALTER TABLE captures ADD COLUMN sharpness REAL;
ALTER TABLE captures ADD COLUMN brightness REAL;
ALTER TABLE captures ADD COLUMN perceptual_hash INTEGER;
ALTER TABLE captures ADD COLUMN near_duplicate_of BLOB; -- the frame before it in its session
ALTER TABLE captures ADD COLUMN received_sha256 BLOB;   -- where the original was replaced by one without metadata
ALTER TABLE captures ADD COLUMN failure TEXT;           -- why it could not be processed, for a person
ALTER TABLE captures ADD COLUMN quarantined_at INTEGER;
CREATE INDEX captures_near_duplicates ON captures (near_duplicate_of) WHERE near_duplicate_of IS NOT NULL;

CREATE TABLE derivatives (
    capture_id   BLOB    NOT NULL REFERENCES captures (id) ON DELETE CASCADE,
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
) STRICT, WITHOUT ROWID;

-- Bytes that no row names any more and that are still to be removed.
CREATE TABLE doomed_blobs (
    store     TEXT    NOT NULL CHECK (store IN ('originals', 'derivatives')),
    blob_key  TEXT    NOT NULL,
    doomed_at INTEGER NOT NULL,
    PRIMARY KEY (store, blob_key)
) STRICT, WITHOUT ROWID;
