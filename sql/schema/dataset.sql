-- The tables of one dataset, made from its definition.

-- name: ledger_table
-- Which refined files are in the table, and what became of their rows: row_count = inserted + duplicate + replaced.
-- batch_id, produced_at and superseded_at are NULL where an older version wrote the row.
CREATE TABLE IF NOT EXISTS {ledger} (
  {definitions}
) DISTSTYLE AUTO COMPOUND SORTKEY ("loaded_at");

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

-- name: ledger_view_drop
-- Redshift replaces a view only by one of the same columns. A view that somebody built on this one makes this fail.
DROP VIEW acequia.load_ledger;

-- name: migration_add
INSERT INTO acequia.schema_migrations (name, checksum, applied_at) VALUES ({name}, {checksum}, {applied_at});

-- name: migrations
SELECT name, checksum FROM acequia.schema_migrations;
