-- Functions that Redshift has and PostgreSQL lacks. Those that PostgreSQL has under the same name with another
-- meaning lie in the schema redshift; the stand-in writes that name in their place.

-- The stand-in tells each session at its start which strings are too long (AWS: enable_large_strings_opt_in). Redshift's
-- text for one that is too long outside of a COPY is not known.
CREATE OR REPLACE FUNCTION redshift.string_bytes_max() RETURNS integer LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('redshift.string_bytes_max', true), ''), '65535')::integer;

CREATE OR REPLACE FUNCTION redshift.fitting(value text) RETURNS varchar LANGUAGE plpgsql STABLE STRICT
AS $f$
BEGIN
    IF octet_length(value) > redshift.string_bytes_max() THEN
        RAISE EXCEPTION '[stand-in] String value exceeds the max size of % bytes', redshift.string_bytes_max()
            USING ERRCODE = 'XX000';
    END IF;
    RETURN value;
END $f$;

CREATE OR REPLACE FUNCTION pg_catalog.is_large_string_enabled() RETURNS bool LANGUAGE sql STABLE
RETURN redshift.string_bytes_max() > 65535;

-- A SUPER has 1,000 levels (AWS: Limitations of SUPER); Redshift's text is not known. Few documents have so many
-- brackets that one must look: then, without strings, each pass takes the innermost pairs out.
CREATE OR REPLACE FUNCTION redshift.shallow(document varchar) RETURNS varchar LANGUAGE plpgsql IMMUTABLE STRICT
AS $f$
DECLARE
    brackets text;
BEGIN
    IF length(document) - length(translate(document, '[{', '')) <= 1000 THEN
        RETURN document;
    END IF;
    brackets := regexp_replace(document, $re$"(?:[^"\\]|\\.)*"$re$, '', 'g');
    brackets := regexp_replace(brackets, $re$[^][{}]$re$, '', 'g');
    FOR level IN 1..1000 LOOP
        brackets := regexp_replace(brackets, $re$\[\]|\{\}$re$, '', 'g');
        EXIT WHEN brackets = '';
    END LOOP;
    IF brackets <> '' THEN
        RAISE EXCEPTION '[stand-in] A SUPER has at most 1000 levels.' USING ERRCODE = 'XX000';
    END IF;
    RETURN document;
END $f$;

CREATE OR REPLACE FUNCTION pg_catalog.json_parse(document varchar) RETURNS super
LANGUAGE sql STABLE STRICT
RETURN redshift.shallow(redshift.fitting(document))::pg_catalog.jsonb;

-- COPY leaves text in a SUPER column as a SUPER string; this takes the document out of it.
CREATE OR REPLACE FUNCTION pg_catalog.json_parse(document super) RETURNS super
LANGUAGE sql STABLE STRICT
RETURN CASE jsonb_typeof(document::jsonb)
    WHEN 'string' THEN redshift.shallow(redshift.fitting(document::jsonb #>> '{}'))::pg_catalog.jsonb
    ELSE document::pg_catalog.jsonb
END;

-- Compact, unlike PostgreSQL's own text of a jsonb: the blank after a colon or comma outside strings goes. (Members
-- come in jsonb's order, not in the document's.) One regular expression, because analysts call this for every row.
CREATE OR REPLACE FUNCTION redshift.json_serialize(document super) RETURNS varchar
LANGUAGE sql STABLE STRICT
RETURN redshift.fitting(
    regexp_replace(document::pg_catalog.jsonb::text, $re$("(?:[^"\\]|\\.)*")|([:,]) $re$, $to$\1\2$to$, 'g')
);

CREATE OR REPLACE FUNCTION pg_catalog.json_typeof(document super) RETURNS varchar
LANGUAGE sql IMMUTABLE STRICT
RETURN jsonb_typeof(document::jsonb);

CREATE OR REPLACE FUNCTION pg_catalog.is_array(document super) RETURNS bool LANGUAGE sql IMMUTABLE STRICT
RETURN jsonb_typeof(document::jsonb) = 'array';

CREATE OR REPLACE FUNCTION pg_catalog.is_object(document super) RETURNS bool LANGUAGE sql IMMUTABLE STRICT
RETURN jsonb_typeof(document::jsonb) = 'object';

-- What `rest.a.b[0]` becomes. What is not there is NULL, and so is a JSON null.
CREATE OR REPLACE FUNCTION redshift.navigate(document super, VARIADIC path text[]) RETURNS super
LANGUAGE sql IMMUTABLE STRICT
RETURN nullif(document::jsonb #> path, 'null'::jsonb)::super;

-- A path that is not there gives NULL, as in PostgreSQL; what Redshift gives is not verified.
CREATE OR REPLACE FUNCTION redshift.json_extract_path_text(document varchar, VARIADIC path varchar[]) RETURNS varchar
LANGUAGE sql IMMUTABLE STRICT
RETURN document::pg_catalog.jsonb #>> path::text[];

CREATE OR REPLACE FUNCTION pg_catalog.getdate() RETURNS timestamp
LANGUAGE sql STABLE
RETURN statement_timestamp() AT TIME ZONE 'UTC';

-- SYSDATE is written without parentheses; the stand-in puts this call in its place.
CREATE OR REPLACE FUNCTION redshift.sysdate() RETURNS timestamp
LANGUAGE sql STABLE
RETURN transaction_timestamp() AT TIME ZONE 'UTC';

CREATE OR REPLACE FUNCTION pg_catalog.len(value varchar) RETURNS integer LANGUAGE sql IMMUTABLE STRICT
RETURN char_length(value);

CREATE OR REPLACE FUNCTION pg_catalog.charindex(part varchar, value varchar) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT
RETURN strpos(value, part);

CREATE OR REPLACE FUNCTION pg_catalog.trunc(moment timestamp) RETURNS date LANGUAGE sql IMMUTABLE STRICT
RETURN moment::date;

CREATE OR REPLACE FUNCTION pg_catalog.last_day(moment timestamp) RETURNS date LANGUAGE sql IMMUTABLE STRICT
RETURN (date_trunc('month', moment) + interval '1 month - 1 day')::date;

CREATE OR REPLACE FUNCTION redshift.version() RETURNS varchar LANGUAGE sql STABLE
RETURN 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.436211'::varchar;

CREATE OR REPLACE FUNCTION redshift.refuse_part(part varchar) RETURNS bigint LANGUAGE plpgsql IMMUTABLE
AS $f$
BEGIN
    RAISE EXCEPTION '[stand-in] The date part "%" is not supported here.', part USING ERRCODE = '0A000';
END $f$;

-- The date parts by their plain names.
CREATE OR REPLACE FUNCTION redshift.part(part varchar) RETURNS varchar LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN lower(part) IN ('year', 'years', 'y', 'yr', 'yrs') THEN 'year'
    WHEN lower(part) IN ('quarter', 'quarters', 'qtr', 'qtrs') THEN 'quarter'
    WHEN lower(part) IN ('month', 'months', 'mon', 'mons') THEN 'month'
    WHEN lower(part) IN ('week', 'weeks', 'w') THEN 'week'
    WHEN lower(part) IN ('day', 'days', 'd') THEN 'day'
    WHEN lower(part) IN ('hour', 'hours', 'h', 'hr', 'hrs') THEN 'hour'
    WHEN lower(part) IN ('minute', 'minutes', 'm', 'min', 'mins') THEN 'minute'
    WHEN lower(part) IN ('second', 'seconds', 's', 'sec', 'secs') THEN 'second'
    WHEN lower(part) IN ('millisecond', 'milliseconds', 'ms', 'msec', 'msecs') THEN 'millisecond'
    WHEN lower(part) IN ('microsecond', 'microseconds', 'us', 'usec', 'usecs') THEN 'microsecond'
    ELSE redshift.refuse_part(part)::varchar
END;

CREATE OR REPLACE FUNCTION pg_catalog.dateadd(part varchar, number bigint, moment timestamp) RETURNS timestamp
LANGUAGE sql IMMUTABLE STRICT
RETURN CASE redshift.part(part)
    WHEN 'quarter' THEN moment + number * interval '3 months'
    ELSE moment + number * ('1 ' || redshift.part(part))::interval
END;

-- Boundaries that lie between the two, not the time between them. Where a week begins here is not known: refused.
CREATE OR REPLACE FUNCTION pg_catalog.datediff(part varchar, first timestamp, last timestamp) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT
RETURN CASE redshift.part(part)
    WHEN 'year' THEN extract(year FROM last) - extract(year FROM first)
    WHEN 'quarter' THEN
        4 * (extract(year FROM last) - extract(year FROM first)) + extract(quarter FROM last) - extract(quarter FROM first)
    WHEN 'month' THEN
        12 * (extract(year FROM last) - extract(year FROM first)) + extract(month FROM last) - extract(month FROM first)
    WHEN 'day' THEN last::date - first::date
    WHEN 'hour' THEN floor(extract(epoch FROM last) / 3600) - floor(extract(epoch FROM first) / 3600)
    WHEN 'minute' THEN floor(extract(epoch FROM last) / 60) - floor(extract(epoch FROM first) / 60)
    WHEN 'second' THEN floor(extract(epoch FROM last)) - floor(extract(epoch FROM first))
    WHEN 'millisecond' THEN floor(extract(epoch FROM last) * 1000) - floor(extract(epoch FROM first) * 1000)
    WHEN 'microsecond' THEN (extract(epoch FROM last) - extract(epoch FROM first)) * 1000000
    ELSE redshift.refuse_part(part)
END;

CREATE OR REPLACE FUNCTION redshift.listagg(value text) RETURNS varchar LANGUAGE plpgsql STABLE STRICT
AS $f$
BEGIN
    IF octet_length(value) > redshift.string_bytes_max() THEN
        RAISE EXCEPTION '[stand-in] Result size exceeds LISTAGG limit' USING ERRCODE = 'XX000';
    END IF;
    RETURN value;
END $f$;

-- The stand-in sets these settings in the transaction of each COPY and UNLOAD, so that a rollback takes them back.
CREATE OR REPLACE FUNCTION pg_catalog.pg_last_copy_count() RETURNS bigint
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('redshift.last_copy_count', true), ''), '0')::bigint;

CREATE OR REPLACE FUNCTION pg_catalog.pg_last_copy_id() RETURNS integer
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('redshift.last_copy_id', true), ''), '-1')::integer;

CREATE OR REPLACE FUNCTION pg_catalog.pg_last_unload_count() RETURNS bigint
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('redshift.last_unload_count', true), ''), '0')::bigint;

-- AVG of integers is an integer, its fraction cut off. The other kinds are PostgreSQL's own.
CREATE OR REPLACE FUNCTION redshift.avg_add(state numeric[], value smallint) RETURNS numeric[] LANGUAGE sql IMMUTABLE STRICT
RETURN ARRAY[state[1] + value, state[2] + 1];

CREATE OR REPLACE FUNCTION redshift.avg_add(state numeric[], value integer) RETURNS numeric[] LANGUAGE sql IMMUTABLE STRICT
RETURN ARRAY[state[1] + value, state[2] + 1];

CREATE OR REPLACE FUNCTION redshift.avg_add(state numeric[], value bigint) RETURNS numeric[] LANGUAGE sql IMMUTABLE STRICT
RETURN ARRAY[state[1] + value, state[2] + 1];

CREATE OR REPLACE FUNCTION redshift.avg_end(state numeric[]) RETURNS bigint LANGUAGE sql IMMUTABLE
RETURN trunc(state[1] / nullif(state[2], 0))::bigint;

CREATE OR REPLACE AGGREGATE redshift.avg(smallint) (
    SFUNC = redshift.avg_add, STYPE = numeric[], FINALFUNC = redshift.avg_end, INITCOND = '{0,0}'
);
CREATE OR REPLACE AGGREGATE redshift.avg(integer) (
    SFUNC = redshift.avg_add, STYPE = numeric[], FINALFUNC = redshift.avg_end, INITCOND = '{0,0}'
);
CREATE OR REPLACE AGGREGATE redshift.avg(bigint) (
    SFUNC = redshift.avg_add, STYPE = numeric[], FINALFUNC = redshift.avg_end, INITCOND = '{0,0}'
);
CREATE OR REPLACE AGGREGATE redshift.avg(numeric) (
    SFUNC = numeric_avg_accum, STYPE = internal, FINALFUNC = numeric_avg
);
CREATE OR REPLACE AGGREGATE redshift.avg(double precision) (
    SFUNC = float8_accum, STYPE = double precision[], FINALFUNC = float8_avg, INITCOND = '{0,0,0}'
);
CREATE OR REPLACE AGGREGATE redshift.avg(interval) (
    SFUNC = interval_avg_accum, STYPE = internal, FINALFUNC = interval_avg
);
