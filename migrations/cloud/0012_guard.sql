-- What each box saw on its network. Flows and packets stay there. JSON stays text here as it is there.

-- Who is in each office.
CREATE TABLE guard_devices (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    mac             text NOT NULL, -- MAC address
    maker           text, -- who made it
    addresses       text NOT NULL, -- its addresses, JSON
    names           text NOT NULL, -- what it is called, JSON
    system          text, -- what runs on it: a guess
    system_basis    text, -- from what it was guessed
    roles           text NOT NULL, -- what it does for others, JSON
    first_seen      bigint NOT NULL, -- µs
    last_seen       bigint NOT NULL, -- µs
    PRIMARY KEY (box_id, mac)
);
SELECT sent_declare('guard_devices', 'up', '{mac}');

-- What looked like trouble there.
CREATE TABLE guard_detections (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    key             text NOT NULL, -- what it is about
    kind            text NOT NULL, -- scan, beacon, dns_tunnel …
    severity        text NOT NULL, -- low, medium, high
    title           text NOT NULL, -- headline
    facts           text NOT NULL, -- what was seen, JSON
    mac             text, -- the device
    source          text, -- who did it
    destination     text, -- to whom
    port            integer, -- on which port
    protocol        smallint, -- IP protocol
    community_id    text, -- the flow that shows it
    started_at      bigint NOT NULL, -- µs, first evidence
    last_at         bigint NOT NULL, -- µs, last evidence
    count           bigint NOT NULL, -- how often it was told
    state           text NOT NULL, -- open, acknowledged
    acknowledged_by text, -- who
    acknowledged_at bigint, -- µs
    PRIMARY KEY (box_id, id)
);
CREATE INDEX guard_detections_newest ON guard_detections (organization_id, last_at DESC);
SELECT sent_declare('guard_detections', 'up', '{id}');

-- Certificates that servers there showed.
CREATE TABLE guard_certificates (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    server          text NOT NULL, -- address
    port            integer NOT NULL, -- port
    sha256          text NOT NULL, -- of its DER form, hexadecimal
    name            text, -- the name it was asked for by
    subject         text NOT NULL, -- for whom
    issuer          text NOT NULL, -- by whom
    names           text NOT NULL, -- names it is good for, JSON
    not_before      bigint NOT NULL, -- µs
    not_after       bigint NOT NULL, -- µs
    public_key      text NOT NULL, -- kind and size of its key
    signature       text NOT NULL, -- how it is signed
    self_signed     smallint NOT NULL, -- 1: it signs itself
    weak            text NOT NULL, -- what is weak, JSON
    own             smallint NOT NULL, -- 1: the server is the office's own
    first_seen      bigint NOT NULL, -- µs
    PRIMARY KEY (box_id, server, port, sha256)
);
CREATE INDEX guard_certificates_ending ON guard_certificates (organization_id, not_after);
SELECT sent_declare('guard_certificates', 'up', '{server,port,sha256}');
