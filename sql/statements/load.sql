-- The load transaction, in the order in which it runs. Names in braces are filled in by service/load/statements.py:
-- identifiers quoted, literals escaped. COPY goes by position, so every column list is written out.

-- name: ledger_lock
-- The first statement: two loaders of one dataset take turns. The target is never locked, so analysts never wait.
LOCK TABLE {ledger};

-- name: ledger_known
-- Which of these files are loaded already. Only a read under the lock proves that a file is not.
SELECT uri FROM {ledger} WHERE uri IN ({uris});

-- name: stage_create
-- What COPY fills: the target's columns, with SUPER columns as text until they are parsed.
CREATE TEMP TABLE {stage} ({stage_columns});

-- name: copy
-- All files of the manifest or none.
COPY {stage} ({columns}) FROM {manifest} IAM_ROLE {role} FORMAT AS PARQUET MANIFEST STATUPDATE OFF;

-- name: copy_count
-- The completion tag has no count; this has.
SELECT pg_last_copy_count();

-- name: fresh_create
-- Each record once, and only those that the table does not have. The first that arrived wins.
CREATE TEMP TABLE {fresh} AS
SELECT {columns}
FROM (
  SELECT
    staged.*,
    ROW_NUMBER() OVER (PARTITION BY staged._record_id ORDER BY staged._received_at, staged._raw_file) AS _nth
  FROM {stage} AS staged
  WHERE NOT EXISTS (SELECT 1 FROM {target} AS present WHERE present._record_id = staged._record_id)
) AS numbered
WHERE _nth = 1;

-- name: fresh_insert
-- Into the table that analysts read.
INSERT INTO {target} ({columns}) SELECT {parsed_columns} FROM {fresh};

-- name: fresh_counts
-- How many rows each file brought: a file is a raw file's rows of one partition.
SELECT _raw_file, TO_CHAR({event_time}, {partition_format}), COUNT(*) FROM {fresh} GROUP BY 1, 2;

-- name: ledger_add
-- One row a file; rows = inserted + duplicate.
INSERT INTO {ledger} (uri, etag, row_count, inserted, duplicate, replaced, bytes, group_id, loaded_at)
VALUES {entries};

-- name: stage_drop
-- A pooled connection keeps temporary tables otherwise.
DROP TABLE {stage};

-- name: fresh_drop
DROP TABLE {fresh};

-- name: load_error
-- Redshift's own words about the last COPY that failed on this file. The columns are blank-padded CHAR; names are cut.
SELECT TRIM(column_name), TRIM(error_message)
FROM sys_load_error_detail
WHERE TRIM(file_name) = {file}
ORDER BY start_time DESC
LIMIT 1;
