-- Functions that Redshift and PostgreSQL both have, and that answer alike only to some arguments: the others are
-- refused, or answered as Redshift does. The stand-in writes these in the place of PostgreSQL's.

-- Not IMMUTABLE: PostgreSQL would call it while it plans, for a branch that no row takes.
CREATE OR REPLACE FUNCTION redshift.refuse(what text) RETURNS text LANGUAGE plpgsql STABLE
AS $f$
BEGIN
    RAISE EXCEPTION '[stand-in] %', what USING ERRCODE = '0A000';
END $f$;

-- NULL with anything is NULL. Two arguments, no more.
CREATE OR REPLACE FUNCTION redshift.concat(head varchar, tail varchar) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT
RETURN head || tail;

CREATE OR REPLACE FUNCTION redshift.left(value varchar, count integer) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT
RETURN CASE WHEN count < 0 THEN redshift.refuse('LEFT takes no negative number.') ELSE pg_catalog.left(value, count) END;

CREATE OR REPLACE FUNCTION redshift.right(value varchar, count integer) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT
RETURN CASE
    WHEN count < 0 THEN redshift.refuse('RIGHT takes no negative number.') ELSE pg_catalog.right(value, count)
END;

CREATE OR REPLACE FUNCTION redshift.split_part(value varchar, delimiter varchar, part integer) RETURNS varchar
LANGUAGE sql IMMUTABLE STRICT
RETURN CASE
    WHEN part < 1 THEN redshift.refuse('SPLIT_PART counts from 1.')
    ELSE pg_catalog.split_part(value, delimiter, part)
END;

-- EXTRACT of a date or timestamp is an integer, of a timestamp with time zone a double. What becomes of the fraction of a
-- second is not known.
CREATE OR REPLACE FUNCTION redshift.whole(number numeric) RETURNS integer LANGUAGE sql IMMUTABLE STRICT
RETURN CASE WHEN number = trunc(number) THEN number ELSE redshift.refuse('EXTRACT of a fraction.')::numeric END::integer;

CREATE OR REPLACE FUNCTION redshift.extract(part varchar, moment timestamp) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT
RETURN redshift.whole(CASE
    WHEN lower(part) IN ('year', 'quarter', 'month', 'week', 'day', 'hour', 'minute', 'second', 'dow', 'doy')
    THEN CASE lower(part)
        WHEN 'year' THEN extract(year FROM moment)
        WHEN 'quarter' THEN extract(quarter FROM moment)
        WHEN 'month' THEN extract(month FROM moment)
        WHEN 'week' THEN extract(week FROM moment)
        WHEN 'day' THEN extract(day FROM moment)
        WHEN 'hour' THEN extract(hour FROM moment)
        WHEN 'minute' THEN extract(minute FROM moment)
        WHEN 'second' THEN extract(second FROM moment)
        WHEN 'dow' THEN extract(dow FROM moment)
        ELSE extract(doy FROM moment)
    END
    ELSE redshift.refuse('EXTRACT of this part.')::numeric
END);

CREATE OR REPLACE FUNCTION redshift.extract(part varchar, moment date) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT
RETURN redshift.extract(part, moment::timestamp);

CREATE OR REPLACE FUNCTION redshift.extract(part varchar, moment timestamptz) RETURNS double precision
LANGUAGE sql STABLE STRICT
RETURN redshift.extract(part, moment::timestamp)::double precision;
