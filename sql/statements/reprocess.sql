-- What sending back asks the warehouse. It reads only. Names in braces are filled in by service/wiring/reprocess.py.

-- name: loaded
-- How many of these records are in the table.
SELECT COUNT(DISTINCT _record_id)
FROM {target}
WHERE _record_id IN ({record_ids});

-- name: committed
-- What the ledger says about files of these landed batches; one that a replay put others in the place of counts too.
SELECT uri, batch_id, loaded_at, produced_at, superseded_at
FROM {ledger}
WHERE batch_id IN ({batches});
