-- What was rejected, for Amazon Athena (engine version 3), straight from the errors zone.
--
-- Put your own in the place of these names before you run it, one statement at a time:
--   ERRORS_DATABASE   a database of the Glue Data Catalog, such as lake_errors
--   ERRORS_ZONE       what ACEQUIA_ERRORS_ZONE holds, without s3://, such as bank-lake-errors/events
--   FIRST_DAY         the day on which the service began to run, such as 2026-01-01
-- Who asks needs s3:GetObject on ERRORS_ZONE/errors/* and s3:ListBucket for that prefix. The originals lie beside it,
-- under originals/: give no right on those with it.

-- Every version of every error row. No partition has to be added: Athena works out the days by itself.
CREATE EXTERNAL TABLE IF NOT EXISTS ERRORS_DATABASE.errors_all (
  `error_id` string,
  `fingerprint` string,
  `layer` string,
  `dataset` string,
  `code` string,
  `sentence` string,
  `field` string,
  `raw_file` string,
  `row_index` bigint,
  `record_index` bigint,
  `message_id` string,
  `first_failed_at` timestamp,
  `last_failed_at` timestamp,
  `attempts` int,
  `size_bytes` bigint,
  `preview` string,
  `original_uri` string,
  `state` string,
  `updated_at` timestamp,
  `round_id` string,
  `_record_id` string,
  `_received_at` timestamp,
  `_raw_file` string
)
PARTITIONED BY (`dt` string)
STORED AS PARQUET
LOCATION 's3://ERRORS_ZONE/errors/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = 'FIRST_DAY,NOW+1DAYS',
  'projection.dt.interval' = '1',
  'projection.dt.interval.unit' = 'DAYS',
  'storage.location.template' = 's3://ERRORS_ZONE/errors/dt=${dt}/'
);

-- One row a rejected record and cause, in its latest version: what acequia.errors in the warehouse holds. A replay knows
-- nothing of a record's past, so its first failure and its attempts are those of all versions; there, of the latest.
-- It reads all days, because versions of one row may lie on several; for a few days ask errors_all, with dt.
CREATE OR REPLACE VIEW ERRORS_DATABASE.errors AS
SELECT
  error_id,
  fingerprint,
  layer,
  dataset,
  code,
  sentence,
  field,
  raw_file,
  row_index,
  record_index,
  message_id,
  first_of_all AS first_failed_at,
  last_failed_at,
  most_attempts AS attempts,
  size_bytes,
  preview,
  original_uri,
  state,
  updated_at,
  round_id,
  "_record_id",
  "_received_at",
  "_raw_file"
FROM (
  SELECT
    *,
    MIN(first_failed_at) OVER (PARTITION BY error_id) AS first_of_all,
    MAX(attempts) OVER (PARTITION BY error_id) AS most_attempts,
    ROW_NUMBER() OVER (PARTITION BY error_id ORDER BY updated_at DESC, "_received_at", "_raw_file") AS nth
  FROM ERRORS_DATABASE.errors_all
) AS versions
WHERE nth = 1;

-- One row a cause, as acequia.failures in the warehouse.
CREATE OR REPLACE VIEW ERRORS_DATABASE.failures AS
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
  CASE
    WHEN records_open > 0 THEN 'open'
    WHEN records_parked > 0 THEN 'parked'
    WHEN records_reprocessed > 0 THEN 'reprocessed'
    ELSE 'resolved'
  END AS state
FROM (
  SELECT
    fingerprint,
    MIN(layer) AS layer,
    MIN(dataset) AS dataset,
    MIN(code) AS code,
    MIN(field) AS field,
    MIN(sentence) AS sentence,
    COUNT(*) AS records,
    SUM(CASE WHEN state = 'open' THEN 1 ELSE 0 END) AS records_open,
    SUM(CASE WHEN state = 'reprocessed' THEN 1 ELSE 0 END) AS records_reprocessed,
    SUM(CASE WHEN state = 'resolved' THEN 1 ELSE 0 END) AS records_resolved,
    SUM(CASE WHEN state = 'parked' THEN 1 ELSE 0 END) AS records_parked,
    MIN(first_failed_at) AS first_failed_at,
    MAX(last_failed_at) AS last_failed_at
  FROM ERRORS_DATABASE.errors
  GROUP BY fingerprint
) AS causes;
