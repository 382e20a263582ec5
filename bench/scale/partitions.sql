-- What docs/scale.md says of partitions, seen: tables of the shape of `captures` and `derivatives`, partitioned by UUIDv7.
-- Statements that must fail are marked so. On an empty database:  psql -f bench/scale/partitions.sql
\set ON_ERROR_STOP 0
\pset pager off
SELECT version();
CREATE FUNCTION uuid_from(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid $$;
CREATE FUNCTION make_id(moment timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS
$$ SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid $$;

CREATE TABLE captures (
    id uuid NOT NULL, session_id uuid NOT NULL, filename text COLLATE "C" NOT NULL, blob_key text COLLATE "C" NOT NULL,
    sha256 bytea NOT NULL, received_at bigint NOT NULL, metadata text NOT NULL, PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE TABLE derivatives (
    capture_id uuid NOT NULL REFERENCES captures (id) ON DELETE CASCADE, size text NOT NULL, PRIMARY KEY (capture_id, size)
) PARTITION BY RANGE (capture_id);
SELECT format('CREATE TABLE %s_%s PARTITION OF %s FOR VALUES FROM (%L) TO (%L)', name, to_char(month, 'YYYY_MM'), name,
              uuid_from(month), uuid_from(month + interval '1 month'))
FROM generate_series('2026-01-01 00:00+00'::timestamptz, '2026-06-01 00:00+00', '1 month') month,
     unnest(ARRAY['captures', 'derivatives']) name \gexec
CREATE INDEX captures_by_session ON captures (session_id, received_at, id);
CREATE INDEX captures_by_time ON captures (received_at, id);

\echo === MUST FAIL: a unique index over all partitions without their key
CREATE UNIQUE INDEX captures_filename ON captures (filename);
\echo === but one of each partition by itself may be
SELECT format('CREATE UNIQUE INDEX ON captures_%s (%s)', to_char(month, 'YYYY_MM'), name)
FROM generate_series('2026-01-01 00:00+00'::timestamptz, '2026-06-01 00:00+00', '1 month') month,
     unnest(ARRAY['filename', 'blob_key']) name \gexec

INSERT INTO captures
SELECT id, md5((n % 500)::text)::uuid, id || '.jpg', '2026-01-01/0000/' || id || '.jpg', sha256(id::text::bytea),
       extract(epoch FROM moment)::bigint * 1000000, '{"trigger":"INTERVAL"}'
FROM (SELECT n, moment, make_id(moment) id
      FROM (SELECT n, '2026-01-01 00:00+00'::timestamptz + n * interval '26 seconds' moment FROM generate_series(0, 599999) n) a) b;
INSERT INTO derivatives SELECT id, 'thumb' FROM captures WHERE id < uuid_from('2026-01-03 00:00+00');
ANALYZE captures, derivatives;
SELECT tableoid::regclass AS partition, count(*) FROM captures GROUP BY 1 ORDER BY 1;

\echo === MUST FAIL: the same filename again, in the same partition
INSERT INTO captures SELECT make_id('2026-01-03 00:00+00'), session_id, filename, 'other', sha256, received_at, metadata
FROM captures WHERE id < uuid_from('2026-01-02 00:00+00') LIMIT 1;
\echo === MUST FAIL: beyond the last partition
INSERT INTO captures VALUES (make_id('2027-01-01 00:00+00'), md5('x')::uuid, 'y', 'y', '', 1, '');

\echo === one id: one partition, with a generic plan too
SET plan_cache_mode = force_generic_plan;
PREPARE by_id AS SELECT * FROM captures WHERE id = $1;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE by_id('019b8000-0000-7000-8000-000000000000');
RESET plan_cache_mode;
\echo === a day: one partition
EXPLAIN (COSTS OFF) SELECT * FROM captures WHERE id >= uuid_from('2026-03-01 00:00+00') AND id < uuid_from('2026-03-02 00:00+00');
\echo === newest first: stops early
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM captures ORDER BY id DESC LIMIT 50;
\echo === a filename alone: all partitions
EXPLAIN (COSTS OFF) SELECT * FROM captures WHERE filename = '019b8000-0000-7000-8000-000000000000.jpg';
\echo === and with the id that stands in it: one
EXPLAIN (COSTS OFF) SELECT * FROM captures
WHERE filename = '019b8000-0000-7000-8000-000000000000.jpg' AND id = '019b8000-0000-7000-8000-000000000000';
\echo === a session: all partitions
EXPLAIN (COSTS OFF) SELECT * FROM captures WHERE session_id = md5('7')::uuid ORDER BY session_id, received_at, id LIMIT 50;
\echo === and from its beginning on: those after it
EXPLAIN (COSTS OFF) SELECT * FROM captures WHERE session_id = md5('7')::uuid AND id >= uuid_from('2026-06-01 00:00+00')
ORDER BY session_id, received_at, id LIMIT 50;

\echo === MUST FAIL: the oldest captures while derivatives refer to them
ALTER TABLE captures DETACH PARTITION captures_2026_01;
ALTER TABLE derivatives DETACH PARTITION derivatives_2026_01 CONCURRENTLY;
\echo === MUST FAIL: also while the detached derivatives are there
ALTER TABLE captures DETACH PARTITION captures_2026_01 CONCURRENTLY;
DROP TABLE derivatives_2026_01;
\timing on
ALTER TABLE captures DETACH PARTITION captures_2026_01 CONCURRENTLY;
DROP TABLE captures_2026_01;
\echo === the same by deleting
DELETE FROM captures WHERE id < uuid_from('2026-03-01 00:00+00');
\timing off

\echo === a plain table becomes the first partition, without a copy
CREATE TABLE plain (LIKE captures INCLUDING DEFAULTS, PRIMARY KEY (id));
INSERT INTO plain SELECT * FROM captures_2026_03;
\timing on
ALTER TABLE plain ADD CONSTRAINT until_april CHECK (id < '019d4658-0000-0000-0000-000000000000') NOT VALID;
ALTER TABLE plain VALIDATE CONSTRAINT until_april;
CREATE TABLE captures_2 (LIKE plain INCLUDING DEFAULTS, PRIMARY KEY (id)) PARTITION BY RANGE (id);
ALTER TABLE captures_2 ATTACH PARTITION plain FOR VALUES FROM (MINVALUE) TO ('019d4658-0000-0000-0000-000000000000');
\timing off
\echo === MUST FAIL from here on: concurrently, with a default partition
CREATE TABLE captures_rest PARTITION OF captures DEFAULT;
ALTER TABLE captures DETACH PARTITION captures_2026_02 CONCURRENTLY;
