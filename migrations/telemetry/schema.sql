-- An engine's series (DuckDB) as all migrations leave them: the data dictionary. A test replays the migrations and compares.

-- Measurements of one box in DuckDB. One process writes this file (docs/design/0006).
--
-- No table has an index: rows arrive in the order of time, so DuckDB's zone maps find a range, and an index over tens of
-- millions of rows would not fit the box's memory. The one writer keeps keys unique where they must be.

-- What a series is. `id` is XXH3-64 of name and labels.
CREATE TABLE series (
    id     UBIGINT NOT NULL,
    name   VARCHAR NOT NULL,
    labels VARCHAR NOT NULL, -- JSON object of strings
    unit   VARCHAR NOT NULL
);

-- The raw tier. `time` is microseconds since 1970 UTC; values are finite.
CREATE TABLE points (
    series UBIGINT NOT NULL,
    time   BIGINT NOT NULL,
    value  DOUBLE NOT NULL
);

-- The minute tier: what the points of a minute (`time` is its beginning) add up to. Several rows may speak of the same
-- minute, when points arrived late; they add up. A point is in here exactly if its time is before the mark
-- `minutes_until`.
CREATE TABLE points_1m (
    series  UBIGINT NOT NULL,
    time    BIGINT NOT NULL,
    min     DOUBLE NOT NULL,
    max     DOUBLE NOT NULL,
    sum     DOUBLE NOT NULL,
    count   BIGINT NOT NULL,
    last    DOUBLE NOT NULL,
    last_time BIGINT NOT NULL
);

-- The hour tier, likewise; the mark is `hours_until`, never after `minutes_until`.
CREATE TABLE points_1h (
    series  UBIGINT NOT NULL,
    time    BIGINT NOT NULL,
    min     DOUBLE NOT NULL,
    max     DOUBLE NOT NULL,
    sum     DOUBLE NOT NULL,
    count   BIGINT NOT NULL,
    last    DOUBLE NOT NULL,
    last_time BIGINT NOT NULL
);

-- What the spool lost before it got here.
CREATE TABLE gaps (
    began  BIGINT NOT NULL,
    ended  BIGINT NOT NULL,
    points UBIGINT NOT NULL
);

-- Where the reader of the spool stands, by writing process. Moves in the transaction that stores the points.
CREATE TABLE cursors (
    process  VARCHAR NOT NULL,
    position UBIGINT NOT NULL
);

-- Moments in time: `minutes_until`, `hours_until` (above), and `points_from`, `minutes_from`, `hours_from`: what is older
-- was deleted from that tier.
CREATE TABLE marks (
    name  VARCHAR NOT NULL,
    value BIGINT NOT NULL
);
INSERT INTO marks VALUES ('minutes_until', 0), ('hours_until', 0), ('points_from', 0), ('minutes_from', 0), ('hours_from', 0);
