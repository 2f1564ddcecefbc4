-- Who may do what, as far as PostgreSQL has no word for it: users, groups and roles as three kinds of names, ASSUMEROLE,
-- external schemas. A role is a group whose passwords would be valid for ever; grants.py makes them so.

CREATE OR REPLACE VIEW pg_catalog.pg_user AS
SELECT usename, usesysid, usecreatedb, usename = 'acequia' AS usesuper, userepl, usebypassrls,
    '********'::text AS passwd, valuntil, useconfig
FROM pg_catalog.pg_shadow WHERE usename <> 'standin';

CREATE OR REPLACE VIEW redshift.roles AS
SELECT oid, rolname FROM pg_catalog.pg_roles WHERE NOT rolcanlogin AND rolvaliduntil = 'infinity';
GRANT SELECT ON redshift.roles TO PUBLIC;

CREATE OR REPLACE FUNCTION redshift.check_names(users text[], roles text[], groups text[]) RETURNS void
LANGUAGE plpgsql STABLE
AS $f$
DECLARE named text;
BEGIN
    FOREACH named IN ARRAY users LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_user WHERE usename = named) THEN
            RAISE EXCEPTION 'user "%" does not exist', named USING ERRCODE = '42704';
        END IF;
    END LOOP;
    FOREACH named IN ARRAY roles LOOP
        IF NOT EXISTS (SELECT FROM redshift.roles WHERE rolname = named) THEN
            RAISE EXCEPTION 'role "%" does not exist', named USING ERRCODE = '42704';
        END IF;
    END LOOP;
    FOREACH named IN ARRAY groups LOOP
        IF NOT EXISTS (
            SELECT FROM pg_catalog.pg_roles WHERE rolname = named AND NOT rolcanlogin AND rolvaliduntil IS NULL
        ) THEN
            RAISE EXCEPTION 'group "%" does not exist', named USING ERRCODE = '42704';
        END IF;
    END LOOP;
END $f$;

-- Default privileges in a schema are for those who may make something there (AWS: ALTER DEFAULT PRIVILEGES, IN SCHEMA).
CREATE OR REPLACE FUNCTION redshift.check_creators(users text[], schemas text[]) RETURNS void LANGUAGE plpgsql STABLE
AS $f$
DECLARE creator text; place text;
BEGIN
    FOREACH place IN ARRAY schemas LOOP
        FOREACH creator IN ARRAY CASE users WHEN '{}' THEN ARRAY[session_user::text] ELSE users END LOOP
            IF NOT has_schema_privilege(creator, place, 'CREATE') THEN
                RAISE EXCEPTION 'permission denied for schema %', place USING ERRCODE = '42501';
            END IF;
        END LOOP;
    END LOOP;
END $f$;

CREATE OR REPLACE VIEW pg_catalog.svv_roles AS
SELECT oid::bigint::integer AS role_id, rolname::text AS role_name, 'acequia'::text AS role_owner,
    NULL::text AS external_id
FROM redshift.roles
WHERE session_user = 'acequia' OR pg_has_role(session_user, oid, 'MEMBER');

-- Without the owner of the database: PostgreSQL makes them a member of every role that they create.
CREATE OR REPLACE VIEW pg_catalog.svv_user_grants AS
SELECT DISTINCT u.oid::bigint::integer AS user_id, u.rolname::text AS user_name,
    r.oid::bigint::integer AS role_id, r.rolname::text AS role_name, m.admin_option
FROM pg_catalog.pg_auth_members m
JOIN redshift.roles r ON r.oid = m.roleid
JOIN pg_catalog.pg_roles u ON u.oid = m.member AND u.rolcanlogin AND u.rolname NOT IN ('acequia', 'standin')
WHERE session_user IN ('acequia', u.rolname);

CREATE OR REPLACE VIEW pg_catalog.svv_role_grants AS
SELECT DISTINCT r.oid::bigint::integer AS role_id, r.rolname::text AS role_name,
    g.oid::bigint::integer AS granted_role_id, g.rolname::text AS granted_role_name
FROM pg_catalog.pg_auth_members m
JOIN redshift.roles g ON g.oid = m.roleid
JOIN redshift.roles r ON r.oid = m.member
WHERE session_user = 'acequia' OR pg_has_role(session_user, r.oid, 'MEMBER');

-- Which IAM roles whose COPY and UNLOAD may use. 0 is PUBLIC, * every role; everybody may use all until the owner says
-- otherwise (AWS: GRANT, usage notes for ASSUMEROLE).
DO $do$
BEGIN
    IF to_regclass('redshift.assumed') IS NULL THEN
        CREATE TABLE redshift.assumed (grantee oid, iam_role text, command text, PRIMARY KEY (grantee, iam_role, command));
        INSERT INTO redshift.assumed
        SELECT 0, '*', unnest(ARRAY['COPY', 'UNLOAD', 'EXTERNAL FUNCTION', 'CREATE MODEL']);
    END IF;
END
$do$;

CREATE OR REPLACE FUNCTION redshift.change_assumerole(
    verb text, iam_roles text[], names text[], everybody boolean, commands text[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
AS $f$
DECLARE grantees oid[] := ARRAY(SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ANY (names));
BEGIN
    IF session_user <> 'acequia' THEN
        RAISE EXCEPTION '[stand-in] Only a superuser grants and revokes ASSUMEROLE.' USING ERRCODE = '42501';
    END IF;
    IF everybody THEN
        grantees := grantees || 0::oid;
    END IF;
    IF verb = 'GRANT' THEN
        INSERT INTO redshift.assumed
        SELECT g, i, c FROM unnest(grantees) g, unnest(iam_roles) i, unnest(commands) c ON CONFLICT DO NOTHING;
    ELSIF EXISTS (
        SELECT FROM redshift.assumed
        WHERE grantee = ANY (grantees) AND command = ANY (commands) AND iam_role = '*' AND NOT '*' = ANY (iam_roles)
    ) THEN
        RAISE EXCEPTION '[stand-in] ASSUMEROLE on ALL is revoked ON ALL.' USING ERRCODE = '0A000';
    ELSE
        DELETE FROM redshift.assumed
        WHERE grantee = ANY (grantees) AND command = ANY (commands)
            AND (iam_role = ANY (iam_roles) OR '*' = ANY (iam_roles));
    END IF;
END $f$;

CREATE OR REPLACE FUNCTION redshift.check_assumerole(wanted text, asked text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER
AS $f$
BEGIN
    IF session_user <> 'acequia' AND NOT EXISTS (
        SELECT FROM redshift.assumed a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        WHERE a.command = asked AND a.iam_role IN ('*', wanted)
            AND (a.grantee = 0 OR (r.oid IS NOT NULL AND pg_has_role(session_user, r.oid, 'USAGE')))
    ) THEN
        RAISE EXCEPTION 'User % does not have ASSUMEROLE permission on IAM role "%" for %', session_user, wanted, asked
            USING ERRCODE = '42501';
    END IF;
END $f$;

-- External schemas and tables: names and rights only. They belong to the stand-in, so that nobody makes or fills tables
-- in them; who made one may let others use it. Whoever may use the schema may read its tables, as with Spectrum.
CREATE TABLE IF NOT EXISTS redshift.external_schemas (schema oid PRIMARY KEY, owner name, database text, iam_role text);

CREATE OR REPLACE FUNCTION redshift.create_external_schema(place text, lenient boolean, database text, iam_role text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER
AS $f$
BEGIN
    IF NOT has_database_privilege(session_user, current_database(), 'CREATE') THEN
        RAISE EXCEPTION 'permission denied for database %', current_database() USING ERRCODE = '42501';
    END IF;
    IF lenient AND to_regnamespace(quote_ident(place)) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE SCHEMA %I', place);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I WITH GRANT OPTION', place, session_user);
    INSERT INTO redshift.external_schemas
    VALUES (to_regnamespace(quote_ident(place)), session_user, database, iam_role);
END $f$;

CREATE OR REPLACE FUNCTION redshift.create_external_table(place text, named text, columns text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
AS $f$
DECLARE owned name := (SELECT owner FROM redshift.external_schemas WHERE schema = to_regnamespace(quote_ident(place)));
BEGIN
    IF owned IS NULL THEN
        RAISE EXCEPTION '[stand-in] % is no external schema.', place USING ERRCODE = '3F000';
    ELSIF session_user NOT IN (owned, 'acequia') THEN
        RAISE EXCEPTION 'permission denied for schema %', place USING ERRCODE = '42501';
    END IF;
    EXECUTE format('CREATE TABLE %I.%I (%s)', place, named, columns);
    EXECUTE format('GRANT SELECT ON %I.%I TO PUBLIC', place, named);
END $f$;

-- For grants: an external schema takes no CREATE, and none at all inside a transaction (AWS: GRANT).
CREATE OR REPLACE FUNCTION redshift.check_schemas(places text[], inside boolean) RETURNS void LANGUAGE plpgsql STABLE
SECURITY DEFINER
AS $f$
BEGIN
    IF EXISTS (
        SELECT FROM redshift.external_schemas e WHERE e.schema IN (
            SELECT to_regnamespace(quote_ident(place)) FROM unnest(places) place
        )
    ) THEN
        IF inside THEN
            RAISE EXCEPTION '[stand-in] GRANT on an external schema cannot run inside a transaction block'
                USING ERRCODE = '25001';
        END IF;
        RAISE EXCEPTION '[stand-in] CREATE is not granted on an external schema.' USING ERRCODE = '0A000';
    END IF;
END $f$;

CREATE OR REPLACE FUNCTION redshift.external_schemas() RETURNS TABLE (
    esoid oid, eskind smallint, schemaname name, esowner integer, databasename text, esoptions text
) LANGUAGE sql STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT n.oid, 1::smallint, n.nspname, u.oid::bigint::integer, e.database,
        json_build_object('IAM_ROLE', e.iam_role)::text
    FROM redshift.external_schemas e
    JOIN pg_catalog.pg_namespace n ON n.oid = e.schema
    LEFT JOIN pg_catalog.pg_roles u ON u.rolname = e.owner
    WHERE session_user IN ('acequia', e.owner) OR has_schema_privilege(session_user, n.oid, 'USAGE');
END;

CREATE OR REPLACE VIEW pg_catalog.svv_external_schemas AS SELECT * FROM redshift.external_schemas();

GRANT SELECT ON pg_catalog.svv_roles, pg_catalog.svv_user_grants, pg_catalog.svv_role_grants,
    pg_catalog.svv_external_schemas TO PUBLIC;
