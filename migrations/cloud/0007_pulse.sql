-- What each box checks, and what it raised. JSON stays text here as it is on the box.

CREATE TABLE checks (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    name            text NOT NULL, -- name
    kind            text NOT NULL, -- what and how, JSON with secrets masked
    "interval"      integer NOT NULL, -- seconds between runs
    timeout         integer NOT NULL, -- seconds
    paused          smallint NOT NULL DEFAULT 0, -- 1: not run
    PRIMARY KEY (box_id, id)
);
SELECT sent_declare('checks', 'up', '{id}');

CREATE TABLE rules (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    name            text NOT NULL, -- name
    metric          text NOT NULL, -- metric
    labels          text NOT NULL DEFAULT '{}', -- labels that must match, JSON
    condition       text NOT NULL, -- above, below, absent
    raise           double precision NOT NULL, -- raises beyond
    clear           double precision NOT NULL, -- clears on this side
    hold_seconds    integer NOT NULL, -- must hold so long
    severity        text NOT NULL, -- warn or bad
    notify          text NOT NULL DEFAULT '[]', -- where it goes, JSON
    escalate_after  integer, -- seconds
    escalate_to     text NOT NULL DEFAULT '[]', -- second line, JSON
    paused          smallint NOT NULL DEFAULT 0, -- 1: not evaluated
    PRIMARY KEY (box_id, id)
);
SELECT sent_declare('rules', 'up', '{id}');

CREATE TABLE silences (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    rule_id         uuid, -- rule, or all
    labels          text NOT NULL DEFAULT '{}', -- labels that must match, JSON
    from_at         bigint NOT NULL, -- µs
    until_at        bigint NOT NULL, -- µs
    reason          text NOT NULL, -- why
    PRIMARY KEY (box_id, id)
);
SELECT sent_declare('silences', 'up', '{id}');

CREATE TABLE alerts (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    rule_id         uuid NOT NULL, -- rule
    title           text NOT NULL, -- headline
    state           text NOT NULL, -- firing, acknowledged, silenced, flapping, resolved
    severity        text NOT NULL, -- warn or bad
    series          text NOT NULL, -- series id, decimal
    labels          text NOT NULL DEFAULT '{}', -- labels of the series, JSON
    value           double precision, -- value when it was raised, or at its end
    raised_at       bigint NOT NULL, -- µs
    resolved_at     bigint, -- µs
    acknowledged_by text, -- who
    PRIMARY KEY (box_id, id)
);
CREATE INDEX alerts_newest ON alerts (organization_id, raised_at DESC);
SELECT sent_declare('alerts', 'up', '{id}');

CREATE TABLE notifications (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    alert_id        uuid NOT NULL, -- alert
    stage           text NOT NULL, -- raised, escalated, resolved
    target          text NOT NULL, -- mail:… or webhook:…
    state           text NOT NULL, -- pending, sent, failed
    created_at      bigint NOT NULL, -- µs
    next_at         bigint, -- µs of the next attempt
    sent_at         bigint, -- µs
    attempts        text NOT NULL DEFAULT '[]', -- each with its time and error, JSON
    PRIMARY KEY (box_id, id)
);
CREATE INDEX notifications_by_alert ON notifications (box_id, alert_id);
SELECT sent_declare('notifications', 'up', '{id}');
