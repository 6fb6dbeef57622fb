-- Organisations, branches, roles and users are owned here and flow down to the boxes. Sessions, tokens and factors of the
-- console stay here: replicas share them, so a login on one is a login on all.

CREATE TABLE organizations (
    organization_id uuid PRIMARY KEY REFERENCES tenants (organization_id), -- its own id: the row belongs to itself
    name            text NOT NULL, -- name
    currency        text NOT NULL, -- base currency
    parent_id       uuid, -- the MSP
    version         bigint NOT NULL DEFAULT 0 -- reference version
);
SELECT sent_declare('organizations', 'down', '{organization_id}');

CREATE TABLE branches (
    organization_id uuid NOT NULL, -- whose
    id              uuid NOT NULL, -- id
    name            text NOT NULL, -- name
    timezone        text NOT NULL DEFAULT 'UTC', -- IANA name
    version         bigint NOT NULL DEFAULT 0, -- reference version
    PRIMARY KEY (organization_id, id)
);
SELECT sent_declare('branches', 'down', '{id}');

CREATE TABLE roles (
    organization_id uuid NOT NULL, -- whose
    id              uuid NOT NULL, -- id
    name            text NOT NULL, -- name
    rights          text NOT NULL, -- JSON array of rights and patterns, as text because SQLite has no arrays
    version         bigint NOT NULL DEFAULT 0, -- reference version
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name)
);
SELECT sent_declare('roles', 'down', '{id}');

CREATE TABLE users (
    organization_id uuid NOT NULL, -- whose
    id              uuid NOT NULL, -- id
    email           text NOT NULL, -- login name
    name            text NOT NULL, -- display name
    password_hash   text NOT NULL, -- verifier: argon2id, then SHA-256 (docs/design/0004)
    role_id         uuid NOT NULL, -- role
    branch_id       uuid, -- only this branch; null is all
    disabled        smallint NOT NULL DEFAULT 0, -- 1: cannot log in
    locale          text NOT NULL DEFAULT 'en', -- preferred language
    version         bigint NOT NULL DEFAULT 0, -- reference version
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX users_by_email ON users (organization_id, lower(email));
CREATE INDEX users_by_login ON users (lower(email));
SELECT sent_declare('users', 'down', '{id}');
CREATE POLICY presented ON users FOR SELECT USING (lower(email) = (SELECT sent_presented()));

-- What holds for the whole organisation, on every box of it.
CREATE TABLE organization_settings (
    organization_id uuid NOT NULL, -- whose
    key             text NOT NULL, -- lower-case words with dots between them
    value           text NOT NULL, -- as text, whatever it means
    version         bigint NOT NULL DEFAULT 0, -- reference version
    PRIMARY KEY (organization_id, key)
);
SELECT sent_declare('organization_settings', 'down', '{key}');

CREATE TABLE sessions (
    organization_id uuid NOT NULL, -- whose
    token_hash      text PRIMARY KEY, -- SHA-256 of the cookie, hex
    user_id         uuid NOT NULL, -- who
    pending_totp    boolean NOT NULL, -- the password was right, the second step is open
    created_at      bigint NOT NULL, -- µs
    seen_at         bigint NOT NULL, -- last request, µs
    expires_at      bigint NOT NULL, -- absolute end, µs
    address         text NOT NULL, -- where from
    agent           text NOT NULL DEFAULT '' -- which browser
);
CREATE INDEX sessions_by_user ON sessions (organization_id, user_id);
SELECT sent_protect('sessions');
CREATE POLICY presented ON sessions FOR SELECT USING (token_hash = (SELECT sent_presented()));

CREATE TABLE api_tokens (
    organization_id uuid NOT NULL, -- whose
    id              uuid PRIMARY KEY, -- id
    user_id         uuid NOT NULL, -- owner
    name            text NOT NULL, -- what for
    rights          text[] NOT NULL, -- a subset of the owner's
    token_hash      text NOT NULL UNIQUE, -- SHA-256, hex
    created_at      bigint NOT NULL, -- µs
    expires_at      bigint, -- end, µs
    last_used       bigint -- µs
);
SELECT sent_protect('api_tokens');
CREATE POLICY presented ON api_tokens FOR SELECT USING (token_hash = (SELECT sent_presented()));

CREATE TABLE factors (
    organization_id uuid NOT NULL, -- whose
    user_id         uuid NOT NULL, -- who
    secret          bytea NOT NULL, -- TOTP secret, sealed with the master key
    confirmed_at    bigint, -- counts from then on, µs
    last_step       bigint NOT NULL DEFAULT 0, -- last accepted RFC 6238 step: a code counts once
    PRIMARY KEY (organization_id, user_id)
);
SELECT sent_protect('factors');

CREATE TABLE recovery_codes (
    organization_id uuid NOT NULL, -- whose
    user_id         uuid NOT NULL, -- who
    code_hash       text NOT NULL, -- SHA-256, hex
    used_at         bigint, -- µs
    PRIMARY KEY (organization_id, user_id, code_hash)
);
SELECT sent_protect('recovery_codes');

-- Failed logins, and those under way: each counts as failed until it has succeeded, so that many at once are not more
-- guesses than many in turn. Before anybody knows whose they are: no organisation, no names, no policy.
CREATE TABLE login_failures (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- taken back when the login succeeds
    account bytea NOT NULL, -- SHA-256 of the login name tried
    address text NOT NULL, -- where from
    at      bigint NOT NULL -- µs
);
CREATE INDEX login_failures_by_account ON login_failures (account, at);
CREATE INDEX login_failures_by_address ON login_failures (address, at);
