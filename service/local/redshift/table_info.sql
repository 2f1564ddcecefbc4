-- SVV_TABLE_INFO (AWS: SVV_TABLE_INFO): the tables, for the superuser; unlike there, the empty ones too. What is not
-- known here is an error where a query asks for it; PostgreSQL leaves out a view's columns that a query does not name.

CREATE OR REPLACE FUNCTION redshift.row_count(name regclass) RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER
AS $f$
DECLARE found bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s', name) INTO found;
    RETURN found;
END $f$;
REVOKE EXECUTE ON FUNCTION redshift.row_count(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION redshift.row_count(regclass) TO acequia;

-- A small table that is left to AUTO is on every node there (AWS: Distribution styles); here no table grows out of that.
CREATE OR REPLACE FUNCTION redshift.dist_style(table_id oid) RETURNS text LANGUAGE sql STABLE
RETURN CASE redshift.storage_of(table_id) ->> 'style'
    WHEN 'KEY' THEN 'KEY(' || (
        SELECT a.attname FROM jsonb_each(redshift.storage_of(table_id) -> 'columns') facts
        JOIN pg_catalog.pg_attribute a ON a.attrelid = table_id AND a.attnum = facts.key::integer
        WHERE facts.value ? 'distkey'
    ) || ')'
    WHEN 'AUTO' THEN 'AUTO(ALL)'
    ELSE redshift.storage_of(table_id) ->> 'style'
END;

CREATE OR REPLACE FUNCTION redshift.not_known(name text, relation oid) RETURNS text LANGUAGE plpgsql STABLE
AS $f$
BEGIN
    RAISE EXCEPTION '[stand-in] The column % of svv_table_info is not known here.', name USING ERRCODE = '0A000';
END $f$;

CREATE OR REPLACE VIEW pg_catalog.svv_table_info AS
SELECT current_database()::text AS database, n.nspname::text AS schema, c.oid AS table_id, c.relname::text AS "table",
    redshift.not_known('encoded', c.oid) AS encoded, redshift.dist_style(c.oid) AS diststyle,
    redshift.not_known('sortkey1', c.oid) AS sortkey1, redshift.not_known('size', c.oid)::bigint AS size,
    redshift.not_known('pct_used', c.oid)::numeric(10, 4) AS pct_used,
    redshift.not_known('unsorted', c.oid)::numeric(5, 2) AS unsorted,
    redshift.not_known('stats_off', c.oid)::numeric(5, 2) AS stats_off,
    redshift.row_count(c.oid)::numeric(38, 0) AS tbl_rows,
    redshift.not_known('vacuum_sort_benefit', c.oid)::numeric(12, 2) AS vacuum_sort_benefit
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'redshift');
GRANT SELECT ON pg_catalog.svv_table_info TO acequia;
