-- Points without TimescaleDB: daily partitions made ahead, roll-ups refreshed by the program.
--
-- points_raw and the roll-ups have no organisation of their own: the program may append to the first and never reads any
-- of them but through the views below, which join the series of the present tenants. (Row-level security refuses COPY, and
-- TimescaleDB compresses no table that has it; a view holds for both forms.)

CREATE TABLE points_raw (
    key   bigint NOT NULL, -- series.key
    at    timestamptz NOT NULL, -- when
    value double precision NOT NULL -- value
) PARTITION BY RANGE (at);
-- Segments arrive sorted by series and time, and the series of a box were numbered one after another, so some blocks hold a
-- few ranges of series and a BRIN finds them; a b-tree would halve the rate of COPY.
CREATE INDEX points_raw_blocks ON points_raw USING brin (key int8_minmax_multi_ops (values_per_range = 64), at)
    WITH (pages_per_range = 8, autosummarize = on);
CREATE TABLE points_raw_default PARTITION OF points_raw DEFAULT;

CREATE TABLE points_1m_rows (
    key    bigint NOT NULL, -- series.key
    bucket timestamptz NOT NULL, -- begin of the minute
    min    double precision NOT NULL, -- least
    max    double precision NOT NULL, -- greatest
    sum    double precision NOT NULL, -- sum
    count  bigint NOT NULL, -- points
    last   double precision NOT NULL, -- newest value
    PRIMARY KEY (key, bucket)
);
CREATE INDEX points_1m_rows_by_time ON points_1m_rows USING brin (bucket);

CREATE TABLE points_1h_rows (
    key    bigint NOT NULL, -- series.key
    bucket timestamptz NOT NULL, -- begin of the hour
    min    double precision NOT NULL, -- least
    max    double precision NOT NULL, -- greatest
    sum    double precision NOT NULL, -- sum
    count  bigint NOT NULL, -- points
    last   double precision NOT NULL, -- newest value
    PRIMARY KEY (key, bucket)
);
CREATE INDEX points_1h_rows_by_time ON points_1h_rows USING brin (bucket);

-- Ranges with points that the roll-ups have not seen. Written with the points, in their transaction.
CREATE TABLE points_dirty (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- order
    keys    bigint[] NOT NULL, -- series
    from_at timestamptz NOT NULL, -- first point
    to_at   timestamptz NOT NULL, -- last point
    noted   timestamptz NOT NULL DEFAULT now() -- when it came
);

-- Whole hours with minutes that the hours have not seen.
CREATE TABLE points_1m_dirty (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- order
    keys    bigint[] NOT NULL, -- series
    from_at timestamptz NOT NULL, -- begin of the first hour
    to_at   timestamptz NOT NULL, -- end of the last
    noted   timestamptz NOT NULL DEFAULT now() -- when its minutes were added up
);

CREATE VIEW points WITH (security_barrier) AS
    SELECT s.organization_id, s.box_id, s.series, p.key, p.at, p.value
    FROM series_in_scope s JOIN points_raw p ON p.key = s.key;

CREATE VIEW points_1m WITH (security_barrier) AS
    SELECT s.organization_id, s.box_id, s.series, p.key, p.bucket, p.min, p.max, p.sum, p.count, p.last
    FROM series_in_scope s JOIN points_1m_rows p ON p.key = s.key;

CREATE VIEW points_1h WITH (security_barrier) AS
    SELECT s.organization_id, s.box_id, s.series, p.key, p.bucket, p.min, p.max, p.sum, p.count, p.last
    FROM series_in_scope s JOIN points_1h_rows p ON p.key = s.key;

REVOKE ALL ON points_raw, points_raw_default, points_1m_rows, points_1h_rows, points_dirty, points_1m_dirty FROM sent_app;
GRANT INSERT ON points_raw, points_dirty TO sent_app;
REVOKE INSERT, UPDATE, DELETE ON points, points_1m, points_1h FROM sent_app;

-- Makes the partition of a day, and moves into it what the default partition holds of that day.
CREATE FUNCTION sent_make_day(day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    name text := format('points_%s', to_char(day, 'YYYYMMDD'));
    first_at timestamptz := day::timestamp AT TIME ZONE 'UTC';
    end_at timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('sent_make_day'));
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE points_raw INCLUDING ALL)', name);
    EXECUTE format('REVOKE ALL ON %I FROM sent_app', name);
    EXECUTE format('WITH moved AS (DELETE FROM points_raw_default WHERE at >= %L AND at < %L RETURNING *) '
        'INSERT INTO %I SELECT * FROM moved', first_at, end_at, name);
    EXECUTE format('ALTER TABLE points_raw ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first_at, end_at);
    RETURN true;
END
$$;

-- Brings the roll-ups up to date with at most `most` ranges that came at least `settled` ago; answers how many it took, 0
-- while another replica does it.
--
-- A minute is added up once it has ended, or a while after its points came, and an hour out of its minutes every while. So
-- the boxes of a fleet, which all measure the same minutes, are read in one pass over those minutes and not each by itself,
-- and a box that catches up with many segments of the same minutes has them read once.
CREATE FUNCTION sent_roll_up(most integer, settled interval) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    taken integer := 0;
    dirty record;
BEGIN
    -- Two at once would make an hour of minutes that the other has not committed yet.
    IF NOT pg_try_advisory_xact_lock(hashtext('sent_roll_up')) THEN
        RETURN 0;
    END IF;
    FOR dirty IN
        WITH took AS (
            DELETE FROM points_dirty WHERE id IN (
                SELECT id FROM points_dirty
                WHERE noted <= now() - settled
                  AND (to_at < date_trunc('minute', now(), 'UTC') OR noted <= now() - 6 * settled)
                ORDER BY id LIMIT most)
            RETURNING id, keys, date_trunc('minute', from_at, 'UTC') AS from_at,
                      date_trunc('minute', to_at, 'UTC') + INTERVAL '1 minute' AS to_at)
        SELECT from_at, to_at, count(DISTINCT id) AS ranges, array_agg(DISTINCT key) AS keys, min(key) AS low, max(key) AS high
        FROM took, unnest(took.keys) AS key GROUP BY from_at, to_at
    LOOP
        taken := taken + dirty.ranges;
        -- Planned for these very values. `key + 0` keeps the index from being asked for one key after another.
        EXECUTE 'INSERT INTO points_1m_rows AS r (key, bucket, min, max, sum, count, last)
            SELECT key, date_trunc(''minute'', at, ''UTC''), min(value), max(value), sum(value), count(*),
                   (array_agg(value ORDER BY at DESC))[1]
            FROM points_raw
            WHERE at >= $1 AND at < $2 AND key BETWEEN $3 AND $4 AND key + 0 = ANY ($5)
            GROUP BY 1, 2
            ON CONFLICT (key, bucket) DO UPDATE SET min = excluded.min, max = excluded.max, sum = excluded.sum,
                count = excluded.count, last = excluded.last
            -- A bucket whose raw points are gone already must not shrink.
            WHERE excluded.count > r.count OR (excluded.count = r.count AND excluded.sum <> r.sum)'
            USING dirty.from_at, dirty.to_at, dirty.low, dirty.high, dirty.keys;
        INSERT INTO points_1m_dirty (keys, from_at, to_at)
            VALUES (dirty.keys, date_trunc('hour', dirty.from_at, 'UTC'),
                    date_trunc('hour', dirty.to_at - INTERVAL '1 minute', 'UTC') + INTERVAL '1 hour');
    END LOOP;
    FOR dirty IN
        WITH took AS (
            DELETE FROM points_1m_dirty WHERE id IN (
                SELECT id FROM points_1m_dirty WHERE noted <= now() - 30 * settled ORDER BY id LIMIT most)
            RETURNING id, keys, from_at, to_at)
        SELECT from_at, to_at, count(DISTINCT id) AS ranges, array_agg(DISTINCT key) AS keys
        FROM took, unnest(took.keys) AS key GROUP BY from_at, to_at
    LOOP
        taken := taken + dirty.ranges;
        EXECUTE 'INSERT INTO points_1h_rows AS r (key, bucket, min, max, sum, count, last)
            SELECT key, date_trunc(''hour'', bucket, ''UTC''), min(min), max(max), sum(sum), sum(count),
                   (array_agg(last ORDER BY bucket DESC))[1]
            FROM points_1m_rows
            WHERE key = ANY ($1) AND bucket >= $2 AND bucket < $3
            GROUP BY 1, 2
            ON CONFLICT (key, bucket) DO UPDATE SET min = excluded.min, max = excluded.max, sum = excluded.sum,
                count = excluded.count, last = excluded.last
            WHERE excluded.count > r.count OR (excluded.count = r.count AND excluded.sum <> r.sum)'
            USING dirty.keys, dirty.from_at, dirty.to_at;
    END LOOP;
    RETURN taken;
END
$$;

-- Makes partitions for a week ahead and drops what is past its retention. Called by the program once an hour.
CREATE FUNCTION sent_maintain_points(today date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    old record;
BEGIN
    PERFORM sent_make_day(today + n) FROM generate_series(-1, 7) AS n;
    FOR old IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'points_raw'::regclass AND c.relname ~ '^points_\d{8}$'
          AND to_date(substr(c.relname, 8), 'YYYYMMDD') < today - 30
    LOOP
        EXECUTE format('DROP TABLE %I', old.relname);
    END LOOP;
    DELETE FROM points_raw_default WHERE at < (today - 30)::timestamp AT TIME ZONE 'UTC';
    DELETE FROM points_1m_rows WHERE bucket < (today - 90)::timestamp AT TIME ZONE 'UTC';
    DELETE FROM points_1h_rows WHERE bucket < (today - 730)::timestamp AT TIME ZONE 'UTC';
END
$$;

SELECT sent_maintain_points((now() AT TIME ZONE 'UTC')::date);
