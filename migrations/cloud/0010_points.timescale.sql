-- Points on TimescaleDB: a hypertable, two continuous aggregates, compression and retention by its own policies.
-- transaction: none
--
-- The same tables, views and functions as the plain form, so the program has one set of queries. The statements run one
-- by one outside a transaction, as continuous aggregates ask.

CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE points_raw (
    key   bigint NOT NULL, -- series.key
    at    timestamptz NOT NULL, -- when
    value double precision NOT NULL -- value
);

SELECT create_hypertable('points_raw', 'at', chunk_time_interval => INTERVAL '1 day', create_default_indexes => false);

CREATE INDEX points_raw_blocks ON points_raw USING brin (key int8_minmax_multi_ops (values_per_range = 64), at)
    WITH (pages_per_range = 8, autosummarize = on);

ALTER TABLE points_raw SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'key', timescaledb.compress_orderby = 'at');

SELECT add_compression_policy('points_raw', INTERVAL '2 days');

SELECT add_retention_policy('points_raw', INTERVAL '30 days');

CREATE MATERIALIZED VIEW points_1m_rows WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT key, time_bucket(INTERVAL '1 minute', at) AS bucket, min(value) AS min, max(value) AS max, sum(value) AS sum,
           count(*) AS count, last(value, at) AS last
    FROM points_raw
    GROUP BY 1, 2
    WITH NO DATA;

SELECT add_continuous_aggregate_policy('points_1m_rows', start_offset => INTERVAL '30 days',
    end_offset => INTERVAL '1 minute', schedule_interval => INTERVAL '1 minute');

SELECT add_retention_policy('points_1m_rows', INTERVAL '90 days');

CREATE MATERIALIZED VIEW points_1h_rows WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT key, time_bucket(INTERVAL '1 hour', bucket) AS bucket, min(min) AS min, max(max) AS max, sum(sum) AS sum,
           sum(count)::bigint AS count, last(last, bucket) AS last
    FROM points_1m_rows
    GROUP BY 1, 2
    WITH NO DATA;

SELECT add_continuous_aggregate_policy('points_1h_rows', start_offset => INTERVAL '31 days',
    end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '10 minutes');

SELECT add_retention_policy('points_1h_rows', INTERVAL '730 days');

-- TimescaleDB keeps its own log of what changed: nothing is written here. It stands so that ingest has one statement.
CREATE TABLE points_dirty (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- order
    keys    bigint[] NOT NULL, -- series
    from_at timestamptz NOT NULL, -- first point
    to_at   timestamptz NOT NULL, -- last point
    noted   timestamptz NOT NULL DEFAULT now() -- when it came
);

CREATE FUNCTION sent_not_dirty() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

CREATE TRIGGER not_dirty BEFORE INSERT ON points_dirty FOR EACH ROW EXECUTE FUNCTION sent_not_dirty();

CREATE VIEW points WITH (security_barrier) AS
    SELECT s.organization_id, s.box_id, s.series, p.key, p.at, p.value
    FROM series_in_scope s JOIN points_raw p ON p.key = s.key;

CREATE VIEW points_1m WITH (security_barrier) AS
    SELECT s.organization_id, s.box_id, s.series, p.key, p.bucket, p.min, p.max, p.sum, p.count, p.last
    FROM series_in_scope s JOIN points_1m_rows p ON p.key = s.key;

CREATE VIEW points_1h WITH (security_barrier) AS
    SELECT s.organization_id, s.box_id, s.series, p.key, p.bucket, p.min, p.max, p.sum, p.count, p.last
    FROM series_in_scope s JOIN points_1h_rows p ON p.key = s.key;

REVOKE ALL ON points_raw, points_1m_rows, points_1h_rows, points_dirty FROM sent_app;

GRANT INSERT ON points_raw, points_dirty TO sent_app;

REVOKE INSERT, UPDATE, DELETE ON points, points_1m, points_1h FROM sent_app;

CREATE FUNCTION sent_make_day(day date) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$;

CREATE FUNCTION sent_roll_up(most integer, settled interval) RETURNS integer LANGUAGE sql AS $$ SELECT 0 $$;

CREATE FUNCTION sent_maintain_points(today date) RETURNS void LANGUAGE sql AS $$ SELECT NULL::void $$;
