-- Reports: how they look, when they are made, and those that were. The PDFs lie in the data folder by their ids.

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
