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
