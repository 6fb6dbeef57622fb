-- The cloud's own audit: who changed what, chained by hash, one chain an organisation.
--
-- A console change sets sent.audited for its transaction. From then on the trigger below collects every row it changes,
-- and the transaction cannot commit before the collected rows have become an audit entry: a route cannot forget it.

CREATE TABLE audit_heads (
    organization_id uuid PRIMARY KEY, -- whose chain
    sequence        bigint NOT NULL, -- last entry
    hash            text NOT NULL -- its hash, hex
);
SELECT sent_protect('audit_heads');

CREATE TABLE audit (
    organization_id uuid NOT NULL, -- whose chain: the actor's organisation
    sequence        bigint NOT NULL, -- gapless
    at              bigint NOT NULL, -- µs
    actor           text NOT NULL, -- name as it was then
    actor_id        uuid, -- user or token
    action          text NOT NULL, -- `fleet.box.revoke`
    request_id      uuid NOT NULL, -- request
    changes         text NOT NULL, -- JSON, byte for byte as hashed
    previous_hash   text NOT NULL, -- hash of the entry before
    hash            text NOT NULL, -- SHA-256, hex
    PRIMARY KEY (organization_id, sequence)
);
SELECT sent_protect('audit');
REVOKE UPDATE, DELETE ON audit FROM sent_app;

CREATE FUNCTION sent_refuse() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'audit entries are never changed' USING ERRCODE = 'restrict_violation'; END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION sent_refuse();

-- Rows of a transaction on their way into its audit entry. Empty whenever nothing is in flight.
CREATE TABLE audit_changes (
    organization_id uuid NOT NULL, -- whose row
    transaction     xid8 NOT NULL DEFAULT pg_current_xact_id(), -- transaction
    ordinal         bigint GENERATED ALWAYS AS IDENTITY, -- order
    table_name      text NOT NULL, -- table
    op              text NOT NULL, -- `i`, `u` or `d`
    key             jsonb NOT NULL, -- primary key
    old             jsonb NOT NULL, -- old values
    new             jsonb NOT NULL, -- new values
    PRIMARY KEY (transaction, ordinal)
);
SELECT sent_protect('audit_changes');

CREATE FUNCTION sent_capture() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
DECLARE
    before jsonb := '{}';
    after jsonb := '{}';
    keys text[] := TG_ARGV[0]::text[];
    hidden text[] := TG_ARGV[1]::text[];
    whole jsonb;
    secret text;
    row_key jsonb;
BEGIN
    IF coalesce(current_setting('sent.audited', true), '') <> 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN before := sent_document(to_jsonb(OLD), TG_RELID); END IF;
    IF TG_OP <> 'DELETE' THEN after := sent_document(to_jsonb(NEW), TG_RELID); END IF;
    whole := before || after;
    SELECT jsonb_object_agg(k, whole -> k) INTO row_key FROM unnest(keys) AS k;
    IF TG_OP = 'UPDATE' THEN
        SELECT coalesce(jsonb_object_agg(key, value), '{}'), coalesce(jsonb_object_agg(key, after -> key), '{}')
        INTO before, after FROM jsonb_each(before) WHERE value IS DISTINCT FROM after -> key;
    END IF;
    -- That a secret changed is told; what it is never leaves its table.
    FOREACH secret IN ARRAY hidden LOOP
        IF before ? secret THEN before := jsonb_set(before, ARRAY[secret], '"•••"'); END IF;
        IF after ? secret THEN after := jsonb_set(after, ARRAY[secret], '"•••"'); END IF;
    END LOOP;
    INSERT INTO audit_changes (organization_id, table_name, op, key, old, new)
    VALUES ((whole ->> 'organization_id')::uuid, TG_TABLE_NAME, lower(left(TG_OP, 1)), row_key, before, after);
    RETURN NULL;
END
$$;

CREATE FUNCTION sent_demand_entry() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM audit_changes WHERE transaction = NEW.transaction AND ordinal = NEW.ordinal) THEN
        RAISE EXCEPTION 'a change of % leaves no audit entry', NEW.table_name;
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER demanded AFTER INSERT ON audit_changes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sent_demand_entry();

-- target, key columns, columns whose values are never shown.
DO $$
DECLARE
    audited record;
BEGIN
    FOR audited IN SELECT * FROM (VALUES
        ('organizations', '{organization_id}', '{}'), ('branches', '{id}', '{}'), ('roles', '{id}', '{}'),
        ('users', '{id}', '{password_hash}'), ('accounts', '{id}', '{}'), ('fx_rates', '{currency,date}', '{}'),
        ('tax_rates', '{id}', '{}'), ('items', '{id}', '{}'), ('organization_settings', '{key}', '{}'),
        ('sessions', '{user_id}', '{token_hash}'), ('api_tokens', '{id}', '{token_hash}'),
        ('factors', '{user_id}', '{secret}'), ('recovery_codes', '{user_id}', '{code_hash}'),
        ('boxes', '{id}', '{}'), ('claims', '{id}', '{code_hash}'), ('box_documents', '{box_id}', '{}'),
        ('commands', '{id}', '{}'), ('quarantine', '{id}', '{}'), ('proposals', '{id}', '{}')
    ) AS t (target, keys, hidden) LOOP
        EXECUTE format('CREATE TRIGGER captured AFTER INSERT OR UPDATE OR DELETE ON %I '
            'FOR EACH ROW EXECUTE FUNCTION sent_capture(%L, %L)', audited.target, audited.keys, audited.hidden);
    END LOOP;
END
$$;
