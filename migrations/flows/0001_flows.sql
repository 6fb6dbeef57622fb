-- Flows of one box in DuckDB. One process writes this file (docs/design/0009).
--
-- No index: rows arrive in the order of their ends and of their numbers, so DuckDB's zone maps find a range of either.

CREATE TABLE flows (
    id           UBIGINT NOT NULL,   -- running number
    community_id VARCHAR NOT NULL,   -- community id, version 1
    part         UINTEGER NOT NULL,  -- which part of a long flow, from 0
    started      BIGINT NOT NULL,    -- µs, first packet
    ended        BIGINT NOT NULL,    -- µs, last packet
    protocol     UTINYINT NOT NULL,  -- IP protocol
    src          VARCHAR NOT NULL,   -- who began
    sport        USMALLINT NOT NULL, -- its port
    src_mac      VARCHAR,            -- its MAC address
    dst          VARCHAR NOT NULL,   -- who was asked
    dport        USMALLINT NOT NULL, -- its port
    dst_mac      VARCHAR,            -- its MAC address
    vlan         UINTEGER NOT NULL,  -- outer tag << 12 | inner, 0 without
    tunnel       VARCHAR,            -- the tunnel it came out of
    name         VARCHAR,            -- what `dst` was looked up by or asked for by
    app          VARCHAR,            -- what is spoken
    state        VARCHAR NOT NULL,   -- unanswered, answered, refused, reset, closed
    ja4          VARCHAR,            -- TLS client fingerprint
    packets_out  UBIGINT NOT NULL,   -- packets that `src` sent
    packets_in   UBIGINT NOT NULL,   -- packets that `dst` sent
    bytes_out    UBIGINT NOT NULL,   -- their bytes, IP headers included
    bytes_in     UBIGINT NOT NULL
);
