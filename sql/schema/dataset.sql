-- The tables of one dataset, made from its definition, and the views over them.

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

-- name: failures_view
-- Rejected records by what they share: one cause, one line. It is open as long as one record of it is.
-- OPEN is a reserved word on Redshift, so the counts have longer names.
CREATE OR REPLACE VIEW acequia.failures AS
SELECT
  fingerprint,
  layer,
  dataset,
  code,
  field,
  sentence,
  records,
  records_open,
  records_reprocessed,
  records_resolved,
  records_parked,
  first_failed_at,
  last_failed_at,
  CAST(
    CASE
      WHEN records_open > 0 THEN 'open'
      WHEN records_parked > 0 THEN 'parked'
      WHEN records_reprocessed > 0 THEN 'reprocessed'
      ELSE 'resolved'
    END AS varchar(16)
  ) AS state
FROM (
  SELECT
    fingerprint,
    CAST(MIN(layer) AS varchar(16)) AS layer,
    CAST(MIN(dataset) AS varchar(63)) AS dataset,
    CAST(MIN(code) AS varchar(32)) AS code,
    CAST(MIN(field) AS varchar(1024)) AS field,
    CAST(MIN(sentence) AS varchar(2048)) AS sentence,
    COUNT(*) AS records,
    SUM(CASE WHEN state = 'open' THEN 1 ELSE 0 END) AS records_open,
    SUM(CASE WHEN state = 'reprocessed' THEN 1 ELSE 0 END) AS records_reprocessed,
    SUM(CASE WHEN state = 'resolved' THEN 1 ELSE 0 END) AS records_resolved,
    SUM(CASE WHEN state = 'parked' THEN 1 ELSE 0 END) AS records_parked,
    MIN(first_failed_at) AS first_failed_at,
    MAX(last_failed_at) AS last_failed_at
  FROM acequia.errors
  GROUP BY fingerprint
) AS causes;

-- name: failures_view_drop
-- A view that somebody built on this one makes this fail.
DROP VIEW acequia.failures;

-- name: migration_add
INSERT INTO acequia.schema_migrations (name, checksum, applied_at) VALUES ({name}, {checksum}, {applied_at});

-- name: migration_forget
-- Before what has changed is recorded anew.
DELETE FROM acequia.schema_migrations WHERE name = {name};

-- name: migrations
SELECT name, checksum FROM acequia.schema_migrations;
