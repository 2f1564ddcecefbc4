-- What Redshift has and PostgreSQL lacks. Run by the stand-in as the superuser `standin` each time it starts.
-- The schema stands last in the database's search_path, so a client that sets its own search_path must name it too.

CREATE SCHEMA IF NOT EXISTS redshift AUTHORIZATION standin;
GRANT USAGE ON SCHEMA redshift TO PUBLIC;

-- Redshift's own settings for a session: GMT, and a backslash in a literal is an escape.
ALTER DATABASE acequia SET search_path = "$user", public, redshift;
ALTER DATABASE acequia SET timezone = 'UTC';
ALTER DATABASE acequia SET standard_conforming_strings = off;
ALTER DATABASE acequia SET escape_string_warning = off;

-- SUPER is jsonb under a name and type number of its own. In pg_catalog, as in Redshift, where
-- asyncpg's set_type_codec('super', schema='pg_catalog') looks for it. Not a domain: asyncpg takes no codec for one.
DO $do$
BEGIN
    IF to_regtype('pg_catalog.super') IS NULL THEN
        SET LOCAL client_min_messages = warning;
        CREATE TYPE pg_catalog.super;
        CREATE FUNCTION redshift.super_in(cstring) RETURNS super LANGUAGE internal IMMUTABLE STRICT AS 'jsonb_in';
        CREATE FUNCTION redshift.super_out(super) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'jsonb_out';
        CREATE FUNCTION redshift.super_recv(internal) RETURNS super LANGUAGE internal IMMUTABLE STRICT AS 'jsonb_recv';
        CREATE FUNCTION redshift.super_send(super) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'jsonb_send';
        CREATE TYPE pg_catalog.super (
            INPUT = redshift.super_in, OUTPUT = redshift.super_out,
            RECEIVE = redshift.super_recv, SEND = redshift.super_send,
            LIKE = jsonb
        );
        CREATE CAST (super AS jsonb) WITHOUT FUNCTION AS IMPLICIT;
        CREATE CAST (jsonb AS super) WITHOUT FUNCTION AS IMPLICIT;
    END IF;
END
$do$;

CREATE OR REPLACE FUNCTION redshift.json_parse(document varchar) RETURNS super
LANGUAGE sql IMMUTABLE STRICT
RETURN document::pg_catalog.jsonb;

-- COPY leaves text in a SUPER column as a SUPER string; this takes the document out of it.
CREATE OR REPLACE FUNCTION redshift.json_parse(document super) RETURNS super
LANGUAGE sql IMMUTABLE STRICT
RETURN CASE jsonb_typeof(document) WHEN 'string' THEN (document #>> '{}')::pg_catalog.jsonb ELSE document::pg_catalog.jsonb END;

-- Compact, unlike PostgreSQL's own text of a jsonb: the blank after a colon or comma outside strings goes. (Members
-- come in jsonb's order, not in the document's.) One regular expression, because analysts call this for every row.
CREATE OR REPLACE FUNCTION redshift.json_serialize(document super) RETURNS varchar
LANGUAGE sql IMMUTABLE STRICT
RETURN regexp_replace(document::pg_catalog.jsonb::text, $re$("(?:[^"\\]|\\.)*")|([:,]) $re$, $to$\1\2$to$, 'g');

CREATE OR REPLACE FUNCTION redshift.json_typeof(document super) RETURNS varchar
LANGUAGE sql IMMUTABLE STRICT
RETURN jsonb_typeof(document);

-- A path that is not there gives NULL, as in PostgreSQL; what Redshift gives is not verified.
CREATE OR REPLACE FUNCTION redshift.json_extract_path_text(document varchar, VARIADIC path varchar[]) RETURNS varchar
LANGUAGE sql IMMUTABLE STRICT
RETURN document::pg_catalog.jsonb #>> path::text[];

CREATE OR REPLACE FUNCTION redshift.getdate() RETURNS timestamp
LANGUAGE sql STABLE
RETURN statement_timestamp() AT TIME ZONE 'UTC';

-- SYSDATE is written without parentheses; the stand-in puts this call in its place.
CREATE OR REPLACE FUNCTION redshift.sysdate() RETURNS timestamp
LANGUAGE sql STABLE
RETURN transaction_timestamp() AT TIME ZONE 'UTC';

CREATE OR REPLACE FUNCTION redshift.nvl(value anycompatible, otherwise anycompatible) RETURNS anycompatible
LANGUAGE sql IMMUTABLE AS 'SELECT coalesce(value, otherwise)';

-- The stand-in sets these settings in the transaction of each COPY, so that a rollback takes them back.
CREATE OR REPLACE FUNCTION redshift.pg_last_copy_count() RETURNS bigint
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('redshift.last_copy_count', true), ''), '0')::bigint;

CREATE OR REPLACE FUNCTION redshift.pg_last_copy_id() RETURNS integer
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('redshift.last_copy_id', true), ''), '-1')::integer;
