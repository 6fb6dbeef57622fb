-- The wire: where each box is, what it sent, what is projected, and what could not be.

CREATE TABLE wire_cursors (
    organization_id   uuid NOT NULL, -- whose
    box_id            uuid PRIMARY KEY REFERENCES boxes (id) ON DELETE CASCADE, -- box
    epoch             bigint NOT NULL DEFAULT 0, -- newest epoch; 0 before the first contact
    sequence          bigint NOT NULL DEFAULT 0, -- last transaction the inbox has
    hash              text NOT NULL DEFAULT repeat('0', 64), -- its hash, hex
    telemetry_epoch   bigint NOT NULL DEFAULT 0, -- epoch of the segments
    telemetry_segment bigint NOT NULL DEFAULT 0, -- last segment
    pruned_epoch      bigint NOT NULL DEFAULT 0, -- the inbox no longer has anything up to here
    pruned_sequence   bigint NOT NULL DEFAULT 0 -- sequence in that epoch
);
SELECT sent_protect('wire_cursors');

CREATE TABLE box_epochs (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL REFERENCES boxes (id) ON DELETE CASCADE, -- box
    epoch           bigint NOT NULL, -- epoch
    token           uuid NOT NULL, -- tells two restores apart that chose the same epoch
    started_at      bigint NOT NULL, -- µs
    restored_from   bigint, -- the epoch it was restored out of
    restored_to     bigint, -- the sequence of that epoch it was restored to
    given_back      bigint NOT NULL DEFAULT 0, -- transactions beyond that point that were handed back
    PRIMARY KEY (box_id, epoch)
);
SELECT sent_protect('box_epochs');

-- Whole transactions as they came. Never changed; removed after the retention time when they are projected.
CREATE TABLE inbox (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL, -- box
    epoch           bigint NOT NULL, -- epoch
    sequence        bigint NOT NULL, -- gapless
    hash            text NOT NULL, -- its hash, hex
    origin          text, -- the hash it was first sealed with, when it was sealed again since
    action          text NOT NULL, -- what it did
    made_at         bigint NOT NULL, -- when, by the box's clock, µs
    header          text NOT NULL, -- all of the transaction but its changes, as JSON
    changes         text NOT NULL, -- its changes, byte for byte
    received_at     bigint NOT NULL, -- µs
    PRIMARY KEY (box_id, epoch, sequence)
);
SELECT sent_protect('inbox');
-- An import is a transaction of megabytes: the old compression took longer than everything else that is done with it.
DO $$
BEGIN
    ALTER TABLE inbox ALTER COLUMN changes SET COMPRESSION lz4;
EXCEPTION
    -- A server built without it.
    WHEN feature_not_supported THEN NULL;
END
$$;

-- What a restored box has lost: the transactions it is given back under its newest epoch.
CREATE TABLE box_lost (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL REFERENCES boxes (id) ON DELETE CASCADE, -- box
    epoch           bigint NOT NULL, -- the epoch that began with it
    lost_epoch      bigint NOT NULL, -- where the transaction is in the inbox
    lost_sequence   bigint NOT NULL, -- sequence in that epoch
    PRIMARY KEY (box_id, epoch, lost_epoch, lost_sequence)
);
SELECT sent_protect('box_lost');

-- Tables of boxes that are newer than this cloud: their changes wait in the inbox until the table is declared.
CREATE TABLE unknown_tables (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid NOT NULL REFERENCES boxes (id) ON DELETE CASCADE, -- box
    table_name      text NOT NULL, -- table
    epoch           bigint NOT NULL, -- the first transaction that names it
    sequence        bigint NOT NULL, -- its sequence
    PRIMARY KEY (box_id, table_name)
);
SELECT sent_protect('unknown_tables');

-- How far each box's inbox is projected. Its row lock makes one replica at a time project a box.
CREATE TABLE projections (
    organization_id uuid NOT NULL, -- whose
    box_id          uuid PRIMARY KEY REFERENCES boxes (id) ON DELETE CASCADE, -- box
    epoch           bigint NOT NULL DEFAULT 0, -- epoch
    sequence        bigint NOT NULL DEFAULT 0 -- last transaction that is projected or in quarantine
);
SELECT sent_protect('projections');

-- Transactions that could not be projected. The queue goes on without them.
CREATE TABLE quarantine (
    organization_id uuid NOT NULL, -- whose
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- id
    box_id          uuid NOT NULL REFERENCES boxes (id) ON DELETE CASCADE, -- box
    epoch           bigint NOT NULL, -- epoch
    sequence        bigint NOT NULL, -- sequence
    action          text NOT NULL, -- the transaction's action
    error           text NOT NULL, -- the database's last error
    state           text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retried', 'skipped')), -- where it is
    at              bigint NOT NULL, -- µs
    decided_at      bigint, -- µs
    decided_by      text, -- who
    reason          text, -- why it was skipped
    UNIQUE (box_id, epoch, sequence)
);
CREATE INDEX quarantine_open ON quarantine (organization_id, state, id);
CREATE INDEX quarantine_waiting ON quarantine (box_id, epoch, sequence) WHERE state = 'open';
SELECT sent_protect('quarantine');

-- Edits of branches to rows the cloud owns that were not simply applied.
CREATE TABLE proposals (
    organization_id uuid NOT NULL, -- whose
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- id
    box_id          uuid NOT NULL REFERENCES boxes (id) ON DELETE CASCADE, -- box
    epoch           bigint NOT NULL, -- epoch of the transaction
    sequence        bigint NOT NULL, -- its sequence
    ordinal         integer NOT NULL, -- place of the change in it
    table_name      text NOT NULL REFERENCES projected_tables (name), -- table
    key             jsonb NOT NULL, -- key
    op              text NOT NULL, -- `i`, `u` or `d`
    proposed        jsonb, -- new values
    base_version    bigint NOT NULL, -- version it was based on
    cause           text NOT NULL, -- why it waits
    state           text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'refused')), -- where it is
    at              bigint NOT NULL, -- µs
    decided_at      bigint, -- µs
    decided_by      text, -- who
    answered        bigint, -- reference version that carries the answer down
    UNIQUE (box_id, epoch, sequence, ordinal)
);
CREATE INDEX proposals_waiting ON proposals (box_id) WHERE state = 'open';
CREATE INDEX proposals_refused ON proposals (box_id, answered) WHERE state = 'refused';
SELECT sent_protect('proposals');

-- Writes one change to a table the cloud owns, by nothing but its declaration.
CREATE FUNCTION sent_apply(organization uuid, target text, row_key jsonb, op text, new_values jsonb) RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
DECLARE
    keys text[];
    matches text;
    names text;
    found_row jsonb;
BEGIN
    SELECT key_columns INTO STRICT keys FROM projected_tables WHERE name = target AND class <> 'up';
    SELECT string_agg(format('t.%1$I = k.%1$I', c), ' AND ') INTO matches FROM unnest(keys) AS c;
    row_key := row_key || jsonb_build_object('organization_id', organization);
    -- Who manages whom is decided here alone.
    new_values := new_values - 'parent_id';
    IF op = 'd' THEN
        EXECUTE format('DELETE FROM %1$I t USING jsonb_populate_record(NULL::%1$I, $1) k '
            'WHERE t.organization_id = $2 AND %2$s', target, matches) USING row_key, organization;
        RETURN;
    END IF;
    EXECUTE format('SELECT to_jsonb(t) FROM %1$I t, jsonb_populate_record(NULL::%1$I, $1) k '
        'WHERE t.organization_id = $2 AND %2$s', target, matches) INTO found_row USING row_key, organization;
    IF found_row IS NULL THEN
        -- Only the columns that were sent, so that the others take their defaults.
        SELECT string_agg(quote_ident(attname), ', ') INTO names FROM pg_attribute
        WHERE attrelid = target::regclass AND attnum > 0 AND NOT attisdropped
          AND (new_values || row_key) ? attname AND attname <> 'version';
        EXECUTE format('INSERT INTO %1$I (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$I, $1)', target, names)
            USING new_values || row_key;
    ELSE
        SELECT string_agg(format('%1$I = n.%1$I', attname), ', ') INTO names FROM pg_attribute
        WHERE attrelid = target::regclass AND attnum > 0 AND NOT attisdropped
          AND new_values ? attname AND attname <> ALL (keys || '{organization_id,version}');
        IF names IS NOT NULL THEN
            EXECUTE format('UPDATE %1$I t SET %2$s FROM jsonb_populate_record(NULL::%1$I, $1) n, '
                'jsonb_populate_record(NULL::%1$I, $2) k WHERE t.organization_id = $3 AND %3$s', target, names, matches)
                USING new_values, row_key, organization;
        END IF;
    END IF;
END
$$;

-- Why an edit is more than one branch may decide, null when it is not: the organisation itself, what holds on every box of it,
-- the other branches, and who may do what. How its own branch is called is the branch's, and so is how a user is called and
-- spoken to.
CREATE FUNCTION sent_reserved(target text, op text, own_branch boolean, present jsonb, new_values jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE target
        WHEN 'organizations' THEN 'changes the organisation itself'
        WHEN 'organization_settings' THEN 'changes what holds for all branches'
        WHEN 'branches' THEN CASE WHEN op <> 'u' OR NOT own_branch THEN 'changes another branch' END
        WHEN 'roles' THEN 'changes who may do what'
        WHEN 'users' THEN CASE WHEN op <> 'u' OR present IS NULL
            OR NOT present @> (new_values - '{name,locale,version,organization_id}'::text[]) THEN 'changes who may do what' END
    END
$$;

-- A password's verifier without the proof that its author knew the password before it (docs/design/0004).
CREATE FUNCTION sent_without_proof(verifier text) RETURNS text
    LANGUAGE sql IMMUTABLE
AS $$
    SELECT regexp_replace(verifier, '^(\$[^$]*\$[^$]*\$[^$]*\$[^$]*\$[^$]*)\$.*$', '\1')
$$;

-- Whether an edit is a user's own new password: it changes nothing else, and carries the key of the password that counts here
-- now. A verifier is `$argon2id-sha256$PARAMETERS$SALT$SHA256(KEY)`: every box has it, and none can make the key of it.
CREATE FUNCTION sent_proves_password(target text, op text, present jsonb, new_values jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN target = 'users' AND op = 'u'
            AND new_values - '{password_hash,version,organization_id}'::text[] = '{}'
            AND new_values ->> 'password_hash'
                ~ '^\$argon2id-sha256\$v=19\$m=19456,t=2,p=1\$[0-9a-f]{32}\$[0-9a-f]{64}\$[0-9a-f]{64}$'
        THEN coalesce(split_part(present ->> 'password_hash', '$', 6)
            = encode(sha256(decode(split_part(new_values ->> 'password_hash', '$', 7), 'hex')), 'hex'), false)
        ELSE false END
$$;

-- Whether an organisation is this box's own: the box brought it, and no other box stands in it.
CREATE FUNCTION sent_is_alone(organization uuid, box uuid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = public, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM reference_current WHERE organization_id = organization AND table_name = 'organizations'
                   AND origin_box = box AND origin_base = 0)
       AND NOT EXISTS (SELECT FROM boxes WHERE organization_id = organization AND id <> box)
$$;

-- Judges one transaction's edits of cloud-owned rows, in order. An edit whose base version is current is applied and so
-- flows down again; so is one that only follows the same box's own edits. Any other waits for a person.
--
-- What is more than one branch's (sent_reserved) is never changed by a box's word alone: whoever takes over one branch's box
-- must not become the owner of all branches. Such edits wait for a person, but for those of a box that brought its
-- organisation along. An MSP's own users are made at the console only, so there the edit is refused outright.
--
-- A user's own new password needs nobody: the edit proves that the password before it was typed, and whoever knows that one
-- could as well change it at the console. It is held against the password that counts now, so its base version says nothing.
--
-- A base version beyond the row's own is refused outright too: this cloud never gave it out. A box that meets a cloud which
-- was restored to an earlier day gets the row as it is here, and its people edit it again.
CREATE FUNCTION sent_propose(box uuid, organization uuid, from_epoch bigint, from_sequence bigint, edits jsonb, moment bigint)
    RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
DECLARE
    edit jsonb;
    place bigint;
    present reference_current;
    base bigint;
    keys text[];
    whole jsonb;
    row_key jsonb;
    sync_class text;
    reserved text;
    is_proven boolean;
    is_beyond boolean;
    is_refused boolean;
    answer bigint;
    cause text;
    own_branch uuid := (SELECT b.branch_id FROM boxes b WHERE b.id = box);
BEGIN
    -- Two boxes judged at once would both find their base version current.
    PERFORM FROM reference_heads h WHERE h.organization_id = organization FOR UPDATE;
    FOR edit, place IN SELECT e.value, e.ordinality FROM jsonb_array_elements(edits) WITH ORDINALITY AS e LOOP
        SELECT class, key_columns INTO STRICT sync_class, keys FROM projected_tables WHERE name = edit ->> 't';
        whole := (edit -> 'k') || jsonb_build_object('organization_id', organization);
        SELECT jsonb_object_agg(k, whole -> k) INTO row_key FROM unnest(keys) AS k;
        base := coalesce((edit ->> 'v')::bigint, 0);
        present := NULL;
        SELECT * INTO present FROM reference_current c
        WHERE c.organization_id = organization AND c.table_name = edit ->> 't' AND c.key = row_key;
        is_proven := sent_proves_password(edit ->> 't', edit ->> 'o', present.row, edit -> 'n');
        IF edit ->> 't' = 'users' AND edit -> 'n' ? 'password_hash' THEN
            edit := jsonb_set(edit, '{n,password_hash}', to_jsonb(sent_without_proof(edit #>> '{n,password_hash}')));
        END IF;
        -- Two branches made the same row while they were apart, an account of one name for instance: nothing to decide.
        IF sync_class = 'down' AND edit ->> 'o' <> 'd' AND present.row @> ((edit -> 'n') - '{version,organization_id}'::text[]) THEN
            PERFORM sent_answer(organization, edit ->> 't', row_key);
            CONTINUE;
        END IF;
        reserved := CASE WHEN NOT is_proven AND NOT sent_is_alone(organization, box) THEN sent_reserved(edit ->> 't',
            edit ->> 'o', row_key ->> 'id' = own_branch::text, present.row, edit -> 'n') END;
        is_beyond := base > coalesce(present.version, 0);
        cause := CASE
            WHEN is_beyond THEN format('based on version %s, which this cloud never gave the row', base)
            WHEN sync_class = 'proposal' THEN 'needs a decision'
            WHEN reserved IS NOT NULL THEN reserved
            WHEN is_proven OR base = coalesce(present.version, 0) THEN NULL
            WHEN present.origin_box = box AND base >= present.origin_base THEN NULL
            ELSE format('based on version %s, the row is at %s', base, present.version)
        END;
        IF cause IS NULL THEN
            BEGIN
                PERFORM set_config('sent.origin_box', box::text, true), set_config('sent.origin_base', base::text, true);
                PERFORM sent_apply(organization, edit ->> 't', row_key, edit ->> 'o', coalesce(edit -> 'n', '{}'));
                IF is_proven THEN
                    DELETE FROM sessions s WHERE s.organization_id = organization AND s.user_id = (row_key ->> 'id')::uuid;
                END IF;
            EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
                cause := SQLERRM;
            END;
            PERFORM set_config('sent.origin_box', '', true), set_config('sent.origin_base', '', true);
        END IF;
        IF cause IS NOT NULL THEN
            is_refused := is_beyond OR reserved IS NOT NULL AND EXISTS (
                SELECT FROM tenants t WHERE t.organization_id = organization AND t.parent_id IS NULL);
            answer := CASE WHEN is_refused THEN sent_answer(organization, edit ->> 't', row_key) END;
            INSERT INTO proposals (organization_id, box_id, epoch, sequence, ordinal, table_name, key, op, proposed,
                                   base_version, cause, at, state, decided_at, decided_by, answered)
            VALUES (organization, box, from_epoch, from_sequence, coalesce((edit ->> 'i')::bigint, place), edit ->> 't',
                    row_key, edit ->> 'o', edit -> 'n', base, cause, moment,
                    CASE WHEN is_refused THEN 'refused' ELSE 'open' END, CASE WHEN is_refused THEN moment END,
                    CASE WHEN is_refused THEN 'cloud' END, answer)
            ON CONFLICT (box_id, epoch, sequence, ordinal) DO NOTHING;
        END IF;
    END LOOP;
END
$$;

-- Sends a row down once more although it did not change: the cloud's answer to an edit it refused, and the version that
-- carries it. A row the cloud does not have goes down as gone.
CREATE FUNCTION sent_answer(organization uuid, target text, row_key jsonb) RETURNS bigint
    LANGUAGE sql SET search_path = public, pg_temp
AS $$
    INSERT INTO reference_current AS c (organization_id, table_name, key, version, row, deleted)
    VALUES (organization, target, row_key, sent_next_version(organization), NULL, true)
    ON CONFLICT (organization_id, table_name, key) DO UPDATE
        SET version = excluded.version, origin_box = NULL, origin_base = NULL
    RETURNING c.version
$$;
