-- How a table is stored in Redshift: distribution, sort keys, encodings and keys. PostgreSQL has none of it, so each
-- table keeps it as the comment of a trigger that never fires: in the catalogue, where it follows a rollback and no
-- transaction conflicts over it. The columns in it go by their numbers, which a RENAME leaves alone.
-- A statement brings what it says in a note behind its text (storage.py), which current_query() gives.

CREATE OR REPLACE FUNCTION redshift.storage_of(table_id oid) RETURNS jsonb LANGUAGE sql STABLE
RETURN (
    SELECT obj_description(t.oid, 'pg_trigger')::jsonb FROM pg_catalog.pg_trigger t
    WHERE t.tgrelid = table_id AND t.tgname = 'redshift_storage'
);

-- A text of several statements has several notes, and current_query() gives it whole: a statement's own is the next of
-- its kind about its table. The session remembers the last by the text and its place; a text may come again.
CREATE OR REPLACE FUNCTION redshift.said_of(query text, schema_name text, table_name text, alters bool) RETURNS jsonb
LANGUAGE plpgsql
AS $f$
DECLARE
    last text := coalesce(current_setting('redshift.note', true), '');
    last_place bigint := CASE WHEN last LIKE md5(query) || '%' THEN split_part(last, ' ', 2)::bigint ELSE 0 END;
    note record;
BEGIN
    SELECT said, place INTO note FROM (
        SELECT groups[1]::jsonb AS said, place
        FROM regexp_matches(query, $re$/\*storage: ([^*]*)\*/$re$, 'g') WITH ORDINALITY AS m (groups, place)
    ) s
    WHERE said ->> 'table' = table_name AND (said ->> 'alters')::bool = alters
        AND (said ->> 'schema' IN ('', schema_name) OR (said ->> 'schema' = 'pg_temp' AND schema_name ~ '^pg_temp'))
    ORDER BY place <= last_place, place LIMIT 1;
    PERFORM set_config('redshift.note', md5(query) || ' ' || note.place, false) WHERE note.place IS NOT NULL;
    RETURN note.said;
END $f$;

CREATE OR REPLACE FUNCTION redshift.by_number(table_id oid, named jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE
AS $f$
DECLARE
    name text;
    number integer;
    numbered jsonb := '{}';
BEGIN
    FOR name IN SELECT jsonb_object_keys(named) LOOP
        SELECT a.attnum INTO number FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = table_id AND a.attname = name AND a.attnum > 0 AND NOT a.attisdropped;
        IF number IS NULL THEN
            RAISE EXCEPTION 'column "%" named in key does not exist', name USING ERRCODE = '42703';
        END IF;
        numbered := numbered || jsonb_build_object(number::text, named -> name);
    END LOOP;
    RETURN numbered;
END $f$;

-- A table made LIKE another takes over everything but its primary and foreign keys (AWS: CREATE TABLE).
CREATE OR REPLACE FUNCTION redshift.inherited(said jsonb) RETURNS jsonb LANGUAGE sql STABLE
RETURN said || jsonb_build_object(
    'style', redshift.storage_of(to_regclass(said ->> 'like')) -> 'style',
    'columns', coalesce((
        SELECT jsonb_object_agg(a.attname, facts.value - 'key')
        FROM jsonb_each(redshift.storage_of(to_regclass(said ->> 'like')) -> 'columns') facts
        JOIN pg_catalog.pg_attribute a ON a.attrelid = to_regclass(said ->> 'like') AND a.attnum = facts.key::integer
    ), '{}') || (said -> 'columns')
);

CREATE OR REPLACE FUNCTION redshift.sizes_of(table_id oid) RETURNS jsonb LANGUAGE sql STABLE
RETURN (
    SELECT coalesce(jsonb_object_agg(a.attnum, a.atttypmod), '{}') FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = table_id AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'varchar'::regtype
);

-- What ALTER COLUMN TYPE may not touch (AWS: ALTER TABLE). Redshift's text is known for encodings and sizes only.
CREATE OR REPLACE FUNCTION redshift.check_resized(table_id oid, name text, stored jsonb) RETURNS void
LANGUAGE plpgsql STABLE
AS $f$
DECLARE
    changed pg_catalog.pg_attribute;
    facts jsonb;
    what text;
BEGIN
    SELECT a.* INTO changed FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = table_id AND a.attname = name AND a.attnum > 0 AND NOT a.attisdropped;
    facts := coalesce(stored -> 'columns' -> changed.attnum::text, '{}');
    what := format('cannot alter column "%s" of relation "%s"', name, (
        SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = table_id
    ));
    IF facts ->> 'encode' IN ('bytedict', 'runlength', 'text255', 'text32k') THEN
        RAISE EXCEPTION '% with encode type "%"', what, facts ->> 'encode' USING ERRCODE = '0A000';
    ELSIF facts ? 'key' OR changed.atthasdef THEN
        RAISE EXCEPTION '[stand-in] %: it has a default or is part of a key', what USING ERRCODE = '0A000';
    ELSIF NOT stored -> 'sizes' ? changed.attnum::text THEN
        RAISE EXCEPTION '[stand-in] %: it is no VARCHAR', what USING ERRCODE = '0A000';
    ELSIF (stored -> 'sizes' ->> changed.attnum::text)::integer = changed.atttypmod THEN
        RAISE EXCEPTION '%, target column size should be different', what USING ERRCODE = '0A000';
    END IF;
END $f$;

-- Stands in ALTER COLUMN TYPE for each value. Another type than VARCHAR passes here and is refused above.
CREATE OR REPLACE FUNCTION redshift.not_cut(value anyelement, bytes integer) RETURNS varchar LANGUAGE plpgsql IMMUTABLE
AS $f$
BEGIN
    IF octet_length(value::text) > bytes THEN
        RAISE EXCEPTION 'target column size should be greater or equal to current maximum column size'
            USING ERRCODE = '0A000';
    END IF;
    RETURN value;
END $f$;

CREATE OR REPLACE FUNCTION redshift.keep_storage() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
AS $f$
DECLARE
    made record;
    said jsonb;
    stored jsonb;
BEGIN
    FOR made IN
        SELECT DISTINCT c.oid, n.nspname, c.relname, c.relpersistence = 't' AS is_temporary
        FROM pg_event_trigger_ddl_commands() d
        JOIN pg_catalog.pg_class c ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::regclass
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname <> 'redshift'
    LOOP
        said := redshift.said_of(current_query(), made.nspname, made.relname, TG_TAG = 'ALTER TABLE');
        stored := redshift.storage_of(made.oid);
        CONTINUE WHEN said IS NULL AND (stored IS NOT NULL OR made.is_temporary);
        IF said ? 'resized' THEN
            PERFORM redshift.check_resized(made.oid, said ->> 'resized', stored);
        END IF;
        IF stored IS NULL THEN
            said := CASE WHEN said ->> 'like' <> '' THEN redshift.inherited(said) ELSE said END;
            stored := jsonb_build_object('style', coalesce(said ->> 'style', 'AUTO'), 'columns', '{}'::jsonb);
            EXECUTE format(
                'CREATE TRIGGER redshift_storage BEFORE DELETE ON %I.%I WHEN (false) EXECUTE FUNCTION redshift.take_turn()',
                made.nspname, made.relname
            );
        END IF;
        stored := jsonb_build_object('style', stored -> 'style', 'sizes', redshift.sizes_of(made.oid), 'columns',
            stored -> 'columns' || redshift.by_number(made.oid, coalesce(said -> 'columns', '{}')));
        EXECUTE format('COMMENT ON TRIGGER redshift_storage ON %I.%I IS %L', made.nspname, made.relname, stored);
    END LOOP;
END $f$;

DROP EVENT TRIGGER IF EXISTS redshift_storage;
CREATE EVENT TRIGGER redshift_storage ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
    EXECUTE FUNCTION redshift.keep_storage();

-- What DROP COLUMN may not take (AWS: ALTER TABLE). A column of a key goes with CASCADE there, here not at all.
CREATE OR REPLACE FUNCTION redshift.check_dropped() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
AS $f$
DECLARE
    gone record;
    facts jsonb;
BEGIN
    FOR gone IN
        SELECT o.objid, o.objsubid, o.address_names[3] AS name FROM pg_event_trigger_dropped_objects() o
        WHERE o.object_type = 'table column'
    LOOP
        facts := coalesce(redshift.storage_of(gone.objid) -> 'columns' -> gone.objsubid::text, '{}');
        IF facts ? 'distkey' THEN
            RAISE EXCEPTION 'cannot drop distkey column "%"', gone.name USING ERRCODE = '42P16';
        ELSIF facts ? 'sortkey' THEN
            RAISE EXCEPTION 'cannot drop sortkey column "%"', gone.name USING ERRCODE = '42P16';
        ELSIF facts ? 'key' THEN
            RAISE EXCEPTION '[stand-in] The column "%" is part of a key.', gone.name USING ERRCODE = '2BP01';
        ELSIF NOT EXISTS (
            SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = gone.objid AND a.attnum > 0 AND NOT a.attisdropped
        ) THEN
            RAISE EXCEPTION '[stand-in] The last column of a table stays.' USING ERRCODE = '42P16';
        END IF;
    END LOOP;
END $f$;

DROP EVENT TRIGGER IF EXISTS redshift_dropped;
CREATE EVENT TRIGGER redshift_dropped ON sql_drop WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION redshift.check_dropped();
