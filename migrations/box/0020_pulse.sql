-- Measuring: what is checked, when somebody is told, and what they were told. The measurements themselves are series.

-- What is checked, and how.
CREATE TABLE checks_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    name            TEXT NOT NULL, -- name, the label `check` of its series
    kind            TEXT NOT NULL CHECK (json_valid(kind)), -- what and how, secrets masked (contract's CheckKind)
    interval        INTEGER NOT NULL CHECK (interval BETWEEN 1 AND 86400), -- seconds between runs
    timeout         INTEGER NOT NULL CHECK (timeout BETWEEN 1 AND 60), -- seconds a run may take
    paused          INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)), -- 1: not run
    secret          TEXT, -- secrets of the kind by field, JSON, encrypted; never leaves the box
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;

-- The label `check` tells series apart.
CREATE UNIQUE INDEX checks_name ON checks_rows (organization_id, name);

-- A check's health, when it last changed.
CREATE TABLE check_states_rows (
    organization_id TEXT NOT NULL, -- whose
    check_id        TEXT NOT NULL, -- check
    level           TEXT NOT NULL CHECK (level IN ('ok', 'warn', 'bad', 'unknown')), -- how bad
    cause           TEXT NOT NULL, -- why
    since           INTEGER NOT NULL, -- µs
    PRIMARY KEY (organization_id, check_id)
) STRICT, WITHOUT ROWID;

-- When somebody is told.
CREATE TABLE rules_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    name            TEXT NOT NULL, -- name
    metric          TEXT NOT NULL, -- metric
    labels          TEXT NOT NULL DEFAULT '{}' CHECK (json_type(labels) = 'object'), -- labels that must match
    condition       TEXT NOT NULL CHECK (condition IN ('above', 'below', 'absent')), -- when it raises
    "raise"         REAL NOT NULL, -- raises beyond
    clear           REAL NOT NULL, -- clears on this side
    hold_seconds    INTEGER NOT NULL CHECK (hold_seconds BETWEEN 0 AND 604800), -- must hold so long
    severity        TEXT NOT NULL CHECK (severity IN ('warn', 'bad')), -- how bad
    notify          TEXT NOT NULL DEFAULT '[]' CHECK (json_type(notify) = 'array'), -- where it goes
    escalate_after  INTEGER, -- seconds without acknowledgement
    escalate_to     TEXT NOT NULL DEFAULT '[]' CHECK (json_type(escalate_to) = 'array'), -- second line
    paused          INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)), -- 1: not evaluated
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;

-- When nobody is told although something is wrong.
CREATE TABLE silences_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    rule_id         TEXT, -- rule, or all
    labels          TEXT NOT NULL DEFAULT '{}' CHECK (json_type(labels) = 'object'), -- labels that must match
    from_at         INTEGER NOT NULL, -- µs
    until_at        INTEGER NOT NULL, -- µs
    reason          TEXT NOT NULL, -- why
    PRIMARY KEY (organization_id, id),
    CHECK (until_at > from_at)
) STRICT, WITHOUT ROWID;

-- What was raised. The title, the severity and the host are those of the moment: rules change, history does not.
CREATE TABLE alerts_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    rule_id         TEXT NOT NULL, -- rule
    title           TEXT NOT NULL, -- headline
    state           TEXT NOT NULL CHECK (state IN ('firing', 'acknowledged', 'silenced', 'flapping', 'resolved')), -- where it stands
    severity        TEXT NOT NULL CHECK (severity IN ('warn', 'bad')), -- how bad
    series          TEXT NOT NULL, -- series id, decimal
    labels          TEXT NOT NULL CHECK (json_type(labels) = 'object'), -- labels of the series
    value           REAL, -- value when it was raised, or at its end
    raised_at       INTEGER NOT NULL, -- µs
    resolved_at     INTEGER, -- µs
    acknowledged_by TEXT, -- who
    PRIMARY KEY (organization_id, id),
    CHECK ((state = 'resolved') = (resolved_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Never two open alerts for one rule and series.
CREATE UNIQUE INDEX alerts_one_open ON alerts_rows (organization_id, rule_id, series) WHERE resolved_at IS NULL;
CREATE INDEX alerts_newest ON alerts_rows (organization_id, raised_at DESC);

-- What is over is over: the same trouble again is a new alert.
CREATE TRIGGER alerts_stay_resolved BEFORE UPDATE ON alerts_rows
WHEN OLD.resolved_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a resolved alert does not change');
END;

-- What is told to whom, and how it went. The row is written in the transaction that raised the alert, so a crash loses
-- no word; its id goes with the message, so that a receiver recognises one that arrives twice.
CREATE TABLE notifications_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    alert_id        TEXT NOT NULL, -- alert
    stage           TEXT NOT NULL CHECK (stage IN ('raised', 'escalated', 'resolved')), -- how far the alert is told
    target          TEXT NOT NULL, -- mail:… or webhook:…
    state           TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed')), -- where it stands
    created_at      INTEGER NOT NULL, -- µs
    next_at         INTEGER NOT NULL, -- µs of the next attempt
    sent_at         INTEGER, -- µs
    attempts        TEXT NOT NULL DEFAULT '[]' CHECK (json_type(attempts) = 'array'), -- each with its time and error
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;

-- Nobody is told the same thing twice.
CREATE UNIQUE INDEX notifications_once ON notifications_rows (organization_id, alert_id, stage, target);
CREATE INDEX notifications_due ON notifications_rows (organization_id, next_at) WHERE state = 'pending';

-- What the alert machines remember: hold timers and the history of flapping.
CREATE TABLE alert_machines_rows (
    organization_id TEXT NOT NULL, -- whose
    rule_id         TEXT NOT NULL, -- rule
    series          TEXT NOT NULL, -- series id, decimal
    machine         TEXT NOT NULL CHECK (json_valid(machine)), -- its memory
    labels          TEXT NOT NULL CHECK (json_type(labels) = 'object'), -- labels of the series
    PRIMARY KEY (organization_id, rule_id, series)
) STRICT, WITHOUT ROWID;
