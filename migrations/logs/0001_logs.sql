-- Radar's logs in DuckDB. One process writes this file.
--
-- The lines themselves are in one table for each class and day of receipt, `logs_CLASS_DAY` (DAY in days since 1970),
-- made when the first line arrives and dropped when its retention is over. Their columns: `position` in the queue,
-- `time` and `received` (µs since 1970 UTC), `source`, Sigma's log source (`product`, `category`, `service`), what
-- arrived (`head` || `message` || `tail`; `head` alone when `tail` is NULL; `raw` when it was not UTF-8), one column for
-- each common field, and `rest`: the other fields as U+001F name U+001E value … U+001F.

-- The partitions that exist.
CREATE TABLE partitions (
    class VARCHAR NOT NULL,
    day   INTEGER NOT NULL
);

-- Runs of 65,536 lines of a partition, by position. `place` and `blocks` say where in the partition's sketch file its
-- sketch lies; 0 blocks: it has none and is always read.
CREATE TABLE chunks (
    class    VARCHAR NOT NULL,
    day      INTEGER NOT NULL,
    first    UBIGINT NOT NULL, -- position of the first line
    last     UBIGINT NOT NULL, -- of the last one
    lines    UBIGINT NOT NULL,
    earliest BIGINT NOT NULL,  -- µs, of `time`
    latest   BIGINT NOT NULL,
    place    UBIGINT NOT NULL,
    blocks   UINTEGER NOT NULL
);

-- Everything before this position of the queue is stored. Moves in the transaction that stores the lines.
CREATE TABLE cursor (position UBIGINT NOT NULL);
INSERT INTO cursor VALUES (0);
