-- A view is replaced by one of the same columns: names, types and number (AWS: CREATE VIEW). PostgreSQL lets one add
-- columns behind, so the columns are kept as the comment of the view's rule, which a replacement leaves alone.
CREATE OR REPLACE FUNCTION redshift.keep_view() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
AS $f$
DECLARE made record;
BEGIN
    FOR made IN
        SELECT n.nspname, c.relname, obj_description(r.oid, 'pg_rewrite') AS kept, (
            SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
        ) AS columns
        FROM pg_event_trigger_ddl_commands() d
        JOIN pg_catalog.pg_class c ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::regclass
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
        WHERE c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'redshift')
    LOOP
        IF made.kept <> made.columns THEN
            RAISE EXCEPTION '[stand-in] A view is replaced by one of the same columns.' USING ERRCODE = '42P16';
        END IF;
        EXECUTE format('COMMENT ON RULE "_RETURN" ON %I.%I IS %L', made.nspname, made.relname, made.columns);
    END LOOP;
END $f$;

DROP EVENT TRIGGER IF EXISTS redshift_views;
CREATE EVENT TRIGGER redshift_views ON ddl_command_end WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION redshift.keep_view();
