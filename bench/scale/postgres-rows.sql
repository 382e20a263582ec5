-- What a processed capture takes in PostgreSQL, table by table with its indexes, and what its life writes to the log:
-- rows of the shape that the server writes (a webcam's photo with its settings, four derivatives, a task that is
-- recorded, claimed and finished, an idempotency key with its answer), a hundred captures a transaction, in the order of
-- their lives, so that updates leave dead rows as they do. On an empty database with Filmgate's schema:
--
--   psql -f crates/records/src/migrations/postgres/0002_first.sql
--   psql -f bench/scale/postgres-rows.sql
--
-- The log's bytes depend on checkpoints: each makes the next change of a page write the whole page.
\set ON_ERROR_STOP 1
CREATE FUNCTION pg_temp.make_id(moment_us bigint) RETURNS uuid LANGUAGE sql VOLATILE AS
$$ SELECT (lpad(to_hex(moment_us / 1000), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid $$;

INSERT INTO assessment_sessions (id, user_id, created_at)
SELECT pg_temp.make_id(1800000000000000 + n), n % 300, 1800000000000000 FROM generate_series(1, 500) n;
CREATE TEMP TABLE sessions AS SELECT row_number() OVER () - 1 AS place, id, user_id FROM assessment_sessions;
CHECKPOINT;
SELECT pg_current_wal_lsn() AS log_begins \gset

DO $$
DECLARE
    turn int;
    now_us bigint;
BEGIN
    FOR turn IN 0 .. 599 LOOP
        now_us := 1800000000000000 + turn * 100000000::bigint;
        CREATE TEMP TABLE fresh ON COMMIT DROP AS
        SELECT pg_temp.make_id(now_us + n * 1000000) id, pg_temp.make_id(now_us + n * 1000000) task, s.id session_id, s.user_id,
               now_us + n * 1000000 AS at, turn * 100 + n AS number
        FROM generate_series(0, 99) n JOIN sessions s ON s.place = (turn * 100 + n) % 500;

        INSERT INTO captures (id, session_id, filename, blob_key, blob_format, content_type, size_bytes, width_px, height_px, sha256,
                              capture_trigger, assessment_type, received_at, settings_snapshot, metadata)
        SELECT id, session_id, id || '.jpg', '2026-11-29/0011/' || id || '.jpg', 'plain', 'image/jpeg', 120000, 1280, 720,
               sha256(id::text::bytea), 'INTERVAL', 'GENERAL', at,
               '{"id":"01a224a4-4868-74d4-bb54-8a1cfcc46269","setting_name":"One frame a second","recording_mode":"INTERVAL","interval_seconds":1,"resolution":"1280x720","capture_on_button_click":false,"capture_on_message_send":false,"capture_on_question_start":false,"is_active":true,"is_default":true}',
               '{"trigger":"INTERVAL"}' FROM fresh;
        INSERT INTO tasks (id, kind, state, capture_id, session_id, user_id, priority, turn, is_ready, available_at, created_at)
        SELECT task, 'process', 'PENDING', id, session_id, user_id, 1, number, 1, at, at FROM fresh;
        INSERT INTO idempotency_keys (user_id, key, digest, answer, created_at)
        SELECT user_id, md5(id::text) || number, sha256(id::text::bytea),
               '{"captures":[{"id":"' || id || '","filename":"' || id || '.jpg","trigger":"INTERVAL","timestamp":"2026-11-29T00:11:17.803354","sha256":"' || encode(sha256(id::text::bytea), 'hex') || '"}],"skipped":[]}',
               at FROM fresh;
        UPDATE tasks SET state = 'STARTED', is_ready = 0, attempts = 1, fence = 1, worker = 'serve/01a224a44861726fb4d2447872ec1d10',
               lease_expires_at = created_at + 30000000, started_at = created_at + 50000 WHERE id IN (SELECT task FROM fresh);
        INSERT INTO derivatives (capture_id, size, content_type, blob_key, offset_bytes, size_bytes, width_px, height_px, sha256)
        SELECT id, size, type, '2026-11-29/0011/' || replace(id::text, '-', '') || '.1.derivatives', place, 30000, 1280, 720, sha256(id::text::bytea)
        FROM fresh, (VALUES ('thumb', 'image/jpeg', 0), ('thumb', 'image/webp', 7307), ('preview', 'image/jpeg', 12000), ('preview', 'image/webp', 44000)) d (size, type, place);
        UPDATE captures SET processed_count = 1, processed_at = received_at + 60000, upright_width_px = 1280, upright_height_px = 720,
               placeholder = substr(sha256, 1, 24), sharpness = 140.06, brightness = 0.39, perceptual_hash = 1234567890123 WHERE id IN (SELECT id FROM fresh);
        UPDATE tasks SET state = 'SUCCESS', lease_expires_at = NULL, finished_at = created_at + 60000 WHERE id IN (SELECT task FROM fresh);
        COMMIT;
    END LOOP;
END $$;

SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), :'log_begins') / count(*) AS wal_bytes_per_capture FROM captures;
SELECT c.relname AS of_table, pg_total_relation_size(c.oid) / (SELECT count(*) FROM captures) AS bytes_per_capture,
       pg_relation_size(c.oid) / (SELECT count(*) FROM captures) AS of_it_rows
FROM pg_class c WHERE c.relname IN ('captures', 'derivatives', 'tasks', 'idempotency_keys') ORDER BY 1;
SELECT indexrelid::regclass AS of_index, pg_relation_size(indexrelid) / (SELECT count(*) FROM captures) AS bytes_per_capture
FROM pg_index WHERE indrelid IN ('captures'::regclass, 'derivatives'::regclass, 'tasks'::regclass, 'idempotency_keys'::regclass)
ORDER BY 2 DESC;
