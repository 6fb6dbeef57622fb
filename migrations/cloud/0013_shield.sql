-- Reports of the boxes: templates are owned here and flow down; what was made and when comes up. The PDFs stay on the boxes.

CREATE TABLE report_templates (
    organization_id uuid NOT NULL, -- whose
    id              uuid NOT NULL, -- id
    name            text NOT NULL, -- name
    title           text NOT NULL, -- headline
    sender          text NOT NULL, -- who sends it
    accent          text NOT NULL, -- colour, #rrggbb
    closing         text NOT NULL DEFAULT '', -- last words
    logo            text, -- data URL
    version         bigint NOT NULL DEFAULT 0, -- reference version
    PRIMARY KEY (organization_id, id)
);
SELECT sent_declare('report_templates', 'down', '{id}');

CREATE TABLE report_schedules (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    name            text NOT NULL, -- name
    template_id     uuid NOT NULL, -- template
    weekday         smallint NOT NULL, -- 1 is Monday
    minute          smallint NOT NULL, -- of the day, in the branch's zone
    recipients      text NOT NULL DEFAULT '[]', -- mail addresses, JSON
    paused          smallint NOT NULL DEFAULT 0, -- 1: makes nothing
    done_until      bigint NOT NULL, -- µs: what was due until then is made
    PRIMARY KEY (box_id, id)
);
SELECT sent_declare('report_schedules', 'up', '{id}');

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
    missing         text NOT NULL DEFAULT '[]', -- engines that did not answer, JSON
    recipients      text NOT NULL DEFAULT '[]', -- mail addresses, JSON
    PRIMARY KEY (box_id, id)
);
SELECT sent_declare('reports', 'up', '{id}');

CREATE TABLE report_mails (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    received_at     bigint NOT NULL, -- projected here, µs
    id              uuid NOT NULL, -- id
    report_id       uuid NOT NULL, -- report
    recipient       text NOT NULL, -- mail address
    state           text NOT NULL, -- waiting, sent, failed
    attempts        integer NOT NULL DEFAULT 0, -- so far
    next_at         bigint NOT NULL, -- µs
    error           text, -- of the last attempt
    PRIMARY KEY (box_id, id)
);
SELECT sent_declare('report_mails', 'up', '{id}');
