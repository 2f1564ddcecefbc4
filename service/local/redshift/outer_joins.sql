-- SUPER does not go into a RIGHT or FULL OUTER JOIN (AWS: Limitations of SUPER). Called while PostgreSQL plans, because
-- it is IMMUTABLE and its arguments are constants: `tables` and `names` are lists as JSON.
CREATE OR REPLACE FUNCTION redshift.without_super(tables text, names text, has_star bool) RETURNS bool
LANGUAGE plpgsql IMMUTABLE
AS $f$
BEGIN
    IF names::jsonb ? 'json_parse' OR EXISTS (
        SELECT FROM jsonb_array_elements_text(tables::jsonb) t
        JOIN pg_catalog.pg_attribute a ON a.attrelid = to_regclass(t)
        WHERE a.atttypid = 4000 AND NOT a.attisdropped AND (has_star OR names::jsonb ? a.attname::text)
    ) THEN
        RAISE EXCEPTION '[stand-in] SUPER does not go into a RIGHT or FULL OUTER JOIN.' USING ERRCODE = '0A000';
    END IF;
    RETURN true;
END $f$;
