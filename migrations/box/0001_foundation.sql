-- The box itself, its audit chain and outbox, and identity.
-- Base tables end in _rows; the store derives a tenant view without the suffix from each declared table.

-- One row: who this box is and where its two chains end.
CREATE TABLE sys_box (
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    box_id             TEXT NOT NULL,              -- UUID; part of every transaction's hash
    name               TEXT NOT NULL,
    organization_id    TEXT NOT NULL,              -- the organisation the box belongs to
    branch_id          TEXT,
    created_at         INTEGER NOT NULL,           -- µs UTC
    epoch              INTEGER NOT NULL,           -- grows with every restore
    sequence           INTEGER NOT NULL,           -- last transaction of this epoch
    hash               TEXT NOT NULL,              -- its hash
    acknowledged       INTEGER NOT NULL DEFAULT 0, -- last sequence of this epoch the cloud has
    audit_sequence     INTEGER NOT NULL,           -- last audit entry
    audit_hash         TEXT NOT NULL,              -- its hash
    previous_epoch     INTEGER NOT NULL DEFAULT 0, -- where this epoch began: the epoch before …
    previous_sequence  INTEGER NOT NULL DEFAULT 0, -- … its last sequence that is still here …
    previous_hash      TEXT NOT NULL,              -- … and its hash
    epoch_token        TEXT NOT NULL,              -- UUID; tells two restores to the same epoch apart
    epoch_open         INTEGER NOT NULL DEFAULT 1  -- 1 until the cloud has been told of this epoch
) STRICT;

-- Small facts of the store and the sync agent, by name.
CREATE TABLE sys_state (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every write, who did it, old → new, chained by hash over all organisations of the box.
CREATE TABLE audit_rows (
    sequence        INTEGER PRIMARY KEY,
    organization_id TEXT NOT NULL,
    branch_id       TEXT,
    at              INTEGER NOT NULL,
    actor           TEXT NOT NULL,                 -- name as it was then
    actor_id        TEXT,                          -- user or token
    action          TEXT NOT NULL,
    request         TEXT NOT NULL,
    changes         TEXT NOT NULL,                 -- JSON array of changes
    previous_hash   TEXT NOT NULL,
    hash            TEXT NOT NULL
) STRICT;
-- What people did, among the much that the box does by itself.
CREATE INDEX audit_rows_people ON audit_rows (sequence) WHERE actor_id IS NOT NULL;
CREATE TRIGGER audit_rows_keep BEFORE UPDATE ON audit_rows BEGIN SELECT RAISE(ABORT, 'audit entries cannot be changed'); END;
CREATE TRIGGER audit_rows_stay BEFORE DELETE ON audit_rows BEGIN SELECT RAISE(ABORT, 'audit entries cannot be removed'); END;

-- What the cloud has not acknowledged yet.
CREATE TABLE sys_outbox (
    epoch          INTEGER NOT NULL,
    sequence       INTEGER NOT NULL,
    audit_sequence INTEGER NOT NULL REFERENCES audit_rows (sequence),
    previous_hash  TEXT NOT NULL,
    hash           TEXT NOT NULL,
    origin         TEXT,                           -- hash under which it was first sealed, when sealed again
    changes        TEXT,                           -- NULL: the audit entry's changes, as they are
    PRIMARY KEY (epoch, sequence)
) STRICT, WITHOUT ROWID;

-- Transactions of an earlier epoch that the cloud gave back and that no longer fit.
CREATE TABLE sys_quarantine (
    identity    TEXT PRIMARY KEY,                  -- hash under which it was first sealed
    epoch       INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    document    TEXT NOT NULL,                     -- the whole transaction as JSON
    error       TEXT NOT NULL,
    at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Edits of cloud-owned rows that the cloud refused, the last of each row.
CREATE TABLE sys_refused (
    organization_id TEXT NOT NULL,
    table_name      TEXT NOT NULL,
    key             TEXT NOT NULL,                 -- key columns, JSON
    cause           TEXT NOT NULL,                 -- why, for a person
    by              TEXT NOT NULL,                 -- who decided
    at              INTEGER NOT NULL,              -- when, µs
    PRIMARY KEY (organization_id, table_name, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE organizations_rows (
    organization_id TEXT NOT NULL,
    name            TEXT NOT NULL,
    currency        TEXT NOT NULL,                 -- base currency
    parent_id       TEXT,                          -- the MSP
    version         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE branches_rows (
    organization_id TEXT NOT NULL,
    id              TEXT NOT NULL,
    name            TEXT NOT NULL,
    timezone        TEXT NOT NULL DEFAULT 'UTC',   -- IANA name
    version         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE roles_rows (
    organization_id TEXT NOT NULL,
    id              TEXT NOT NULL,
    name            TEXT NOT NULL,
    rights          TEXT NOT NULL,                 -- JSON array of rights and patterns
    version         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE users_rows (
    organization_id TEXT NOT NULL,
    id              TEXT NOT NULL,
    email           TEXT NOT NULL COLLATE NOCASE,
    name            TEXT NOT NULL,
    password_hash   TEXT NOT NULL,                 -- verifier: argon2id, then SHA-256 (docs/design/0004)
    role_id         TEXT NOT NULL,
    branch_id       TEXT,                          -- NULL: all branches
    disabled        INTEGER NOT NULL DEFAULT 0,
    locale          TEXT NOT NULL DEFAULT 'en',
    version         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, email)
) STRICT, WITHOUT ROWID;
-- A login names no organisation, so an address may exist once on a box.
CREATE UNIQUE INDEX users_by_email ON users_rows (email);

CREATE TABLE organization_settings_rows (
    organization_id TEXT NOT NULL,
    key             TEXT NOT NULL,                 -- lower-case words with dots between them
    value           TEXT NOT NULL,
    version         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, key)
) STRICT, WITHOUT ROWID;

-- Second factors are set up where they are used.
CREATE TABLE factors_rows (
    organization_id TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    secret          TEXT NOT NULL,                 -- TOTP secret, field cipher
    confirmed       INTEGER NOT NULL DEFAULT 0,
    last_step       INTEGER NOT NULL DEFAULT 0,    -- a code counts once
    PRIMARY KEY (organization_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_codes_rows (
    organization_id TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    digest          TEXT NOT NULL,                 -- SHA-256
    used_at         INTEGER,
    PRIMARY KEY (organization_id, user_id, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_tokens_rows (
    organization_id TEXT NOT NULL,
    id              TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    name            TEXT NOT NULL,
    digest          TEXT NOT NULL UNIQUE,          -- SHA-256
    rights          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER,
    asleep          INTEGER NOT NULL DEFAULT 0,    -- 1: from before a restore, opens nothing until its owner wakes it
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;

-- Sessions and what is counted of logins: state of this machine, neither audited nor sent.
CREATE TABLE sys_sessions (
    digest          TEXT PRIMARY KEY,              -- SHA-256 of the cookie
    organization_id TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    stage           TEXT NOT NULL CHECK (stage IN ('totp', 'open')),
    created_at      INTEGER NOT NULL,
    seen_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sys_sessions_by_user ON sys_sessions (user_id);

CREATE TABLE sys_attempts (
    subject TEXT NOT NULL,                         -- account:EMAIL or address:IP
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX sys_attempts_by_subject ON sys_attempts (subject, at);

CREATE TABLE sys_seen (
    subject TEXT PRIMARY KEY,                      -- user:ID, token:ID
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
