-- Packets: who is in the office, what looked like trouble, and certificates. Flows lie in a DuckDB file, packets in a ring.

-- Who is in the office. What it sends and to whom are flows.
CREATE TABLE guard_devices_rows (
    organization_id TEXT NOT NULL, -- whose
    mac             TEXT NOT NULL, -- MAC address, 00:11:22:33:44:55
    maker           TEXT, -- who made it, by IEEE's registers
    addresses       TEXT NOT NULL CHECK (json_type(addresses) = 'array'), -- its addresses, the newest first
    names           TEXT NOT NULL CHECK (json_type(names) = 'object'), -- what it is called, by where that was heard
    system          TEXT, -- what runs on it: a guess
    system_basis    TEXT CHECK (system_basis IN ('dhcp_vendor', 'dhcp_options', 'tcp_syn')), -- from what it was guessed
    roles           TEXT NOT NULL CHECK (json_type(roles) = 'array'), -- what it does for others
    first_seen      INTEGER NOT NULL, -- µs
    last_seen       INTEGER NOT NULL, -- µs; told with a change, or once an hour
    PRIMARY KEY (organization_id, mac)
) STRICT, WITHOUT ROWID;

-- What looked like trouble.
CREATE TABLE guard_detections_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    key             TEXT NOT NULL, -- what it is about: the same trouble again has the same key
    kind            TEXT NOT NULL, -- scan, beacon, dns_tunnel …
    severity        TEXT NOT NULL CHECK (severity IN ('low', 'medium', 'high')), -- how bad
    title           TEXT NOT NULL, -- headline
    facts           TEXT NOT NULL CHECK (json_type(facts) = 'object'), -- what was seen
    mac             TEXT, -- the device
    source          TEXT, -- who did it
    destination     TEXT, -- to whom
    port            INTEGER, -- on which port
    protocol        INTEGER, -- IP protocol
    community_id    TEXT, -- the flow that shows it
    started_at      INTEGER NOT NULL, -- µs, first evidence
    last_at         INTEGER NOT NULL, -- µs, last evidence
    count           INTEGER NOT NULL DEFAULT 1, -- how often it was told
    state           TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged')), -- where it stands
    acknowledged_by TEXT, -- who
    acknowledged_at INTEGER, -- µs
    PRIMARY KEY (organization_id, id),
    CHECK ((state = 'acknowledged') = (acknowledged_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- The same trouble is one row until somebody has acknowledged it.
CREATE UNIQUE INDEX guard_detections_one_open ON guard_detections_rows (organization_id, key) WHERE state = 'open';
CREATE INDEX guard_detections_newest ON guard_detections_rows (organization_id, last_at DESC, id DESC);

-- Certificates that servers showed.
CREATE TABLE guard_certificates_rows (
    organization_id TEXT NOT NULL, -- whose
    server          TEXT NOT NULL, -- address
    port            INTEGER NOT NULL, -- port
    sha256          TEXT NOT NULL, -- of its DER form, hexadecimal
    name            TEXT, -- the name it was asked for by
    subject         TEXT NOT NULL, -- for whom
    issuer          TEXT NOT NULL, -- by whom
    names           TEXT NOT NULL CHECK (json_type(names) = 'array'), -- names it is good for
    not_before      INTEGER NOT NULL, -- µs
    not_after       INTEGER NOT NULL, -- µs
    public_key      TEXT NOT NULL, -- kind and size of its key
    signature       TEXT NOT NULL, -- how it is signed
    self_signed     INTEGER NOT NULL CHECK (self_signed IN (0, 1)), -- 1: it signs itself
    weak            TEXT NOT NULL CHECK (json_type(weak) = 'array'), -- what is weak
    own             INTEGER NOT NULL CHECK (own IN (0, 1)), -- 1: the server is the office's own
    first_seen      INTEGER NOT NULL, -- µs
    PRIMARY KEY (organization_id, server, port, sha256)
) STRICT, WITHOUT ROWID;
