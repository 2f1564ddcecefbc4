-- The load transaction, in the order in which it runs. Names in braces are filled in by service/load/statements.py:
-- identifiers quoted, literals escaped. COPY goes by position, so every column list is written out.

-- name: ledger_lock
-- The first statement: two loaders of one dataset take turns. The target is never locked, so analysts never wait.
LOCK TABLE {ledger};

-- name: ledger_known
-- What the ledger says about these files. Only a read under the lock proves that a file is not loaded.
SELECT
  uri, etag, row_count, inserted, duplicate, replaced, bytes, group_id, loaded_at, batch_id, produced_at, superseded_at
FROM {ledger}
WHERE {condition};

-- name: stage_create
-- What COPY fills. The numbers make a row findable by a narrow key, so that wide rows are never sorted or joined.
CREATE TEMP TABLE {stage} (_row_number bigint IDENTITY(0, 1), {stage_columns});

-- name: copy
-- All files of the manifest or none.
COPY {stage} ({columns}) FROM {manifest} IAM_ROLE {role} FORMAT AS PARQUET {super_option} MANIFEST STATUPDATE OFF;

-- name: copy_count
-- The completion tag has no count; this has.
SELECT pg_last_copy_count();

-- name: stage_span
-- Between which event times the probe for duplicates has to look, where the dataset allows that.
SELECT MIN({event_time}), MAX({event_time}) FROM {stage};

-- name: fresh_create
-- The rows that go into the table: each record once, and only those that the table has not, or that supersede its own.
CREATE TEMP TABLE {fresh} AS
SELECT _row_number, _record_id, _raw_file, _moment, _replacing
FROM (
  SELECT
    staged._row_number,
    staged._record_id,
    staged._raw_file,
    TO_CHAR(staged.{cut_by}, {cut_format}) AS _moment,
    CASE WHEN present._record_id IS NULL THEN 0 ELSE 1 END AS _replacing,
    ROW_NUMBER() OVER (PARTITION BY staged._record_id ORDER BY {order}) AS _nth
  FROM {stage} AS staged
  LEFT JOIN {target} AS present ON present._record_id = staged._record_id{near}
  WHERE {yields}
) AS numbered
WHERE _nth = 1;

-- name: replayed_delete
-- A replay: what these raw files gave under another definition goes first.
DELETE FROM {target} WHERE _raw_file IN ({raw_files});

-- name: older_delete
-- A record with a higher version takes the place of the one that is there.
DELETE FROM {target} WHERE _record_id IN (SELECT _record_id FROM {fresh} WHERE _replacing = 1);

-- name: fresh_insert
-- Into the table that analysts read.
INSERT INTO {target} ({columns})
SELECT {parsed_columns} FROM {stage} WHERE _row_number IN (SELECT _row_number FROM {fresh});

-- name: fresh_counts
-- How many rows each file brought: a file is a raw file's rows of one partition.
SELECT _raw_file, _moment, COUNT(*), SUM(_replacing) FROM {fresh} GROUP BY 1, 2;

-- name: ledger_remove
-- Rows that are written anew below.
DELETE FROM {ledger} WHERE uri IN ({uris});

-- name: ledger_add
-- One row a file; row_count = inserted + duplicate + replaced.
INSERT INTO {ledger} (
  uri, etag, row_count, inserted, duplicate, replaced, bytes, group_id, loaded_at, batch_id, produced_at, superseded_at
)
VALUES {entries};

-- name: stage_drop
-- A pooled connection keeps temporary tables otherwise.
DROP TABLE {stage};

-- name: fresh_drop
DROP TABLE {fresh};

-- name: lock_holder
-- Who has the ledger's lock. Superusers see everybody's, other users their own.
SELECT held.pid, TRIM(held.txn_owner), held.txn_start
FROM svv_transactions AS held
INNER JOIN pg_class AS locked ON locked.oid = held.relation
INNER JOIN pg_namespace AS home ON home.oid = locked.relnamespace
WHERE home.nspname = {schema} AND locked.relname = {table} AND held.granted AND held.lock_mode = 'AccessExclusiveLock'
LIMIT 1;

-- name: load_errors
-- Redshift's own words about COPYs that failed on these files, the last first. CHAR is blank-padded; names are cut.
SELECT TRIM(file_name), TRIM(column_name), TRIM(error_message)
FROM sys_load_error_detail
WHERE TRIM(file_name) IN ({names})
ORDER BY start_time DESC
LIMIT 1000;
