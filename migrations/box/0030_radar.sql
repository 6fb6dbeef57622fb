-- What is found in the logs. The logs themselves are in DuckDB (migrations/logs) and stay on the box.

-- Alerts of one rule about one host and user, to be worked on together.
CREATE TABLE radar_cases_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    title           TEXT NOT NULL, -- headline
    rule            TEXT NOT NULL, -- the rule's id
    severity        TEXT NOT NULL CHECK (severity IN ('informational', 'low', 'medium', 'high', 'critical')), -- how bad
    state           TEXT NOT NULL CHECK (state IN ('open', 'working', 'closed')), -- where it stands
    verdict         TEXT NOT NULL DEFAULT '' CHECK (verdict IN ('', 'true_positive', 'false_positive', 'benign')), -- how it ended
    owner           TEXT NOT NULL DEFAULT '', -- whose it is
    host            TEXT NOT NULL, -- host, or empty
    user            TEXT NOT NULL, -- user, or empty
    techniques      TEXT NOT NULL CHECK (json_type(techniques) = 'array'), -- ATT&CK techniques
    opened_at       INTEGER NOT NULL, -- first event, µs
    last_at         INTEGER NOT NULL, -- last event, µs
    closed_at       INTEGER, -- µs
    PRIMARY KEY (organization_id, id),
    CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CHECK (state = 'closed' OR verdict = '')
) STRICT, WITHOUT ROWID;

CREATE INDEX radar_cases_newest ON radar_cases_rows (organization_id, last_at DESC);
-- Never two cases under way for the same trouble.
CREATE UNIQUE INDEX radar_cases_one ON radar_cases_rows (organization_id, rule, host, user) WHERE state <> 'closed';

-- What rules found: one row for each rule, host and user within a few minutes. What it tells of the rule is what the rule
-- said then: rules change, history does not.
CREATE TABLE radar_alerts_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id; follows from the rule and the first event's position, so that none comes twice
    case_id         TEXT NOT NULL, -- case
    rule            TEXT NOT NULL, -- the rule's id
    title           TEXT NOT NULL, -- its title
    author          TEXT NOT NULL, -- who wrote it
    severity        TEXT NOT NULL CHECK (severity IN ('informational', 'low', 'medium', 'high', 'critical')), -- how bad
    techniques      TEXT NOT NULL CHECK (json_type(techniques) = 'array'), -- ATT&CK techniques
    host            TEXT NOT NULL, -- host, or empty
    user            TEXT NOT NULL, -- user, or empty
    count           INTEGER NOT NULL CHECK (count > 0), -- events that matched
    first_at        INTEGER NOT NULL, -- first event, µs
    last_at         INTEGER NOT NULL, -- last event, µs
    position        INTEGER NOT NULL, -- place of the last event in the queue: what is read again is counted once
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX radar_alerts_newest ON radar_alerts_rows (organization_id, last_at DESC);
CREATE INDEX radar_alerts_of_case ON radar_alerts_rows (organization_id, case_id, last_at DESC);

-- The evidence of an alert: its first event. It stays on the box, as the logs do.
CREATE TABLE radar_evidence_rows (
    organization_id TEXT NOT NULL, -- whose
    alert_id        TEXT NOT NULL, -- alert
    evidence        TEXT NOT NULL CHECK (json_valid(evidence)), -- source, original, fields, group; the rule's description and tags
    PRIMARY KEY (organization_id, alert_id)
) STRICT, WITHOUT ROWID;

-- What people said about cases.
CREATE TABLE radar_case_comments_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    case_id         TEXT NOT NULL, -- case
    at              INTEGER NOT NULL, -- µs
    author          TEXT NOT NULL, -- who
    text            TEXT NOT NULL, -- what
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX radar_case_comments_of_case ON radar_case_comments_rows (organization_id, case_id, at);

-- Rules as they were last loaded, and whether they are wanted.
CREATE TABLE radar_rules_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- the rule's own id, or its place
    title           TEXT NOT NULL, -- title
    kind            TEXT NOT NULL CHECK (kind IN ('detection', 'correlation', 'broken')), -- what it is
    severity        TEXT NOT NULL, -- its level, or empty
    author          TEXT NOT NULL, -- who wrote it
    tags            TEXT NOT NULL CHECK (json_type(tags) = 'array'), -- its tags
    pack            TEXT NOT NULL, -- the pack it came with, or empty
    place           TEXT NOT NULL, -- file and line within the pack
    enabled         INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)), -- 0: its matches raise nothing
    error           TEXT NOT NULL, -- what is wrong with it, or empty
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;

-- Packs of rules that are installed.
CREATE TABLE radar_packs_rows (
    organization_id TEXT NOT NULL, -- whose
    name            TEXT NOT NULL, -- name, that of its folder
    version         TEXT NOT NULL, -- which version of it
    enabled         INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)), -- 0: its rules do not run
    installed_at    INTEGER NOT NULL, -- µs
    PRIMARY KEY (organization_id, name)
) STRICT, WITHOUT ROWID;

-- When matches raise no alert.
CREATE TABLE radar_exceptions_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    rule            TEXT NOT NULL, -- the rule's id, or empty: all
    fields          TEXT NOT NULL CHECK (json_type(fields) = 'array'), -- pairs that must all fit
    reason          TEXT NOT NULL, -- why
    expires_at      INTEGER, -- µs; null: it does not end
    author          TEXT NOT NULL, -- who made it
    created_at      INTEGER NOT NULL, -- µs
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;
