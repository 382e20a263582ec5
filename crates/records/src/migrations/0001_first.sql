-- Times are microseconds since 1970-01-01 UTC; ids are UUIDs as 16 bytes, version 7 where Filmgate makes them.

CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    username      TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    password_hash TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('participant', 'admin')),
    is_active     INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    created_at    INTEGER NOT NULL
) STRICT;

-- Only the hash of a secret is kept, so a copy of the catalog signs nobody in.
CREATE TABLE sign_ins (
    secret_hash BLOB    PRIMARY KEY,
    user_id     INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_ins_by_user ON sign_ins (user_id);
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);

CREATE TABLE tokens (
    id          BLOB    PRIMARY KEY,
    name        TEXT    NOT NULL,
    scope       TEXT    NOT NULL CHECK (scope IN ('service', 'user')),
    user_id     INTEGER REFERENCES users (id) ON DELETE CASCADE,
    secret_hash BLOB    NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER,
    CHECK ((scope = 'user') = (user_id IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_time ON tokens (created_at, id);

CREATE TABLE camera_settings (
    id                        BLOB    PRIMARY KEY,
    setting_name              TEXT    NOT NULL UNIQUE,
    recording_mode            TEXT    NOT NULL CHECK (recording_mode IN ('INTERVAL', 'EVENT_DRIVEN')),
    interval_seconds          INTEGER CHECK (interval_seconds >= 1),
    resolution                TEXT    NOT NULL,
    capture_on_button_click   INTEGER NOT NULL DEFAULT 0,
    capture_on_message_send   INTEGER NOT NULL DEFAULT 0,
    capture_on_question_start INTEGER NOT NULL DEFAULT 0,
    is_active                 INTEGER NOT NULL DEFAULT 1,
    is_default                INTEGER NOT NULL DEFAULT 0,
    created_at                INTEGER NOT NULL,
    updated_at                INTEGER NOT NULL,
    CHECK (recording_mode <> 'INTERVAL' OR interval_seconds IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX camera_settings_by_time ON camera_settings (created_at, id);
CREATE UNIQUE INDEX camera_settings_one_default ON camera_settings (is_default) WHERE is_default = 1;

-- user_id has no foreign key: with another identity provider the users are the app's.
CREATE TABLE assessment_sessions (
    id                 BLOB    PRIMARY KEY,
    user_id            INTEGER NOT NULL,
    camera_settings_id BLOB    REFERENCES camera_settings (id),
    created_at         INTEGER NOT NULL,
    ended_at           INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX assessment_sessions_by_time ON assessment_sessions (created_at, id);
CREATE INDEX assessment_sessions_by_user ON assessment_sessions (user_id, created_at, id);

CREATE TABLE captures (
    id                BLOB    PRIMARY KEY,
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
    metadata          TEXT    NOT NULL -- JSON object, as sent
) STRICT, WITHOUT ROWID;
CREATE INDEX captures_by_session ON captures (session_id, received_at, id);
CREATE INDEX captures_by_time ON captures (received_at, id);

-- A tombstone outlives its capture, so that an offline client's resend does not bring it back.
CREATE TABLE tombstones (
    capture_id BLOB    PRIMARY KEY,
    session_id BLOB    NOT NULL,
    filename   TEXT    NOT NULL,
    blob_key   TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    deleted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_time ON tombstones (deleted_at);
CREATE INDEX tombstones_by_blob ON tombstones (blob_key);

CREATE TABLE idempotency_keys (
    user_id    INTEGER NOT NULL,
    key        TEXT    NOT NULL,
    digest     BLOB    NOT NULL,
    answer     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

-- Committed with its capture: what is still to be done with the photo.
CREATE TABLE tasks (
    id         BLOB    PRIMARY KEY,
    capture_id BLOB    NOT NULL REFERENCES captures (id) ON DELETE CASCADE,
    kind       TEXT    NOT NULL CHECK (kind IN ('process')),
    state      TEXT    NOT NULL CHECK (state IN ('PENDING', 'STARTED', 'RETRY', 'SUCCESS', 'FAILURE', 'REVOKED')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_by_capture ON tasks (capture_id);
