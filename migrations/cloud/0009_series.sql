-- Telemetry: what is measured. The points themselves are in the next migration, which has two forms.

CREATE TABLE series (
    organization_id uuid NOT NULL, -- whose
    key             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- what points carry: 8 bytes instead of 24
    box_id          uuid NOT NULL REFERENCES boxes (id) ON DELETE CASCADE, -- box
    series          bigint NOT NULL, -- XXH3-64 of name and labels, the box's id of it
    metric          text NOT NULL, -- metric name
    labels          jsonb NOT NULL, -- labels
    unit            text NOT NULL DEFAULT '', -- unit
    UNIQUE (box_id, series)
);
SELECT sent_protect('series');

-- The series in scope, for the views of points: a view reads with its owner's eyes, so it says itself whose rows it shows.
DO $$
BEGIN
    EXECUTE format('CREATE VIEW series_in_scope WITH (security_barrier) AS SELECT * FROM series WHERE %s',
        sent_in_scope('organization_id'));
END
$$;
REVOKE INSERT, UPDATE, DELETE ON series_in_scope FROM sent_app;

CREATE TABLE gaps (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL REFERENCES boxes (id) ON DELETE CASCADE, -- box
    from_at         bigint NOT NULL, -- first lost moment, µs
    to_at           bigint NOT NULL, -- last lost moment, µs
    points          bigint NOT NULL, -- points lost
    PRIMARY KEY (box_id, from_at, to_at)
);
SELECT sent_protect('gaps');
