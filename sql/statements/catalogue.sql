-- What the warehouse says about its tables. Read outside the load transaction.

-- name: columns
-- Every column of a schema, in order. Redshift and PostgreSQL both answer this; lengths of text are in bytes on Redshift.
SELECT
  table_name,
  column_name,
  data_type,
  character_maximum_length,
  numeric_precision,
  numeric_scale,
  is_nullable
FROM information_schema.columns
WHERE table_schema = {schema}
ORDER BY table_name, ordinal_position;

-- name: large_strings
-- Whether a text inside SUPER may be longer than 65,535 bytes here.
SELECT is_large_string_enabled();

-- name: diststyles
-- How the rows of tables are spread: `AUTO(…)`, `EVEN`, `ALL` or `KEY(column)`. Empty tables are not told of.
SELECT "table", diststyle FROM svv_table_info WHERE "schema" = {schema};
