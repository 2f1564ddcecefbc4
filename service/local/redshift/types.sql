-- The types and settings of a Redshift database. Run by the stand-in as the superuser `standin` each time it starts.
-- What clients name without a schema lies in pg_catalog, so that it is found whatever search_path they set.

SET allow_system_table_mods = on;
SET client_min_messages = warning;

CREATE SCHEMA IF NOT EXISTS redshift AUTHORIZATION standin;
GRANT USAGE ON SCHEMA redshift TO PUBLIC;
GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC;

-- Redshift's own settings for a session: GMT, and a backslash in a literal is an escape.
ALTER DATABASE acequia SET timezone = 'UTC';
ALTER DATABASE acequia SET standard_conforming_strings = off;
ALTER DATABASE acequia SET escape_string_warning = off;
-- Whoever creates a user or role may act for it, as Redshift's superuser may.
ALTER ROLE acequia CREATEROLE;
ALTER ROLE acequia SET createrole_self_grant = 'set, inherit';

-- SUPER is jsonb under Redshift's name and number for it. A plain row of the catalogue: CREATE TYPE gives no number
-- of our choice, and asyncpg takes no codec for a domain. It has no input of its own: a literal that is put into a SUPER
-- is a string in Redshift and would be a document here, so it is refused. Nor has it PostgreSQL's operators.
INSERT INTO pg_catalog.pg_type
SELECT (json_populate_record(NULL::pg_catalog.pg_type,
    (to_jsonb(t) || '{"oid": 4000, "typname": "super", "typarray": 0,
        "typinput": "pg_node_tree_in", "typreceive": "pg_node_tree_recv"}')::json)).*
FROM pg_catalog.pg_type t
WHERE t.typname = 'jsonb' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type WHERE typname = 'super');

DO $do$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_cast WHERE castsource = 4000) THEN
        CREATE CAST (super AS jsonb) WITHOUT FUNCTION;
        CREATE CAST (jsonb AS super) WITHOUT FUNCTION AS IMPLICIT;
    END IF;
END
$do$;

-- A scalar in a SUPER becomes a scalar; what does not fit becomes NULL, as in Redshift.
CREATE OR REPLACE FUNCTION redshift.super_varchar(value super) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT
AS $f$ SELECT CASE WHEN jsonb_typeof(value::jsonb) IN ('string', 'number', 'boolean') THEN value::jsonb #>> '{}' END $f$;

CREATE OR REPLACE FUNCTION redshift.super_numeric(value super) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT
AS $f$ SELECT CASE WHEN jsonb_typeof(value::jsonb) = 'number' THEN (value::jsonb #>> '{}')::numeric END $f$;

CREATE OR REPLACE FUNCTION redshift.super_float(value super) RETURNS float8 LANGUAGE sql IMMUTABLE STRICT
AS $f$ SELECT redshift.super_numeric(value)::float8 $f$;

-- What Redshift makes of a fraction is not known, so a fraction is refused.
CREATE OR REPLACE FUNCTION redshift.super_bigint(value super) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT
AS $f$
DECLARE number numeric := redshift.super_numeric(value);
BEGIN
    IF number <> trunc(number) THEN
        RAISE EXCEPTION '[stand-in] A SUPER that holds a fraction is not cast to an integer.' USING ERRCODE = '0A000';
    END IF;
    RETURN number::bigint;
END $f$;

CREATE OR REPLACE FUNCTION redshift.super_integer(value super) RETURNS integer LANGUAGE sql IMMUTABLE STRICT
AS $f$ SELECT redshift.super_bigint(value)::integer $f$;

CREATE OR REPLACE FUNCTION redshift.super_bool(value super) RETURNS bool LANGUAGE sql IMMUTABLE STRICT
AS $f$ SELECT CASE WHEN jsonb_typeof(value::jsonb) = 'boolean' THEN (value::jsonb #>> '{}')::bool END $f$;

DO $do$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_cast WHERE castsource = 4000 AND casttarget = 'varchar'::regtype) THEN
        CREATE CAST (super AS varchar) WITH FUNCTION redshift.super_varchar(super);
        CREATE CAST (super AS numeric) WITH FUNCTION redshift.super_numeric(super);
        CREATE CAST (super AS float8) WITH FUNCTION redshift.super_float(super);
        CREATE CAST (super AS bigint) WITH FUNCTION redshift.super_bigint(super);
        CREATE CAST (super AS integer) WITH FUNCTION redshift.super_integer(super);
        CREATE CAST (super AS bool) WITH FUNCTION redshift.super_bool(super);
    END IF;
END
$do$;

-- VARCHAR(n) and CHAR(n) count bytes. PostgreSQL measures a string by the function that casts the type to itself, on
-- INSERT, UPDATE, MERGE and explicit casts alike, so ours stands in that place. `modifier` is the length and 4.
CREATE OR REPLACE FUNCTION redshift.refuse_length(kind varchar, bytes integer) RETURNS varchar
LANGUAGE plpgsql IMMUTABLE
AS $f$
BEGIN
    RAISE EXCEPTION 'value too long for type %(%)', kind, bytes USING ERRCODE = '22001';
END $f$;

-- Not IMMUTABLE: PostgreSQL would call it while it plans, for a branch that no row takes.
CREATE OR REPLACE FUNCTION redshift.refuse_multibyte() RETURNS varchar LANGUAGE plpgsql STABLE
AS $f$
BEGIN
    RAISE EXCEPTION '[stand-in] CHAR takes single-byte characters only.' USING ERRCODE = '22021';
END $f$;

-- As many whole characters as fit: a byte that goes on with a character begins with the bits 10.
CREATE OR REPLACE FUNCTION redshift.cut(value varchar, bytes integer) RETURNS varchar LANGUAGE plpgsql IMMUTABLE STRICT
AS $f$
DECLARE
    raw bytea := convert_to(value, 'UTF8');
    kept integer := bytes;
BEGIN
    IF octet_length(raw) <= bytes THEN
        RETURN value;
    END IF;
    WHILE kept > 0 AND get_byte(raw, kept) & 192 = 128 LOOP
        kept := kept - 1;
    END LOOP;
    RETURN convert_from(substring(raw FROM 1 FOR kept), 'UTF8');
END $f$;

CREATE OR REPLACE FUNCTION redshift.sized_varchar(value varchar, modifier integer, explicit bool) RETURNS varchar
LANGUAGE sql IMMUTABLE STRICT
RETURN CASE
    WHEN octet_length(value) <= modifier - 4 THEN value
    WHEN explicit OR octet_length(rtrim(value)) <= modifier - 4 THEN redshift.cut(value, modifier - 4)
    ELSE redshift.refuse_length('character varying', modifier - 4)
END;

CREATE OR REPLACE FUNCTION redshift.sized_char(value bpchar, modifier integer, explicit bool) RETURNS bpchar
LANGUAGE sql IMMUTABLE STRICT
RETURN CASE
    WHEN octet_length(value) <> char_length(value) THEN redshift.refuse_multibyte()::bpchar
    ELSE pg_catalog.bpchar(value, modifier, explicit)
END;

-- NUMERIC has no NaN and no infinity. Every declared one goes through here, as a bare one is NUMERIC(18, 0). The text
-- is known for NaN.
CREATE OR REPLACE FUNCTION redshift.sized_numeric(value numeric, modifier integer) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE STRICT
AS $f$
BEGIN
    IF value = 'NaN' THEN
        RAISE EXCEPTION 'invalid input syntax for type numeric: "nan"' USING ERRCODE = '22P02';
    ELSIF value IN ('Infinity', '-Infinity') THEN
        RAISE EXCEPTION '[stand-in] NUMERIC has no infinity.' USING ERRCODE = '22P02';
    END IF;
    RETURN pg_catalog.numeric(value, modifier);
END $f$;
UPDATE pg_catalog.pg_cast SET castfunc = 'redshift.sized_numeric(numeric, integer)'::regprocedure
WHERE castsource = 'numeric'::regtype AND casttarget = 'numeric'::regtype;

UPDATE pg_catalog.pg_cast SET castfunc = 'redshift.sized_varchar(varchar, integer, bool)'::regprocedure
WHERE castsource = 'varchar'::regtype AND casttarget = 'varchar'::regtype;
UPDATE pg_catalog.pg_cast SET castfunc = 'redshift.sized_char(bpchar, integer, bool)'::regprocedure
WHERE castsource = 'bpchar'::regtype AND casttarget = 'bpchar'::regtype;
