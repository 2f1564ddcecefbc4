-- What was rejected, for Amazon Redshift Spectrum, straight from the errors zone. The same rows are in acequia.errors,
-- some minutes later; this is for a warehouse that shall not hold them, or for questions about all their versions.
--
-- Put your own in the place of these names before you run it, one statement at a time:
--   ERRORS_SCHEMA     the external schema that is made here, such as errors_lake
--   ERRORS_VIEWS      a schema of the warehouse for the views, such as analysts
--   ERRORS_DATABASE   the database of the Glue Data Catalog behind it, another one than Athena's: Spectrum does not
--                     project partitions, and would find no rows in Athena's table
--   ERRORS_ROLE       the ARN of an IAM role of the cluster, with rights on that database, s3:GetObject on
--                     ERRORS_ZONE/errors/* and s3:ListBucket for that prefix; with none on originals/ beside it
--   ERRORS_ZONE       what ACEQUIA_ERRORS_ZONE holds, without s3://, such as bank-lake-errors/events

CREATE EXTERNAL SCHEMA IF NOT EXISTS ERRORS_SCHEMA
FROM DATA CATALOG
DATABASE 'ERRORS_DATABASE'
IAM_ROLE 'ERRORS_ROLE'
CREATE EXTERNAL DATABASE IF NOT EXISTS;

-- Every version of every error row. Without partitions, so that none has to be added each day: Spectrum reads what lies
-- under the address, and every question reads all days.
CREATE EXTERNAL TABLE ERRORS_SCHEMA.errors_all (
  error_id varchar(64),
  fingerprint varchar(64),
  layer varchar(16),
  dataset varchar(63),
  code varchar(32),
  sentence varchar(2048),
  field varchar(1024),
  raw_file varchar(1024),
  row_index bigint,
  record_index bigint,
  message_id varchar(128),
  first_failed_at timestamp,
  last_failed_at timestamp,
  attempts integer,
  size_bytes bigint,
  preview varchar(4096),
  original_uri varchar(1024),
  state varchar(16),
  updated_at timestamp,
  round_id varchar(64),
  _record_id varchar(64),
  _received_at timestamp,
  _raw_file varchar(1024)
)
STORED AS PARQUET
LOCATION 's3://ERRORS_ZONE/errors/';

-- One row a rejected record and cause, in its latest version: what acequia.errors in the warehouse holds. A replay knows
-- nothing of a record's past, so its first failure and its attempts are those of all versions; there, of the latest.
CREATE OR REPLACE VIEW ERRORS_VIEWS.errors AS
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
  FROM ERRORS_SCHEMA.errors_all
) AS versions
WHERE nth = 1
WITH NO SCHEMA BINDING;

-- One row a cause, as acequia.failures in the warehouse.
CREATE OR REPLACE VIEW ERRORS_VIEWS.failures AS
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
  FROM ERRORS_VIEWS.errors
  GROUP BY fingerprint
) AS causes
WITH NO SCHEMA BINDING;
