-- Tenancy below the query.
--
-- Every tenant table carries organization_id and forced row-level security with one policy: the row's organisation is
-- in the scope of the transaction. The program sets the scope for one transaction (SET LOCAL), so a query that forgets its
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

-- The scope of the present transaction is an organisation's id, `tree:ID` for an MSP with its customers, or `*` for
-- background work that walks every tenant. As the range that holds it. (A single expression each: the planner puts it in
-- place of the call, which would otherwise be parsed and planned anew in every query.)
CREATE FUNCTION sent_first_organization() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN current_setting('sent.organizations', true) = '*' OR current_setting('sent.organizations', true) LIKE 'tree:%'
                THEN '00000000-0000-0000-0000-000000000000'
                ELSE nullif(current_setting('sent.organizations', true), '') END::uuid
$$;

CREATE FUNCTION sent_last_organization() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN current_setting('sent.organizations', true) = '*' OR current_setting('sent.organizations', true) LIKE 'tree:%'
                THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'
                ELSE nullif(current_setting('sent.organizations', true), '') END::uuid
$$;

-- The MSP whose tree it is; null for the other scopes.
CREATE FUNCTION sent_msp() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN current_setting('sent.organizations', true) LIKE 'tree:%'
                THEN substr(current_setting('sent.organizations', true), 6) END::uuid
$$;

-- The condition "this column is in scope" as SQL. What depends on the scope alone is worked out once a query (InitPlans and
-- a hashed SubPlan): a row then costs two comparisons, in a tree a look into a hash table, however many tenants there are.
-- (With an array of them, PostgreSQL would search it from its beginning for each row.) The range lets an index on the
-- column serve a single organisation.
CREATE FUNCTION sent_in_scope(target text) RETURNS text
    LANGUAGE sql IMMUTABLE
AS $$
    SELECT format('%1$s BETWEEN (SELECT sent_first_organization()) AND (SELECT sent_last_organization())
        AND ((SELECT sent_msp()) IS NULL OR %1$s IN (
            SELECT t.organization_id FROM tenants t, (SELECT sent_msp() OFFSET 0) AS m (msp)
            WHERE t.organization_id = m.msp OR t.parent_id = m.msp))', target)
$$;

-- What the caller presents before it is known whose it is: the hash of a session, token or claim code, a login name, or
-- the id out of a verified client certificate. A row is visible to whoever presents its secret.
CREATE FUNCTION sent_presented() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('sent.presented', true), '') $$;

-- Puts a table under the policy.
CREATE FUNCTION sent_protect(target regclass) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY tenancy ON %s USING (%s)', target, sent_in_scope('organization_id'));
END
$$;
REVOKE EXECUTE ON FUNCTION sent_protect(regclass) FROM PUBLIC;
