-- SYS_LOAD_*: what each COPY did. The stand-in writes the tables over a connection of its own, so that a rollback of
-- the COPY's transaction does not take the rows away. Everyone sees only what is theirs; the owner sees all.

CREATE SEQUENCE IF NOT EXISTS redshift.query_numbers START 1000;
CREATE TABLE IF NOT EXISTS redshift.load_history (
    user_name name, query_id bigint, transaction_id bigint, session_id integer, database_name text, status text,
    table_name text, start_time timestamp, end_time timestamp, duration bigint, data_source text, file_format text,
    loaded_rows bigint, loaded_bytes bigint, source_file_count integer, source_file_bytes bigint,
    file_count_scanned integer, file_bytes_scanned bigint, error_count bigint, copy_job_id bigint
);
CREATE TABLE IF NOT EXISTS redshift.load_detail (
    user_name name, query_id bigint, file_name varchar, bytes_scanned bigint, lines_scanned bigint,
    record_time timestamp, splits_scanned integer, start_time timestamp, end_time timestamp
);
CREATE TABLE IF NOT EXISTS redshift.load_error_detail (
    user_name name, query_id bigint, transaction_id bigint, session_id integer, database_name varchar,
    table_id integer, start_time timestamp, file_name varchar, line_number bigint, column_name varchar,
    column_type varchar, column_length varchar, position integer, error_code integer, error_message varchar
);

-- A name of 256 bytes may not hold a file's whole uri: Redshift cuts it too.
CREATE OR REPLACE FUNCTION redshift.padded(value varchar, bytes integer) RETURNS bpchar LANGUAGE sql IMMUTABLE
RETURN rpad(redshift.cut(coalesce(value, ''), bytes), bytes)::bpchar;

CREATE OR REPLACE VIEW pg_catalog.sys_load_history AS
SELECT u.usesysid::integer AS user_id, query_id, transaction_id, session_id, database_name, status, table_name,
    start_time, end_time, duration, data_source, file_format, loaded_rows, loaded_bytes, source_file_count,
    source_file_bytes, file_count_scanned, file_bytes_scanned, error_count, copy_job_id
FROM redshift.load_history l JOIN pg_catalog.pg_user u ON u.usename = l.user_name
WHERE l.user_name = current_user OR current_user = 'acequia';

CREATE OR REPLACE VIEW pg_catalog.sys_load_detail AS
SELECT u.usesysid::integer AS user_id, query_id, redshift.padded(file_name, 256) AS file_name, bytes_scanned,
    lines_scanned, record_time, splits_scanned, start_time, end_time
FROM redshift.load_detail l JOIN pg_catalog.pg_user u ON u.usename = l.user_name
WHERE l.user_name = current_user OR current_user = 'acequia';

CREATE OR REPLACE VIEW pg_catalog.sys_load_error_detail AS
SELECT u.usesysid::integer AS user_id, query_id, transaction_id, session_id,
    redshift.padded(database_name, 64) AS database_name, table_id, start_time,
    redshift.padded(file_name, 256) AS file_name, line_number, redshift.padded(column_name, 127) AS column_name,
    redshift.padded(column_type, 10) AS column_type, redshift.padded(column_length, 10) AS column_length,
    position, error_code, redshift.padded(error_message, 512) AS error_message
FROM redshift.load_error_detail l JOIN pg_catalog.pg_user u ON u.usename = l.user_name
WHERE l.user_name = current_user OR current_user = 'acequia';

GRANT SELECT ON pg_catalog.sys_load_history, pg_catalog.sys_load_detail, pg_catalog.sys_load_error_detail TO PUBLIC;

CREATE OR REPLACE VIEW pg_catalog.pg_table_def AS
SELECT n.nspname AS schemaname, c.relname AS tablename, a.attname AS "column",
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS "notnull"
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname <> 'redshift'
    AND n.nspname = ANY (current_schemas(false));
GRANT SELECT ON pg_catalog.pg_table_def TO PUBLIC;
