-- Of no release: what a later version might add, for the test that replaces nodes one by one (feature `next-schema`).
CREATE TABLE notes (
    capture_id TEXT   PRIMARY KEY,
    note       TEXT   NOT NULL,
    noted_at   BIGINT NOT NULL
);
ALTER TABLE captures ADD COLUMN rating BIGINT;
