-- What replay and reconcile ask the warehouse. They read only. Names in braces are filled in by service/upkeep/books.py.

-- name: booked
-- What the ledger says about files of the batches that arrived on a day. Older versions wrote no batch: the address has it.
SELECT uri, row_count, inserted, duplicate, replaced, bytes, produced_at, superseded_at
FROM {ledger}
WHERE batch_id LIKE {batches} OR (batch_id IS NULL AND uri LIKE {addresses});

-- name: table_rows
-- Rows that analysts see, by the raw file that brought them.
SELECT _raw_file, COUNT(*)
FROM {target}
WHERE LEFT(_raw_file, {length}) = {prefix}
GROUP BY _raw_file;

-- name: twice
-- Records of a day that stand in the table more than once, wherever their other rows came from.
SELECT COUNT(*)
FROM (
  SELECT _record_id
  FROM {target}
  WHERE _record_id IN (SELECT _record_id FROM {target} WHERE LEFT(_raw_file, {length}) = {prefix})
  GROUP BY _record_id
  HAVING COUNT(*) > 1
) AS more_than_once;

-- name: busiest
-- The most rows that were loaded within an hour, or a minute, lately: what this set-up has shown that it can do.
SELECT MAX(together)
FROM (
  SELECT SUM(row_count) AS together
  FROM {ledger}
  WHERE loaded_at >= {since}
  GROUP BY DATE_TRUNC({unit}, loaded_at)
) AS loaded;
