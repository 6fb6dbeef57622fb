-- Reference data: rows the cloud owns and hands down to the boxes of an organisation.
--
-- One trigger, attached to every `down` table, gives each changed row the version of its transaction and keeps its newest
-- form in reference_current. The version is a counter row per organisation: its lock is held until commit, so versions
-- become visible in the order they were given, which a sequence does not promise. All rows of one transaction share one
-- version, so a checkpoint that ends at a version ends at a transaction.

-- Tables that come from boxes or go to them. The projector knows nothing else of them.
CREATE TABLE projected_tables (
    name        text PRIMARY KEY, -- table name, the same on the box
    class       text NOT NULL CHECK (class IN ('up', 'down', 'proposal')), -- sync class (docs/design/0002)
    key_columns text[] NOT NULL -- declared key, without organization_id and box_id
);

CREATE TABLE reference_heads (
    organization_id uuid PRIMARY KEY, -- whose
    version         bigint NOT NULL, -- newest version
    transaction     xid8 NOT NULL -- the transaction that made it
);
SELECT sent_protect('reference_heads');

CREATE TABLE reference_current (
    organization_id uuid NOT NULL, -- whose
    table_name      text NOT NULL REFERENCES projected_tables (name), -- which table
    key             jsonb NOT NULL, -- declared key columns
    version         bigint NOT NULL, -- version of the last change
    row             jsonb, -- the row as boxes get it; null when deleted
    deleted         boolean NOT NULL, -- a tombstone
    origin_box      uuid, -- the box whose accepted proposal made this version
    origin_base     bigint, -- version that box's uninterrupted run of edits began from
    PRIMARY KEY (organization_id, table_name, key)
);
CREATE INDEX reference_current_by_version ON reference_current (organization_id, version);
SELECT sent_protect('reference_current');

CREATE FUNCTION sent_next_version(organization uuid) RETURNS bigint
    LANGUAGE sql SET search_path = public, pg_temp
AS $$
    INSERT INTO reference_heads AS h (organization_id, version, transaction)
    VALUES (organization, 1, pg_current_xact_id())
    ON CONFLICT (organization_id) DO UPDATE
        SET version = CASE WHEN h.transaction = pg_current_xact_id() THEN h.version ELSE h.version + 1 END,
            transaction = pg_current_xact_id()
    RETURNING version
$$;

CREATE FUNCTION sent_reference_stamp() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
BEGIN
    -- Nothing changed, so nothing flows; but a box that proposed what is so already still waits for its answer.
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'version' = to_jsonb(OLD) - 'version'
       AND nullif(current_setting('sent.origin_box', true), '') IS NULL THEN
        RETURN NULL;
    END IF;
    NEW.version := sent_next_version(NEW.organization_id);
    RETURN NEW;
END
$$;

-- A row as JSON, its amounts as texts: a number in JSON is a float to most of its readers, and money never is one.
CREATE FUNCTION sent_document(whole jsonb, relation oid) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = public, pg_temp
AS $$
    SELECT whole || coalesce((SELECT jsonb_object_agg(attname, whole ->> attname::text) FROM pg_attribute
        WHERE attrelid = relation AND atttypid = 'numeric'::regtype AND attnum > 0 AND NOT attisdropped
          AND whole ? attname::text), '{}')
$$;

CREATE FUNCTION sent_reference_keep() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
DECLARE
    changed jsonb := sent_document(to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END), TG_RELID);
    organization uuid := (changed ->> 'organization_id')::uuid;
    origin uuid := nullif(current_setting('sent.origin_box', true), '')::uuid;
    base bigint := nullif(current_setting('sent.origin_base', true), '')::bigint;
    row_key jsonb;
    at_version bigint;
BEGIN
    SELECT jsonb_object_agg(k, changed -> k) INTO row_key
    FROM projected_tables t, unnest(t.key_columns) AS k WHERE t.name = TG_TABLE_NAME;
    IF TG_OP = 'DELETE' THEN
        at_version := sent_next_version(organization);
    ELSE
        at_version := (changed ->> 'version')::bigint;
    END IF;
    INSERT INTO reference_current AS c
        (organization_id, table_name, key, version, row, deleted, origin_box, origin_base)
    VALUES (organization, TG_TABLE_NAME, row_key, at_version,
            CASE WHEN TG_OP = 'DELETE' THEN NULL ELSE changed - 'organization_id' - 'version' END,
            TG_OP = 'DELETE', origin, base)
    ON CONFLICT (organization_id, table_name, key) DO UPDATE
        SET version = excluded.version, row = excluded.row, deleted = excluded.deleted,
            origin_base = CASE WHEN c.origin_box = excluded.origin_box THEN least(c.origin_base, excluded.origin_base)
                               ELSE excluded.origin_base END,
            origin_box = excluded.origin_box;
    RETURN NULL;
END
$$;

-- Declares a table that boxes know. `down` and `proposal` tables get the triggers above.
CREATE FUNCTION sent_declare(target text, sync_class text, keys text[]) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO projected_tables (name, class, key_columns) VALUES (target, sync_class, keys);
    PERFORM sent_protect(target::regclass);
    IF sync_class <> 'up' THEN
        EXECUTE format('CREATE TRIGGER reference_stamp BEFORE INSERT OR UPDATE ON %I '
            'FOR EACH ROW EXECUTE FUNCTION sent_reference_stamp()', target);
        EXECUTE format('CREATE TRIGGER reference_keep AFTER INSERT OR UPDATE OR DELETE ON %I '
            'FOR EACH ROW EXECUTE FUNCTION sent_reference_keep()', target);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION sent_declare(text, text, text[]) FROM PUBLIC;
REVOKE INSERT, UPDATE, DELETE ON projected_tables FROM sent_app;
