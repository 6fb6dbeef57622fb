-- The box's business database as all migrations leave it: the data dictionary.
-- A test replays the migrations and compares. Views and INSTEAD OF triggers are derived from the declared tables (docs/design/0002).

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

-- The ledger. What must always hold of it is held here, whoever writes:
--   * lines come first and their entry last; with the entry's row they are posted, and from then on nothing about either
--     can be changed, added or removed;
--   * lines without an entry cannot be committed (deferred foreign key);
--   * an entry has at least two lines, adds up to exactly zero in each currency, and in base currency where every line has
--     a base amount;
--   * its accounts exist, are open on its date and take its currencies;
--   * numbers of a series (branch, series, year) begin at 1 and have no gap;
--   * an entry is reversed at most once, by the exact opposite of its lines.

CREATE TABLE accounts_rows (
    organization_id TEXT NOT NULL,
    id              TEXT NOT NULL,                 -- UUID
    name            TEXT NOT NULL,                 -- full name with colons
    code            TEXT,                          -- number of the chart
    kind            TEXT NOT NULL CHECK (kind IN ('asset', 'liability', 'equity', 'income', 'expense')),
    currency        TEXT,                          -- only this one may be posted
    valid_from      TEXT,                          -- first day, ISO
    valid_to        TEXT,                          -- last day, ISO
    version         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE entries_rows (
    organization_id TEXT NOT NULL,
    id              TEXT NOT NULL,                 -- UUID, made by the client
    branch_id       TEXT,
    series          TEXT NOT NULL,
    year            INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,              -- from 1, without gaps
    number          TEXT NOT NULL,                 -- JE-HS-2026-0413
    date            TEXT NOT NULL CHECK (date IS date(date)),
    description     TEXT NOT NULL,
    posted_at       INTEGER NOT NULL,              -- µs UTC
    reverses        TEXT,                          -- the entry this one reverses
    external_id     TEXT,                          -- transaction_id of an imported entry
    PRIMARY KEY (organization_id, id),
    CHECK (year = CAST(substr(date, 1, 4) AS INTEGER))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX entries_by_number ON entries_rows (organization_id, branch_id, series, year, sequence);
CREATE UNIQUE INDEX entries_by_external_id ON entries_rows (organization_id, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX entries_by_reverses ON entries_rows (organization_id, reverses) WHERE reverses IS NOT NULL;
CREATE INDEX entries_by_date ON entries_rows (organization_id, date, id);

CREATE TABLE lines_rows (
    organization_id TEXT NOT NULL,
    entry_id        TEXT NOT NULL,
    position        INTEGER NOT NULL CHECK (position >= 0),
    account_id      TEXT NOT NULL,
    amount          TEXT NOT NULL,                 -- decimal, debit positive
    currency        TEXT NOT NULL,
    base            TEXT,                          -- decimal, in base currency; NULL: no rate was known
    memo            TEXT,
    system          INTEGER NOT NULL DEFAULT 0 CHECK (system IN (0, 1)), -- 1: a trading leg
    PRIMARY KEY (organization_id, entry_id, position),
    FOREIGN KEY (organization_id, entry_id) REFERENCES entries_rows (organization_id, id) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;
CREATE INDEX lines_by_account ON lines_rows (organization_id, account_id, entry_id);

CREATE TABLE fx_rates_rows (
    organization_id TEXT NOT NULL,
    currency        TEXT NOT NULL,
    date            TEXT NOT NULL CHECK (date IS date(date)),
    rate            TEXT NOT NULL,                 -- what one unit is worth in base currency from that date on
    version         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, currency, date)
) STRICT, WITHOUT ROWID;

CREATE TABLE tax_rates_rows (
    organization_id TEXT NOT NULL,
    id              TEXT NOT NULL,                 -- UUID
    code            TEXT NOT NULL,                 -- several rates follow one another under it
    name            TEXT NOT NULL,
    rate            TEXT NOT NULL,                 -- decimal, percent of the net amount
    valid_from      TEXT NOT NULL,                 -- first day, ISO
    valid_to        TEXT,                          -- last day, ISO
    version         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tax_rates_by_code ON tax_rates_rows (organization_id, code, valid_from);

CREATE TABLE items_rows (
    organization_id TEXT NOT NULL,
    id              TEXT NOT NULL,                 -- UUID
    sku             TEXT NOT NULL,
    name            TEXT NOT NULL,
    unit            TEXT NOT NULL,                 -- what one of it is
    price           TEXT NOT NULL,                 -- decimal, net price of one unit
    currency        TEXT NOT NULL,
    tax_code        TEXT,
    valid_to        TEXT,                          -- last day it is bought or sold, ISO
    version         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX items_by_sku ON items_rows (organization_id, sku);

CREATE TRIGGER lines_rows_before_entry BEFORE INSERT ON lines_rows
WHEN EXISTS (SELECT 1 FROM entries_rows WHERE organization_id = NEW.organization_id AND id = NEW.entry_id)
BEGIN
    SELECT RAISE(ABORT, 'the entry is posted: no line can be added');
END;

CREATE TRIGGER entries_rows_post BEFORE INSERT ON entries_rows
BEGIN
    SELECT CASE
        -- Also keeps INSERT OR REPLACE from changing an entry.
        WHEN EXISTS (SELECT 1 FROM entries_rows WHERE organization_id = NEW.organization_id AND id = NEW.id)
            THEN RAISE(ABORT, 'the entry is posted already')
        WHEN NEW.sequence <> 1 + coalesce((
                SELECT sequence FROM entries_rows
                WHERE organization_id = NEW.organization_id AND branch_id IS NEW.branch_id AND series = NEW.series AND year = NEW.year
                ORDER BY sequence DESC LIMIT 1), 0)
            THEN RAISE(ABORT, 'the number does not follow the last one of its series')
    END;
    SELECT CASE
        WHEN count(*) < 2 THEN RAISE(ABORT, 'an entry has at least two lines')
        WHEN count(a.id) < count(*) THEN RAISE(ABORT, 'an account of the entry does not exist')
        WHEN max(a.currency <> l.currency) THEN RAISE(ABORT, 'an account of the entry takes another currency only')
        WHEN max(a.valid_from > NEW.date) OR max(a.valid_to < NEW.date)
            THEN RAISE(ABORT, 'an account of the entry is not open on its date')
        WHEN min(l.currency) = max(l.currency) AND decimal_sum(l.amount) <> '0'
            THEN RAISE(ABORT, 'the entry does not add up to zero')
        WHEN min(l.currency) <> max(l.currency) AND EXISTS (
                SELECT 1 FROM lines_rows c WHERE c.organization_id = NEW.organization_id AND c.entry_id = NEW.id
                GROUP BY c.currency HAVING decimal_sum(c.amount) <> '0')
            THEN RAISE(ABORT, 'the entry does not add up to zero in each currency')
        WHEN count(l.base) = count(*) AND max(l.base <> l.amount) AND (
                SELECT decimal_sum(b.base) FROM lines_rows b
                WHERE b.organization_id = NEW.organization_id AND b.entry_id = NEW.id) <> '0'
            THEN RAISE(ABORT, 'the entry does not add up to zero in base currency')
    END
    FROM lines_rows l LEFT JOIN accounts_rows a ON a.organization_id = l.organization_id AND a.id = l.account_id
    WHERE l.organization_id = NEW.organization_id AND l.entry_id = NEW.id;
END;

CREATE TRIGGER entries_rows_reverse BEFORE INSERT ON entries_rows WHEN NEW.reverses IS NOT NULL
BEGIN
    SELECT CASE
        WHEN NOT EXISTS (SELECT 1 FROM entries_rows WHERE organization_id = NEW.organization_id AND id = NEW.reverses)
            THEN RAISE(ABORT, 'the entry to reverse does not exist')
        WHEN EXISTS (SELECT 1 FROM entries_rows WHERE organization_id = NEW.organization_id AND reverses = NEW.reverses)
            THEN RAISE(ABORT, 'the entry is reversed already')
        WHEN (SELECT count(*) FROM lines_rows WHERE organization_id = NEW.organization_id AND entry_id = NEW.id)
            <> (SELECT count(*) FROM lines_rows WHERE organization_id = NEW.organization_id AND entry_id = NEW.reverses)
          OR EXISTS (
            SELECT 1 FROM lines_rows n LEFT JOIN lines_rows o
                ON o.organization_id = n.organization_id AND o.entry_id = NEW.reverses AND o.position = n.position
            WHERE n.organization_id = NEW.organization_id AND n.entry_id = NEW.id
              AND (o.account_id IS NOT n.account_id OR o.currency IS NOT n.currency OR (o.base IS NULL) <> (n.base IS NULL)
                   OR decimal_add(o.amount, n.amount) <> '0' OR decimal_add(coalesce(o.base, '0'), coalesce(n.base, '0')) <> '0'))
            THEN RAISE(ABORT, 'a reversal is the exact opposite of its entry')
    END;
END;

CREATE TRIGGER entries_rows_keep BEFORE UPDATE ON entries_rows
BEGIN
    SELECT RAISE(ABORT, 'a posted entry cannot be changed: reverse it');
END;
CREATE TRIGGER entries_rows_stay BEFORE DELETE ON entries_rows
BEGIN
    SELECT RAISE(ABORT, 'a posted entry cannot be removed: reverse it');
END;
CREATE TRIGGER lines_rows_keep BEFORE UPDATE ON lines_rows
BEGIN
    SELECT RAISE(ABORT, 'a posted line cannot be changed: reverse its entry');
END;
CREATE TRIGGER lines_rows_stay BEFORE DELETE ON lines_rows
BEGIN
    SELECT RAISE(ABORT, 'a posted line cannot be removed: reverse its entry');
END;

CREATE TRIGGER accounts_rows_stay BEFORE DELETE ON accounts_rows
WHEN EXISTS (SELECT 1 FROM lines_rows WHERE organization_id = OLD.organization_id AND account_id = OLD.id)
BEGIN
    SELECT RAISE(ABORT, 'an account with postings cannot be removed: close it');
END;

CREATE TRIGGER fx_rates_rows_positive BEFORE INSERT ON fx_rates_rows WHEN decimal_cmp(NEW.rate, '0') <= 0
BEGIN
    SELECT RAISE(ABORT, 'a rate is greater than zero');
END;
CREATE TRIGGER fx_rates_rows_stay_positive BEFORE UPDATE ON fx_rates_rows WHEN decimal_cmp(NEW.rate, '0') <= 0
BEGIN
    SELECT RAISE(ABORT, 'a rate is greater than zero');
END;

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

-- How reports look, and whose they are.
CREATE TABLE report_templates_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    name            TEXT NOT NULL, -- name
    title           TEXT NOT NULL, -- headline
    sender          TEXT NOT NULL, -- who sends it
    accent          TEXT NOT NULL CHECK (accent GLOB '#[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'), -- colour
    closing         TEXT NOT NULL DEFAULT '', -- last words
    logo            TEXT, -- data URL
    version         INTEGER NOT NULL DEFAULT 0, -- reference version
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;

-- When a report is made by itself.
CREATE TABLE report_schedules_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    name            TEXT NOT NULL, -- name
    template_id     TEXT NOT NULL, -- template
    weekday         INTEGER NOT NULL CHECK (weekday BETWEEN 1 AND 7), -- 1 is Monday
    minute          INTEGER NOT NULL CHECK (minute BETWEEN 0 AND 1439), -- of the day, in the branch's zone
    recipients      TEXT NOT NULL DEFAULT '[]' CHECK (json_type(recipients) = 'array'), -- mail addresses
    paused          INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)), -- 1: makes nothing
    done_until      INTEGER NOT NULL, -- µs: what was due until then is made, or never will be
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;

-- What was made.
CREATE TABLE reports_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id, and name of the file
    schedule_id     TEXT, -- the schedule that made it; NULL: somebody asked
    title           TEXT NOT NULL, -- headline of the moment
    from_at         INTEGER NOT NULL, -- µs: first moment it is about
    to_at           INTEGER NOT NULL, -- µs: the moment after the last
    made_at         INTEGER NOT NULL, -- µs
    made_by         TEXT NOT NULL, -- who
    pages           INTEGER NOT NULL, -- pages
    bytes           INTEGER NOT NULL, -- bytes of the file
    sha256          TEXT NOT NULL, -- of the file, hex
    missing         TEXT NOT NULL DEFAULT '[]' CHECK (json_type(missing) = 'array'), -- engines that did not answer
    recipients      TEXT NOT NULL DEFAULT '[]' CHECK (json_type(recipients) = 'array'), -- mail addresses
    PRIMARY KEY (organization_id, id),
    CHECK (to_at > from_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX reports_newest ON reports_rows (organization_id, made_at DESC);
-- A schedule reports a time once.
CREATE UNIQUE INDEX reports_once ON reports_rows (organization_id, schedule_id, to_at) WHERE schedule_id IS NOT NULL;

-- What is sent to whom. The row is written with the report, so a crash loses no mail; its id goes with the mail.
CREATE TABLE report_mails_rows (
    organization_id TEXT NOT NULL, -- whose
    id              TEXT NOT NULL, -- id
    report_id       TEXT NOT NULL, -- report
    recipient       TEXT NOT NULL, -- mail address
    state           TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'failed')), -- where it stands
    attempts        INTEGER NOT NULL DEFAULT 0, -- so far
    next_at         INTEGER NOT NULL, -- µs of the next attempt
    error           TEXT, -- of the last one
    PRIMARY KEY (organization_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX report_mails_once ON report_mails_rows (organization_id, report_id, recipient);
CREATE INDEX report_mails_due ON report_mails_rows (organization_id, next_at) WHERE state = 'waiting';
