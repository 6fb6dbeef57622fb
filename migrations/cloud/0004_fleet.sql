-- The fleet: boxes, claims, what is wanted of them and what they say.

-- The cloud's own certificate authority, and whatever else replicas must share. Values are sealed with the master key.
CREATE TABLE cloud_secrets (
    name   text PRIMARY KEY, -- `authority`
    public text NOT NULL, -- the public half, PEM
    sealed bytea NOT NULL -- the private half, AES-256-GCM under the master key, with the name as associated data
);

CREATE TABLE organization_keys (
    organization_id uuid PRIMARY KEY, -- whose
    sealed          bytea NOT NULL -- the organisation's data key, sealed; handed to its boxes at enrolment
);
SELECT sent_protect('organization_keys');

CREATE TABLE boxes (
    organization_id     uuid NOT NULL, -- whose
    id                  uuid PRIMARY KEY, -- common name of its certificate
    branch_id           uuid NOT NULL, -- where it stands
    name                text NOT NULL, -- name
    tags                text[] NOT NULL DEFAULT '{}', -- tags
    version             text NOT NULL DEFAULT '', -- version it reported
    enrolled_at         bigint, -- µs; null: claimed, not yet seen
    certificate_expires bigint, -- µs
    certificate_serial  text, -- hex serial of the newest certificate
    revoked_at          bigint -- µs
);
CREATE INDEX boxes_by_organization ON boxes (organization_id, name);
SELECT sent_protect('boxes');
CREATE POLICY presented ON boxes FOR SELECT USING (id::text = (SELECT sent_presented()));

CREATE TABLE claims (
    organization_id uuid NOT NULL, -- whose
    id              uuid PRIMARY KEY, -- id
    code_hash       text NOT NULL UNIQUE, -- SHA-256 of the code, hex
    box_id          uuid NOT NULL, -- the box it makes
    created_by      text NOT NULL, -- who
    created_at      bigint NOT NULL, -- µs
    expires_at      bigint NOT NULL, -- µs
    used_at         bigint, -- µs; a claim counts once
    key_hash        text -- SHA-256 of the public key that used it, hex: the same key is answered again
);
SELECT sent_protect('claims');
CREATE POLICY presented ON claims FOR SELECT USING (code_hash = (SELECT sent_presented()));

-- What changes with every contact, apart from the row people edit.
CREATE TABLE box_states (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid PRIMARY KEY REFERENCES boxes (id) ON DELETE CASCADE, -- box
    last_seen       bigint, -- last request on the wire, µs
    presence        text, -- `online` or `offline`, from the broker
    presence_at     bigint, -- µs
    lag_micros      bigint, -- commit on the box to arrival here, last measured
    waiting         bigint NOT NULL DEFAULT 0, -- transactions the box says wait there
    alerts          integer NOT NULL DEFAULT 0, -- open alerts it reports
    reported_level  text, -- `ok`, `warn`, `bad`: what the box says of itself
    reported_cause  text, -- and why
    status_level    text NOT NULL DEFAULT 'unknown', -- the one status
    status_cause    text NOT NULL DEFAULT 'never seen', -- its cause
    status_since    bigint NOT NULL -- since when, µs
) WITH (fillfactor = 70);
CREATE INDEX box_states_by_level ON box_states (organization_id, status_level);
SELECT sent_protect('box_states');

CREATE TABLE box_documents (
    organization_id  uuid NOT NULL, -- whose
    box_id           uuid PRIMARY KEY REFERENCES boxes (id) ON DELETE CASCADE, -- box
    desired_version  bigint NOT NULL DEFAULT 0, -- counts up
    desired          jsonb NOT NULL DEFAULT '{}', -- wanted
    reported_version bigint NOT NULL DEFAULT 0, -- version of desired the box has applied
    reported         jsonb NOT NULL DEFAULT '{}', -- as it is
    reported_at      bigint -- µs
);
SELECT sent_protect('box_documents');

CREATE TABLE commands (
    organization_id uuid NOT NULL, -- whose
    id              uuid PRIMARY KEY, -- the box de-duplicates by it
    box_id          uuid NOT NULL REFERENCES boxes (id) ON DELETE CASCADE, -- box
    kind            text NOT NULL, -- `restart`, `sync_now`, …
    arguments       jsonb NOT NULL DEFAULT '{}', -- arguments
    state           text NOT NULL DEFAULT 'queued' -- where it is
        CHECK (state IN ('queued', 'delivered', 'running', 'done', 'failed', 'expired')),
    result          text, -- what the box said
    created_at      bigint NOT NULL, -- µs
    expires_at      bigint NOT NULL, -- not begun after this, µs
    updated_at      bigint NOT NULL, -- µs
    created_by      text NOT NULL -- who
);
CREATE INDEX commands_by_box ON commands (box_id, created_at DESC);
CREATE INDEX commands_open ON commands (expires_at) WHERE state IN ('queued', 'delivered');
SELECT sent_protect('commands');
