-- Writers of one table take turns until their transactions end, as in Redshift. A trigger takes the turn: by then the
-- statement has its snapshot, so that who waited here does not see what the other wrote, and is refused by 1023 where
-- it read the table too. (A table lock would be taken before the snapshot.)

CREATE OR REPLACE FUNCTION redshift.take_turn() RETURNS trigger LANGUAGE plpgsql
AS $f$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(5439, TG_RELID::integer);
    RETURN NULL;
END $f$;

CREATE OR REPLACE FUNCTION redshift.add_turns() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
AS $f$
DECLARE made record;
BEGIN
    FOR made IN
        SELECT c.oid, n.nspname, c.relname
        FROM pg_event_trigger_ddl_commands() d
        JOIN pg_catalog.pg_class c ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::regclass
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND c.relpersistence = 'p'
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'redshift_turn')
    LOOP
        EXECUTE format(
            'CREATE TRIGGER redshift_turn BEFORE INSERT OR UPDATE OR DELETE ON %I.%I EXECUTE FUNCTION redshift.take_turn()',
            made.nspname, made.relname
        );
    END LOOP;
END $f$;

DROP EVENT TRIGGER IF EXISTS redshift_turns;
CREATE EVENT TRIGGER redshift_turns ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO') EXECUTE FUNCTION redshift.add_turns();
