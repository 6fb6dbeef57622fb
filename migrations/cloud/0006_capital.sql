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
-- The newest of a whole fleet, which no index by organisation can give in order.
CREATE INDEX entries_of_all ON entries (posted_at DESC, id DESC);
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

CREATE TABLE tax_rates (
    organization_id uuid NOT NULL, -- whose
    id              uuid NOT NULL, -- id
    code            text NOT NULL, -- code of the tax; several rates follow one another under it
    name            text NOT NULL, -- name
    rate            numeric NOT NULL CHECK (rate BETWEEN 0 AND 100), -- percent of the net amount
    valid_from      text NOT NULL, -- first day, ISO
    valid_to        text CHECK (valid_to >= valid_from), -- last day, ISO
    version         bigint NOT NULL DEFAULT 0, -- reference version
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX tax_rates_by_code ON tax_rates (organization_id, code, valid_from);
SELECT sent_declare('tax_rates', 'down', '{id}');

-- A code has one rate a day. The stamp took the organisation's counter before, so two writers do see each other here.
CREATE FUNCTION sent_tax_rates_apart() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM tax_rates t
               WHERE t.organization_id = NEW.organization_id AND t.code = NEW.code AND t.id <> NEW.id
                 AND t.valid_from <= coalesce(NEW.valid_to, '9999-12-31')
                 AND NEW.valid_from <= coalesce(t.valid_to, '9999-12-31')) THEN
        RAISE EXCEPTION '% has a rate for some of these days already', NEW.code USING ERRCODE = 'exclusion_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER apart AFTER INSERT OR UPDATE ON tax_rates FOR EACH ROW EXECUTE FUNCTION sent_tax_rates_apart();

CREATE TABLE items (
    organization_id uuid NOT NULL, -- whose
    id              uuid NOT NULL, -- id
    sku             text NOT NULL, -- stock keeping unit
    name            text NOT NULL, -- name
    unit            text NOT NULL, -- what one of it is
    price           numeric NOT NULL CHECK (price >= 0), -- net price of one unit
    currency        text NOT NULL, -- currency of the price
    tax_code        text, -- code of its tax
    valid_to        text, -- last day it is bought or sold, ISO
    version         bigint NOT NULL DEFAULT 0, -- reference version
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, sku)
);
SELECT sent_declare('items', 'down', '{id}');
