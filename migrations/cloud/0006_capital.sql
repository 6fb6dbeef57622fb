-- The books as the boxes posted them. The cloud holds copies: a box owns its `up` rows, so its id is part of their key and
-- no box can overwrite another's.

CREATE TABLE accounts (
    organization_id uuid NOT NULL, -- whose
    id              uuid NOT NULL, -- id
    name            text NOT NULL, -- full name with colons
    code            text, -- number of the chart
    kind            text NOT NULL, -- asset, liability, equity, income, expense
    currency        text, -- only this currency may be posted
    valid_from      text, -- first day, ISO
    valid_to        text, -- last day, ISO
    version         bigint NOT NULL DEFAULT 0, -- reference version
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX accounts_by_name ON accounts (organization_id, name);
SELECT sent_declare('accounts', 'down', '{id}');

CREATE TABLE entries (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box that posted it
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    branch_id       uuid, -- branch
    series          text NOT NULL, -- series code
    year            integer NOT NULL, -- year of the series
    sequence        bigint NOT NULL, -- gapless within branch, series and year
    number          text NOT NULL, -- as people read it
    date            date NOT NULL, -- accounting date
    description     text NOT NULL, -- what it is
    posted_at       bigint NOT NULL, -- posted on the box, µs
    reverses        uuid, -- the entry this one reverses
    external_id     text, -- transaction id of an imported entry
    PRIMARY KEY (box_id, id)
);
CREATE INDEX entries_newest ON entries (organization_id, posted_at DESC, id);
SELECT sent_declare('entries', 'up', '{id}');

CREATE TABLE lines (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    entry_id        uuid NOT NULL, -- entry
    position        integer NOT NULL, -- from 0
    account_id      uuid NOT NULL, -- account
    amount          numeric NOT NULL, -- debit positive
    currency        text NOT NULL, -- currency
    base            numeric, -- in base currency, where known
    memo            text, -- note
    system          smallint NOT NULL DEFAULT 0, -- 1: a trading leg made by the system
    PRIMARY KEY (box_id, entry_id, position)
);
SELECT sent_declare('lines', 'up', '{entry_id,position}');

CREATE TABLE fx_rates (
    organization_id uuid NOT NULL, -- whose
    currency        text NOT NULL, -- currency
    date            text NOT NULL, -- from this day on, ISO
    rate            numeric NOT NULL CHECK (rate > 0), -- what one unit is worth in base currency
    version         bigint NOT NULL DEFAULT 0, -- reference version
    PRIMARY KEY (organization_id, currency, date)
);
SELECT sent_declare('fx_rates', 'down', '{currency,date}');
