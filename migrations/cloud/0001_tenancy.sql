-- Tenancy below the query.
--
-- Every tenant table carries organization_id and forced row-level security with one policy: the row's organisation is
-- one of sent_organizations(). The program sets the scope for one transaction (SET LOCAL), so a query that forgets its
-- filter still sees only its own organisations, and a connection without a scope sees nothing.

DO $$
BEGIN
    CREATE ROLE sent_app NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
EXCEPTION
    -- Roles belong to the cluster: another database of it may have made this one already.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

GRANT USAGE ON SCHEMA public TO sent_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO sent_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO sent_app;

-- Who belongs to whom. Holds ids only and is read by the policies themselves, so it has no policy of its own.
CREATE TABLE tenants (
    organization_id uuid PRIMARY KEY, -- an organisation
    parent_id       uuid REFERENCES tenants (organization_id) -- the MSP that manages it; null for an MSP
);
CREATE INDEX tenants_by_parent ON tenants (parent_id);
REVOKE UPDATE, DELETE ON tenants FROM sent_app;

-- The organisations of the present transaction: a list of ids, `tree:ID` for an MSP with its customers, or `*` for
-- background work that walks every tenant.
CREATE FUNCTION sent_organizations() RETURNS uuid[]
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = public, pg_temp
AS $$
DECLARE
    scope text := current_setting('sent.organizations', true);
    msp uuid;
BEGIN
    IF scope IS NULL OR scope = '' THEN
        RETURN NULL;
    ELSIF scope = '*' THEN
        RETURN (SELECT array_agg(organization_id) FROM tenants);
    ELSIF scope LIKE 'tree:%' THEN
        msp := substr(scope, 6)::uuid;
        RETURN (SELECT array_agg(organization_id) FROM tenants WHERE organization_id = msp OR parent_id = msp);
    END IF;
    RETURN string_to_array(scope, ',')::uuid[];
END
$$;

-- What the caller presents before it is known whose it is: the hash of a session, token or claim code, a login name, or
-- the id out of a verified client certificate. A row is visible to whoever presents its secret.
CREATE FUNCTION sent_presented() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('sent.presented', true), '') $$;

-- Puts a table under the policy. The scope is read once a query (an InitPlan), not once a row.
CREATE FUNCTION sent_protect(target regclass) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format(
        'CREATE POLICY tenancy ON %s USING (organization_id = ANY ((SELECT sent_organizations())::uuid[]))',
        target);
END
$$;
REVOKE EXECUTE ON FUNCTION sent_protect(regclass) FROM PUBLIC;
