-- What each box found in its logs. The logs and the evidence stay on the box. JSON stays text here as it is there.

CREATE TABLE radar_cases (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    title           text NOT NULL, -- headline
    rule            text NOT NULL, -- the rule's id
    severity        text NOT NULL, -- how bad
    state           text NOT NULL, -- where it stands
    verdict         text NOT NULL DEFAULT '', -- how it ended
    owner           text NOT NULL DEFAULT '', -- whose it is
    host            text NOT NULL, -- host, or empty
    "user"          text NOT NULL, -- user, or empty
    techniques      text NOT NULL DEFAULT '[]', -- ATT&CK techniques, JSON
    opened_at       bigint NOT NULL, -- first event, µs
    last_at         bigint NOT NULL, -- last event, µs
    closed_at       bigint, -- µs
    PRIMARY KEY (box_id, id)
);
CREATE INDEX radar_cases_newest ON radar_cases (organization_id, last_at DESC);
SELECT sent_declare('radar_cases', 'up', '{id}');

CREATE TABLE radar_alerts (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id; follows from the rule and the first event's position, so that none comes twice
    case_id         uuid NOT NULL, -- case
    rule            text NOT NULL, -- the rule's id
    title           text NOT NULL, -- its title
    author          text NOT NULL, -- who wrote it
    severity        text NOT NULL, -- how bad
    techniques      text NOT NULL DEFAULT '[]', -- ATT&CK techniques, JSON
    host            text NOT NULL, -- host, or empty
    "user"          text NOT NULL, -- user, or empty
    count           bigint NOT NULL, -- events that matched
    first_at        bigint NOT NULL, -- first event, µs
    last_at         bigint NOT NULL, -- last event, µs
    position        bigint NOT NULL, -- place of the last event in the queue: what is read again is counted once
    PRIMARY KEY (box_id, id)
);
CREATE INDEX radar_alerts_newest ON radar_alerts (organization_id, last_at DESC);
SELECT sent_declare('radar_alerts', 'up', '{id}');

CREATE TABLE radar_case_comments (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    case_id         uuid NOT NULL, -- case
    at              bigint NOT NULL, -- µs
    author          text NOT NULL, -- who
    text            text NOT NULL, -- what
    PRIMARY KEY (box_id, id)
);
CREATE INDEX radar_case_comments_of_case ON radar_case_comments (box_id, case_id);
SELECT sent_declare('radar_case_comments', 'up', '{id}');

CREATE TABLE radar_rules (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              text NOT NULL, -- the rule's own id, or its place
    title           text NOT NULL, -- title
    kind            text NOT NULL, -- what it is
    severity        text NOT NULL, -- its level, or empty
    author          text NOT NULL, -- who wrote it
    tags            text NOT NULL DEFAULT '[]', -- its tags, JSON
    pack            text NOT NULL, -- the pack it came with, or empty
    place           text NOT NULL, -- file and line within the pack
    enabled         smallint NOT NULL DEFAULT 1, -- 0: its matches raise nothing
    error           text NOT NULL, -- what is wrong with it, or empty
    PRIMARY KEY (box_id, id)
);
SELECT sent_declare('radar_rules', 'up', '{id}');

CREATE TABLE radar_packs (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    name            text NOT NULL, -- name, that of its folder
    version         text NOT NULL, -- which version of it
    enabled         smallint NOT NULL DEFAULT 1, -- 0: its rules do not run
    installed_at    bigint NOT NULL, -- µs
    PRIMARY KEY (box_id, name)
);
SELECT sent_declare('radar_packs', 'up', '{name}');

CREATE TABLE radar_exceptions (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    rule            text NOT NULL, -- the rule's id, or empty: all
    fields          text NOT NULL, -- pairs that must all fit, JSON
    reason          text NOT NULL, -- why
    expires_at      bigint, -- µs; null: it does not end
    author          text NOT NULL, -- who made it
    created_at      bigint NOT NULL, -- µs
    PRIMARY KEY (box_id, id)
);
SELECT sent_declare('radar_exceptions', 'up', '{id}');
