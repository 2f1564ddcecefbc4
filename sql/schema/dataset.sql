-- The tables of one dataset, made from its definition.

-- name: ledger_table
-- Which refined files are in the table, and what became of their rows: row_count = inserted + duplicate.
CREATE TABLE IF NOT EXISTS {ledger} (
  uri varchar(1024) NOT NULL ENCODE zstd,
  etag varchar(128) NOT NULL ENCODE zstd,
  row_count bigint NOT NULL ENCODE az64,
  inserted bigint NOT NULL ENCODE az64,
  duplicate bigint NOT NULL ENCODE az64,
  replaced bigint NOT NULL ENCODE az64,
  bytes bigint NOT NULL ENCODE az64,
  group_id varchar(64) NOT NULL ENCODE zstd,
  loaded_at timestamp NOT NULL ENCODE raw
) DISTSTYLE AUTO COMPOUND SORTKEY (loaded_at);

-- name: dataset_table
-- Event time leads the sort key: data arrives nearly in its order, and questions are asked by time.
CREATE TABLE IF NOT EXISTS {target} (
  {definitions}
) DISTSTYLE {diststyle} COMPOUND SORTKEY ({event_time});

-- name: column_add
-- A column added later is never NOT NULL: yesterday's files do not have it.
ALTER TABLE {target} ADD COLUMN {column} {type} ENCODE {encoding};

-- name: column_widen
-- The only change of type that Redshift makes in place; not inside a transaction.
ALTER TABLE {target} ALTER COLUMN {column} TYPE {type};

-- name: ledger_view
-- All ledgers together.
CREATE OR REPLACE VIEW acequia.load_ledger AS
{selects};

-- name: migration_add
INSERT INTO acequia.schema_migrations (name, checksum, applied_at) VALUES ({name}, {checksum}, {applied_at});

-- name: migrations
SELECT name, checksum FROM acequia.schema_migrations;
