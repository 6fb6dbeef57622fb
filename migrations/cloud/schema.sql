-- The cloud's data dictionary: every table and column after all migrations. A test holds it against the real schema.
--
-- Every table with organization_id is under forced row-level security (0001). `µs` is microseconds since the Unix epoch,
-- UTC. Points have no organisation; they are read through the views points, points_1m and points_1h, which have.

-- Who belongs to whom: ids only. The one table that the policies themselves read.
CREATE TABLE tenants (
    organization_id uuid NOT NULL, -- an organisation
    parent_id       uuid,          -- the MSP that manages it; null for an MSP
    PRIMARY KEY (organization_id)
);

-- Tables that come from boxes or go to them. The projector knows nothing else of them.
CREATE TABLE projected_tables (
    name        text NOT NULL,   -- table name, the same on the box
    class       text NOT NULL,   -- sync class (docs/design/0002)
    key_columns text[] NOT NULL, -- declared key, without organization_id and box_id
    PRIMARY KEY (name)
);

-- The newest version of each organisation; its row lock puts commits in order.
CREATE TABLE reference_heads (
    organization_id uuid NOT NULL,   -- whose
    version         bigint NOT NULL, -- newest version
    transaction     xid8 NOT NULL,   -- the transaction that made it
    PRIMARY KEY (organization_id)
);

-- The newest form of every row the cloud owns, as boxes get it.
CREATE TABLE reference_current (
    organization_id uuid NOT NULL,    -- whose
    table_name      text NOT NULL,    -- which table
    key             jsonb NOT NULL,   -- declared key columns
    version         bigint NOT NULL,  -- version of the last change
    row             jsonb,            -- the row as boxes get it; null when deleted
    deleted         boolean NOT NULL, -- a tombstone
    origin_box      uuid,             -- the box whose accepted proposal made this version
    origin_base     bigint,           -- version that box's uninterrupted run of edits began from
    PRIMARY KEY (organization_id, table_name, key)
);

-- MSPs and their customers. Class down.
CREATE TABLE organizations (
    organization_id uuid NOT NULL,   -- its own id: the row belongs to itself
    name            text NOT NULL,   -- name
    currency        text NOT NULL,   -- base currency
    parent_id       uuid,            -- the MSP
    version         bigint NOT NULL, -- reference version
    PRIMARY KEY (organization_id)
);

-- Branches. Class down.
CREATE TABLE branches (
    organization_id uuid NOT NULL,   -- whose
    id              uuid NOT NULL,   -- id
    name            text NOT NULL,   -- name
    timezone        text NOT NULL,   -- IANA name
    version         bigint NOT NULL, -- reference version
    PRIMARY KEY (organization_id, id)
);

-- Roles. Class down.
CREATE TABLE roles (
    organization_id uuid NOT NULL,   -- whose
    id              uuid NOT NULL,   -- id
    name            text NOT NULL,   -- name
    rights          text NOT NULL,   -- JSON array of rights and patterns, as text because SQLite has no arrays
    version         bigint NOT NULL, -- reference version
    PRIMARY KEY (organization_id, id)
);

-- People. Class down.
CREATE TABLE users (
    organization_id uuid NOT NULL,     -- whose
    id              uuid NOT NULL,     -- id
    email           text NOT NULL,     -- login name
    name            text NOT NULL,     -- display name
    password_hash   text NOT NULL,     -- verifier: argon2id, then SHA-256 (docs/design/0004)
    role_id         uuid NOT NULL,     -- role
    branch_id       uuid,              -- only this branch; null is all
    disabled        smallint NOT NULL, -- 1: cannot log in
    locale          text NOT NULL,     -- preferred language
    version         bigint NOT NULL,   -- reference version
    PRIMARY KEY (organization_id, id)
);

-- What holds for a whole organisation. Class down.
CREATE TABLE organization_settings (
    organization_id uuid NOT NULL,   -- whose
    key             text NOT NULL,   -- lower-case words with dots between them
    value           text NOT NULL,   -- as text, whatever it means
    version         bigint NOT NULL, -- reference version
    PRIMARY KEY (organization_id, key)
);

-- Logins at the console, shared by all replicas.
CREATE TABLE sessions (
    organization_id uuid NOT NULL,    -- whose
    token_hash      text NOT NULL,    -- SHA-256 of the cookie, hex
    user_id         uuid NOT NULL,    -- who
    pending_totp    boolean NOT NULL, -- the password was right, the second step is open
    created_at      bigint NOT NULL,  -- µs
    seen_at         bigint NOT NULL,  -- last request, µs
    expires_at      bigint NOT NULL,  -- absolute end, µs
    address         text NOT NULL,    -- where from
    agent           text NOT NULL,    -- which browser
    PRIMARY KEY (token_hash)
);

-- Tokens for programs.
CREATE TABLE api_tokens (
    organization_id uuid NOT NULL,   -- whose
    id              uuid NOT NULL,   -- id
    user_id         uuid NOT NULL,   -- owner
    name            text NOT NULL,   -- what for
    rights          text[] NOT NULL, -- a subset of the owner's
    token_hash      text NOT NULL,   -- SHA-256, hex
    created_at      bigint NOT NULL, -- µs
    expires_at      bigint,          -- end, µs
    last_used       bigint,          -- µs
    PRIMARY KEY (id)
);

-- Second factors of the console.
CREATE TABLE factors (
    organization_id uuid NOT NULL,   -- whose
    user_id         uuid NOT NULL,   -- who
    secret          bytea NOT NULL,  -- TOTP secret, sealed with the master key
    confirmed_at    bigint,          -- counts from then on, µs
    last_step       bigint NOT NULL, -- last accepted RFC 6238 step: a code counts once
    PRIMARY KEY (organization_id, user_id)
);

-- One-time codes for a lost phone.
CREATE TABLE recovery_codes (
    organization_id uuid NOT NULL, -- whose
    user_id         uuid NOT NULL, -- who
    code_hash       text NOT NULL, -- SHA-256, hex
    used_at         bigint,        -- µs
    PRIMARY KEY (organization_id, user_id, code_hash)
);

-- Failed logins, before anybody knows whose they are: no organisation, no names, no policy.
CREATE TABLE login_failures (
    id      bigint NOT NULL, -- taken back when the login succeeds
    account bytea NOT NULL,  -- SHA-256 of the login name tried
    address text NOT NULL,   -- where from
    at      bigint NOT NULL, -- µs
    PRIMARY KEY (id)
);

-- The cloud's own certificate authority, and whatever else replicas must share. Values are sealed with the master
-- key.
CREATE TABLE cloud_secrets (
    name   text NOT NULL,  -- `authority`
    public text NOT NULL,  -- the public half, PEM
    sealed bytea NOT NULL, -- the private half, AES-256-GCM under the master key, with the name as associated data
    PRIMARY KEY (name)
);

-- The key that opens an organisation's secret columns.
CREATE TABLE organization_keys (
    organization_id uuid NOT NULL,  -- whose
    sealed          bytea NOT NULL, -- the organisation's data key, sealed; handed to its boxes at enrolment
    PRIMARY KEY (organization_id)
);

-- Boxes.
CREATE TABLE boxes (
    organization_id     uuid NOT NULL,   -- whose
    id                  uuid NOT NULL,   -- common name of its certificate
    branch_id           uuid NOT NULL,   -- where it stands
    name                text NOT NULL,   -- name
    tags                text[] NOT NULL, -- tags
    version             text NOT NULL,   -- version it reported
    enrolled_at         bigint,          -- µs; null: claimed, not yet seen
    certificate_expires bigint,          -- µs
    certificate_serial  text,            -- hex serial of the newest certificate
    revoked_at          bigint,          -- µs
    PRIMARY KEY (id)
);

-- Codes that make a box, once.
CREATE TABLE claims (
    organization_id uuid NOT NULL,   -- whose
    id              uuid NOT NULL,   -- id
    code_hash       text NOT NULL,   -- SHA-256 of the code, hex
    box_id          uuid NOT NULL,   -- the box it makes
    created_by      text NOT NULL,   -- who
    created_at      bigint NOT NULL, -- µs
    expires_at      bigint NOT NULL, -- µs
    used_at         bigint,          -- µs; a claim counts once
    key_hash        text,            -- SHA-256 of the public key that used it, hex: the same key is answered again
    PRIMARY KEY (id)
);

-- What changes with every contact, apart from the row people edit.
CREATE TABLE box_states (
    organization_id uuid NOT NULL,    -- whose
    box_id          uuid NOT NULL,    -- box
    last_seen       bigint,           -- last request on the wire, µs
    presence        text,             -- `online` or `offline`, from the broker
    presence_at     bigint,           -- µs
    lag_micros      bigint,           -- commit on the box to arrival here, last measured
    waiting         bigint NOT NULL,  -- transactions the box says wait there
    alerts          integer NOT NULL, -- open alerts it reports
    reported_level  text,             -- `ok`, `warn`, `bad`: what the box says of itself
    reported_cause  text,             -- and why
    status_level    text NOT NULL,    -- the one status
    status_cause    text NOT NULL,    -- its cause
    status_since    bigint NOT NULL,  -- since when, µs
    PRIMARY KEY (box_id)
);

-- What is wanted of a box, and what it says.
CREATE TABLE box_documents (
    organization_id  uuid NOT NULL,   -- whose
    box_id           uuid NOT NULL,   -- box
    desired_version  bigint NOT NULL, -- counts up
    desired          jsonb NOT NULL,  -- wanted
    reported_version bigint NOT NULL, -- version of desired the box has applied
    reported         jsonb NOT NULL,  -- as it is
    reported_at      bigint,          -- µs
    PRIMARY KEY (box_id)
);

-- Commands to boxes.
CREATE TABLE commands (
    organization_id uuid NOT NULL,   -- whose
    id              uuid NOT NULL,   -- the box de-duplicates by it
    box_id          uuid NOT NULL,   -- box
    kind            text NOT NULL,   -- `restart`, `sync_now`, …
    arguments       jsonb NOT NULL,  -- arguments
    state           text NOT NULL,   -- where it is
    result          text,            -- what the box said
    created_at      bigint NOT NULL, -- µs
    expires_at      bigint NOT NULL, -- not begun after this, µs
    updated_at      bigint NOT NULL, -- µs
    created_by      text NOT NULL,   -- who
    PRIMARY KEY (id)
);

-- Where the cloud stands with each box. Its row lock orders the box's requests.
CREATE TABLE wire_cursors (
    organization_id   uuid NOT NULL,   -- whose
    box_id            uuid NOT NULL,   -- box
    epoch             bigint NOT NULL, -- newest epoch; 0 before the first contact
    sequence          bigint NOT NULL, -- last transaction the inbox has
    hash              text NOT NULL,   -- its hash, hex
    telemetry_epoch   bigint NOT NULL, -- epoch of the segments
    telemetry_segment bigint NOT NULL, -- last segment
    pruned_epoch      bigint NOT NULL, -- the inbox no longer has anything up to here
    pruned_sequence   bigint NOT NULL, -- sequence in that epoch
    PRIMARY KEY (box_id)
);

-- Each first contact and each restore.
CREATE TABLE box_epochs (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    epoch           bigint NOT NULL, -- epoch
    token           uuid NOT NULL,   -- tells two restores apart that chose the same epoch
    started_at      bigint NOT NULL, -- µs
    restored_from   bigint,          -- the epoch it was restored out of
    restored_to     bigint,          -- the sequence of that epoch it was restored to
    given_back      bigint NOT NULL, -- transactions beyond that point that were handed back
    PRIMARY KEY (box_id, epoch)
);

-- Whole transactions as they came. Never changed; removed after the retention time when they are projected.
CREATE TABLE inbox (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    epoch           bigint NOT NULL, -- epoch
    sequence        bigint NOT NULL, -- gapless
    hash            text NOT NULL,   -- its hash, hex
    origin          text,            -- the hash it was first sealed with, when it was sealed again since
    action          text NOT NULL,   -- what it did
    made_at         bigint NOT NULL, -- when, by the box's clock, µs
    header          text NOT NULL,   -- all of the transaction but its changes, as JSON
    changes         text NOT NULL,   -- its changes, byte for byte
    received_at     bigint NOT NULL, -- µs
    PRIMARY KEY (box_id, epoch, sequence)
);

-- What a restored box has lost: the transactions it is given back under its newest epoch.
CREATE TABLE box_lost (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    epoch           bigint NOT NULL, -- the epoch that began with it
    lost_epoch      bigint NOT NULL, -- where the transaction is in the inbox
    lost_sequence   bigint NOT NULL, -- sequence in that epoch
    PRIMARY KEY (box_id, epoch, lost_epoch, lost_sequence)
);

-- Tables of boxes that are newer than this cloud: their changes wait in the inbox until the table is declared.
CREATE TABLE unknown_tables (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    table_name      text NOT NULL,   -- table
    epoch           bigint NOT NULL, -- the first transaction that names it
    sequence        bigint NOT NULL, -- its sequence
    PRIMARY KEY (box_id, table_name)
);

-- How far each box's inbox is projected. Its row lock makes one replica at a time project a box.
CREATE TABLE projections (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    epoch           bigint NOT NULL, -- epoch
    sequence        bigint NOT NULL, -- last transaction that is projected or in quarantine
    PRIMARY KEY (box_id)
);

-- Transactions that could not be projected. The queue goes on without them.
CREATE TABLE quarantine (
    organization_id uuid NOT NULL,   -- whose
    id              bigint NOT NULL, -- id
    box_id          uuid NOT NULL,   -- box
    epoch           bigint NOT NULL, -- epoch
    sequence        bigint NOT NULL, -- sequence
    action          text NOT NULL,   -- the transaction's action
    error           text NOT NULL,   -- the database's last error
    state           text NOT NULL,   -- where it is
    at              bigint NOT NULL, -- µs
    decided_at      bigint,          -- µs
    decided_by      text,            -- who
    reason          text,            -- why it was skipped
    PRIMARY KEY (id)
);

-- Edits of branches to rows the cloud owns that were not simply applied.
CREATE TABLE proposals (
    organization_id uuid NOT NULL,    -- whose
    id              bigint NOT NULL,  -- id
    box_id          uuid NOT NULL,    -- box
    epoch           bigint NOT NULL,  -- epoch of the transaction
    sequence        bigint NOT NULL,  -- its sequence
    ordinal         integer NOT NULL, -- place of the change in it
    table_name      text NOT NULL,    -- table
    key             jsonb NOT NULL,   -- key
    op              text NOT NULL,    -- `i`, `u` or `d`
    proposed        jsonb,            -- new values
    base_version    bigint NOT NULL,  -- version it was based on
    cause           text NOT NULL,    -- why it waits
    state           text NOT NULL,    -- where it is
    at              bigint NOT NULL,  -- µs
    decided_at      bigint,           -- µs
    decided_by      text,             -- who
    answered        bigint,           -- reference version that carries the answer down
    PRIMARY KEY (id)
);

-- Charts of accounts. Class down.
CREATE TABLE accounts (
    organization_id uuid NOT NULL,   -- whose
    id              uuid NOT NULL,   -- id
    name            text NOT NULL,   -- full name with colons
    code            text,            -- number of the chart
    kind            text NOT NULL,   -- asset, liability, equity, income, expense
    currency        text,            -- only this currency may be posted
    valid_from      text,            -- first day, ISO
    valid_to        text,            -- last day, ISO
    version         bigint NOT NULL, -- reference version
    PRIMARY KEY (organization_id, id)
);

-- Posted journal entries. Class up.
CREATE TABLE entries (
    organization_id uuid NOT NULL,    -- whose
    box_id          uuid NOT NULL,    -- box that posted it
    received_at     bigint NOT NULL,  -- projected here, µs
    id              uuid NOT NULL,    -- id
    branch_id       uuid,             -- branch
    series          text NOT NULL,    -- series code
    year            integer NOT NULL, -- year of the series
    sequence        bigint NOT NULL,  -- gapless within branch, series and year
    number          text NOT NULL,    -- as people read it
    date            date NOT NULL,    -- accounting date
    description     text NOT NULL,    -- what it is
    posted_at       bigint NOT NULL,  -- posted on the box, µs
    reverses        uuid,             -- the entry this one reverses
    external_id     text,             -- transaction id of an imported entry
    PRIMARY KEY (box_id, id)
);

-- Their lines. Class up.
CREATE TABLE lines (
    organization_id uuid NOT NULL,     -- whose
    box_id          uuid NOT NULL,     -- box
    received_at     bigint NOT NULL,   -- projected here, µs
    entry_id        uuid NOT NULL,     -- entry
    position        integer NOT NULL,  -- from 0
    account_id      uuid NOT NULL,     -- account
    amount          numeric NOT NULL,  -- debit positive
    currency        text NOT NULL,     -- currency
    base            numeric,           -- in base currency, where known
    memo            text,              -- note
    system          smallint NOT NULL, -- 1: a trading leg made by the system
    PRIMARY KEY (box_id, entry_id, position)
);

-- Rates. Class down.
CREATE TABLE fx_rates (
    organization_id uuid NOT NULL,    -- whose
    currency        text NOT NULL,    -- currency
    date            text NOT NULL,    -- from this day on, ISO
    rate            numeric NOT NULL, -- what one unit is worth in base currency
    version         bigint NOT NULL,  -- reference version
    PRIMARY KEY (organization_id, currency, date)
);

-- Tax rates, one after the other under a code. Class down.
CREATE TABLE tax_rates (
    organization_id uuid NOT NULL,    -- whose
    id              uuid NOT NULL,    -- id
    code            text NOT NULL,    -- code of the tax
    name            text NOT NULL,    -- name
    rate            numeric NOT NULL, -- percent of the net amount
    valid_from      text NOT NULL,    -- first day, ISO
    valid_to        text,             -- last day, ISO
    version         bigint NOT NULL,  -- reference version
    PRIMARY KEY (organization_id, id)
);

-- What is bought and sold. Class down.
CREATE TABLE items (
    organization_id uuid NOT NULL,    -- whose
    id              uuid NOT NULL,    -- id
    sku             text NOT NULL,    -- stock keeping unit
    name            text NOT NULL,    -- name
    unit            text NOT NULL,    -- what one of it is
    price           numeric NOT NULL, -- net price of one unit
    currency        text NOT NULL,    -- currency of the price
    tax_code        text,             -- code of its tax
    valid_to        text,             -- last day it is bought or sold, ISO
    version         bigint NOT NULL,  -- reference version
    PRIMARY KEY (organization_id, id)
);

-- What boxes check. Class up.
CREATE TABLE checks (
    organization_id uuid NOT NULL,     -- whose
    box_id          uuid NOT NULL,     -- box
    received_at     bigint NOT NULL,   -- projected here, µs
    id              uuid NOT NULL,     -- id
    name            text NOT NULL,     -- name
    kind            text NOT NULL,     -- what and how, JSON with secrets masked
    interval        integer NOT NULL,  -- seconds between runs
    timeout         integer NOT NULL,  -- seconds
    paused          smallint NOT NULL, -- 1: not run
    PRIMARY KEY (box_id, id)
);

-- Alert rules. Class up.
CREATE TABLE rules (
    organization_id uuid NOT NULL,             -- whose
    box_id          uuid NOT NULL,             -- box
    received_at     bigint NOT NULL,           -- projected here, µs
    id              uuid NOT NULL,             -- id
    name            text NOT NULL,             -- name
    metric          text NOT NULL,             -- metric
    labels          text NOT NULL,             -- labels that must match, JSON
    condition       text NOT NULL,             -- above, below, absent
    raise           double precision NOT NULL, -- raises beyond
    clear           double precision NOT NULL, -- clears on this side
    hold_seconds    integer NOT NULL,          -- must hold so long
    severity        text NOT NULL,             -- warn or bad
    notify          text NOT NULL,             -- where it goes, JSON
    escalate_after  integer,                   -- seconds
    escalate_to     text NOT NULL,             -- second line, JSON
    paused          smallint NOT NULL,         -- 1: not evaluated
    PRIMARY KEY (box_id, id)
);

-- Silences. Class up.
CREATE TABLE silences (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL,   -- id
    rule_id         uuid,            -- rule, or all
    labels          text NOT NULL,   -- labels that must match, JSON
    from_at         bigint NOT NULL, -- µs
    until_at        bigint NOT NULL, -- µs
    reason          text NOT NULL,   -- why
    PRIMARY KEY (box_id, id)
);

-- What was raised. Class up.
CREATE TABLE alerts (
    organization_id uuid NOT NULL,    -- whose
    box_id          uuid NOT NULL,    -- box
    received_at     bigint NOT NULL,  -- projected here, µs
    id              uuid NOT NULL,    -- id
    rule_id         uuid NOT NULL,    -- rule
    title           text NOT NULL,    -- headline
    state           text NOT NULL,    -- firing, acknowledged, silenced, flapping, resolved
    severity        text NOT NULL,    -- warn or bad
    series          text NOT NULL,    -- series id, decimal
    labels          text NOT NULL,    -- labels of the series, JSON
    value           double precision, -- value when it was raised, or at its end
    raised_at       bigint NOT NULL,  -- µs
    resolved_at     bigint,           -- µs
    acknowledged_by text,             -- who
    PRIMARY KEY (box_id, id)
);

-- What was told to whom. Class up.
CREATE TABLE notifications (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL,   -- id
    alert_id        uuid NOT NULL,   -- alert
    stage           text NOT NULL,   -- raised, escalated, resolved
    target          text NOT NULL,   -- mail:… or webhook:…
    state           text NOT NULL,   -- pending, sent, failed
    created_at      bigint NOT NULL, -- µs
    next_at         bigint,          -- µs of the next attempt
    sent_at         bigint,          -- µs
    attempts        text NOT NULL,   -- each with its time and error, JSON
    PRIMARY KEY (box_id, id)
);

-- The end of each audit chain.
CREATE TABLE audit_heads (
    organization_id uuid NOT NULL,   -- whose chain
    sequence        bigint NOT NULL, -- last entry
    hash            text NOT NULL,   -- its hash, hex
    PRIMARY KEY (organization_id)
);

-- The cloud's audit, one chain an organisation.
CREATE TABLE audit (
    organization_id uuid NOT NULL,   -- whose chain: the actor's organisation
    sequence        bigint NOT NULL, -- gapless
    at              bigint NOT NULL, -- µs
    actor           text NOT NULL,   -- name as it was then
    actor_id        uuid,            -- user or token
    action          text NOT NULL,   -- `fleet.box.revoke`
    request_id      uuid NOT NULL,   -- request
    changes         text NOT NULL,   -- JSON, byte for byte as hashed
    previous_hash   text NOT NULL,   -- hash of the entry before
    hash            text NOT NULL,   -- SHA-256, hex
    PRIMARY KEY (organization_id, sequence)
);

-- Rows of a transaction on their way into its audit entry. Empty whenever nothing is in flight.
CREATE TABLE audit_changes (
    organization_id uuid NOT NULL,   -- whose row
    transaction     xid8 NOT NULL,   -- transaction
    ordinal         bigint NOT NULL, -- order
    table_name      text NOT NULL,   -- table
    op              text NOT NULL,   -- `i`, `u` or `d`
    key             jsonb NOT NULL,  -- primary key
    old             jsonb NOT NULL,  -- old values
    new             jsonb NOT NULL,  -- new values
    PRIMARY KEY (transaction, ordinal)
);

-- What is measured.
CREATE TABLE series (
    organization_id uuid NOT NULL,   -- whose
    key             bigint NOT NULL, -- what points carry: 8 bytes instead of 24
    box_id          uuid NOT NULL,   -- box
    series          bigint NOT NULL, -- XXH3-64 of name and labels, the box's id of it
    metric          text NOT NULL,   -- metric name
    labels          jsonb NOT NULL,  -- labels
    unit            text NOT NULL,   -- unit
    PRIMARY KEY (key)
);

-- Points that boxes had to drop.
CREATE TABLE gaps (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    from_at         bigint NOT NULL, -- first lost moment, µs
    to_at           bigint NOT NULL, -- last lost moment, µs
    points          bigint NOT NULL, -- points lost
    PRIMARY KEY (box_id, from_at, to_at)
);

-- Points, 30 days. Read through the view points.
CREATE TABLE points_raw (
    key   bigint NOT NULL,                   -- series.key
    at    timestamp with time zone NOT NULL, -- when
    value double precision NOT NULL          -- value
);

-- Minutes, 90 days. Read through the view points_1m.
CREATE TABLE points_1m_rows (
    key    bigint NOT NULL,                   -- series.key
    bucket timestamp with time zone NOT NULL, -- begin of the minute
    min    double precision NOT NULL,         -- least
    max    double precision NOT NULL,         -- greatest
    sum    double precision NOT NULL,         -- sum
    count  bigint NOT NULL,                   -- points
    last   double precision NOT NULL,         -- newest value
    PRIMARY KEY (key, bucket)
);

-- Hours, two years. Read through the view points_1h.
CREATE TABLE points_1h_rows (
    key    bigint NOT NULL,                   -- series.key
    bucket timestamp with time zone NOT NULL, -- begin of the hour
    min    double precision NOT NULL,         -- least
    max    double precision NOT NULL,         -- greatest
    sum    double precision NOT NULL,         -- sum
    count  bigint NOT NULL,                   -- points
    last   double precision NOT NULL,         -- newest value
    PRIMARY KEY (key, bucket)
);

-- Ranges with points that the roll-ups have not seen. Written with the points, in their transaction.
CREATE TABLE points_dirty (
    id      bigint NOT NULL,                   -- order
    keys    bigint[] NOT NULL,                 -- series
    from_at timestamp with time zone NOT NULL, -- first point
    to_at   timestamp with time zone NOT NULL, -- last point
    noted   timestamp with time zone NOT NULL, -- when it came
    PRIMARY KEY (id)
);

-- Whole hours with minutes that the hours have not seen.
CREATE TABLE points_1m_dirty (
    id      bigint NOT NULL,                   -- order
    keys    bigint[] NOT NULL,                 -- series
    from_at timestamp with time zone NOT NULL, -- begin of the first hour
    to_at   timestamp with time zone NOT NULL, -- end of the last
    noted   timestamp with time zone NOT NULL, -- when its minutes were added up
    PRIMARY KEY (id)
);

-- Alerts of one rule about one host and user. Class up.
CREATE TABLE radar_cases (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL,   -- id
    title           text NOT NULL,   -- headline
    rule            text NOT NULL,   -- the rule's id
    severity        text NOT NULL,   -- how bad
    state           text NOT NULL,   -- where it stands
    verdict         text NOT NULL,   -- how it ended
    owner           text NOT NULL,   -- whose it is
    host            text NOT NULL,   -- host, or empty
    user            text NOT NULL,   -- user, or empty
    techniques      text NOT NULL,   -- ATT&CK techniques, JSON
    opened_at       bigint NOT NULL, -- first event, µs
    last_at         bigint NOT NULL, -- last event, µs
    closed_at       bigint,          -- µs
    PRIMARY KEY (box_id, id)
);

-- What rules found in the logs. Class up.
CREATE TABLE radar_alerts (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL,   -- id; follows from the rule and the first event's position, so that none comes twice
    case_id         uuid NOT NULL,   -- case
    rule            text NOT NULL,   -- the rule's id
    title           text NOT NULL,   -- its title
    author          text NOT NULL,   -- who wrote it
    severity        text NOT NULL,   -- how bad
    techniques      text NOT NULL,   -- ATT&CK techniques, JSON
    host            text NOT NULL,   -- host, or empty
    user            text NOT NULL,   -- user, or empty
    count           bigint NOT NULL, -- events that matched
    first_at        bigint NOT NULL, -- first event, µs
    last_at         bigint NOT NULL, -- last event, µs
    position        bigint NOT NULL, -- place of the last event in the queue: what is read again is counted once
    PRIMARY KEY (box_id, id)
);

-- What people said about cases. Class up.
CREATE TABLE radar_case_comments (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL,   -- id
    case_id         uuid NOT NULL,   -- case
    at              bigint NOT NULL, -- µs
    author          text NOT NULL,   -- who
    text            text NOT NULL,   -- what
    PRIMARY KEY (box_id, id)
);

-- Detection rules of boxes as they were last loaded. Class up.
CREATE TABLE radar_rules (
    organization_id uuid NOT NULL,     -- whose
    box_id          uuid NOT NULL,     -- box
    received_at     bigint NOT NULL,   -- projected here, µs
    id              text NOT NULL,     -- the rule's own id, or its place
    title           text NOT NULL,     -- title
    kind            text NOT NULL,     -- what it is
    severity        text NOT NULL,     -- its level, or empty
    author          text NOT NULL,     -- who wrote it
    tags            text NOT NULL,     -- its tags, JSON
    pack            text NOT NULL,     -- the pack it came with, or empty
    place           text NOT NULL,     -- file and line within the pack
    enabled         smallint NOT NULL, -- 0: its matches raise nothing
    error           text NOT NULL,     -- what is wrong with it, or empty
    PRIMARY KEY (box_id, id)
);

-- Packs of rules that are installed. Class up.
CREATE TABLE radar_packs (
    organization_id uuid NOT NULL,     -- whose
    box_id          uuid NOT NULL,     -- box
    received_at     bigint NOT NULL,   -- projected here, µs
    name            text NOT NULL,     -- name, that of its folder
    version         text NOT NULL,     -- which version of it
    enabled         smallint NOT NULL, -- 0: its rules do not run
    installed_at    bigint NOT NULL,   -- µs
    PRIMARY KEY (box_id, name)
);

-- When matches raise no alert. Class up.
CREATE TABLE radar_exceptions (
    organization_id uuid NOT NULL,   -- whose
    box_id          uuid NOT NULL,   -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL,   -- id
    rule            text NOT NULL,   -- the rule's id, or empty: all
    fields          text NOT NULL,   -- pairs that must all fit, JSON
    reason          text NOT NULL,   -- why
    expires_at      bigint,          -- µs; null: it does not end
    author          text NOT NULL,   -- who made it
    created_at      bigint NOT NULL, -- µs
    PRIMARY KEY (box_id, id)
);

-- Who is in each office. Class up.
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

-- What looked like trouble there. Class up.
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

-- Certificates that servers there showed. Class up.
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

-- How reports of the boxes look. Class down.
CREATE TABLE report_templates (
    organization_id uuid NOT NULL, -- whose
    id              uuid NOT NULL, -- id
    name            text NOT NULL, -- name
    title           text NOT NULL, -- headline
    sender          text NOT NULL, -- who sends it
    accent          text NOT NULL, -- colour, #rrggbb
    closing         text NOT NULL, -- last words
    logo            text, -- data URL
    version         bigint NOT NULL, -- reference version
    PRIMARY KEY (organization_id, id)
);

-- When boxes make reports by themselves. Class up.
CREATE TABLE report_schedules (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    name            text NOT NULL, -- name
    template_id     uuid NOT NULL, -- template
    weekday         smallint NOT NULL, -- 1 is Monday
    minute          smallint NOT NULL, -- of the day, in the branch's zone
    recipients      text NOT NULL, -- mail addresses, JSON
    paused          smallint NOT NULL, -- 1: makes nothing
    done_until      bigint NOT NULL, -- µs: what was due until then is made
    PRIMARY KEY (box_id, id)
);

-- Reports that boxes made; the PDFs stay there. Class up.
CREATE TABLE reports (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    schedule_id     uuid, -- the schedule that made it
    title           text NOT NULL, -- headline
    from_at         bigint NOT NULL, -- µs
    to_at           bigint NOT NULL, -- µs
    made_at         bigint NOT NULL, -- µs
    made_by         text NOT NULL, -- who
    pages           integer NOT NULL, -- pages
    bytes           bigint NOT NULL, -- bytes of the PDF
    sha256          text NOT NULL, -- of the PDF, hex
    missing         text NOT NULL, -- engines that did not answer, JSON
    recipients      text NOT NULL, -- mail addresses, JSON
    PRIMARY KEY (box_id, id)
);

-- What of them is sent to whom. Class up.
CREATE TABLE report_mails (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    report_id       uuid NOT NULL, -- report
    recipient       text NOT NULL, -- mail address
    state           text NOT NULL, -- waiting, sent, failed
    attempts        integer NOT NULL, -- so far
    next_at         bigint NOT NULL, -- µs
    error           text, -- of the last attempt
    PRIMARY KEY (box_id, id)
);

-- Packs of rules that an MSP keeps for its boxes, each version once and never changed.
CREATE TABLE rule_packs (
    organization_id uuid NOT NULL, -- the MSP
    name            text NOT NULL, -- name, that of its folder on boxes
    version         text NOT NULL, -- which version of it
    sha256          text NOT NULL, -- of its archive, hex
    bytes           bigint NOT NULL, -- of its archive
    files           integer NOT NULL, -- rule files in it
    licence         text NOT NULL, -- under what terms its rules stand
    attribution     text NOT NULL, -- who wrote them, and where they are from
    uploaded_at     bigint NOT NULL, -- µs
    uploaded_by     text NOT NULL, -- who
    PRIMARY KEY (organization_id, name, version)
);
