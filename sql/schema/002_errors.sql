-- What was rejected, one row a record. The quarantine layer fills it with COPY, as any dataset's table is filled.

CREATE TABLE IF NOT EXISTS acequia.errors (
  -- The same failure of the same record has the same id, however often it is reported.
  error_id varchar(64) NOT NULL ENCODE zstd,
  -- What failures of one kind share: one cause, many records.
  fingerprint varchar(64) NOT NULL ENCODE zstd,
  -- Which layer rejected it: land, refine or load.
  layer varchar(16) NOT NULL ENCODE zstd,
  -- NULL where the message named none.
  dataset varchar(63) ENCODE zstd,
  code varchar(32) NOT NULL ENCODE zstd,
  -- What is wrong, without values.
  sentence varchar(2048) NOT NULL ENCODE zstd,
  -- The column, or the path in the record where no column maps it; NULL where the fault lies in no single field.
  field varchar(1024) ENCODE zstd,
  -- The landed file that the record lies in; NULL where it was rejected before it had landed.
  raw_file varchar(1024) ENCODE zstd,
  -- The message's row in that file, from 0.
  row_index bigint ENCODE az64,
  -- The record's place in that message, from 0.
  record_index bigint ENCODE az64,
  -- The message in which it first arrived.
  message_id varchar(128) ENCODE zstd,
  -- It stays what it is when the record fails again.
  first_failed_at timestamp NOT NULL ENCODE raw,
  last_failed_at timestamp NOT NULL ENCODE az64,
  attempts integer NOT NULL ENCODE az64,
  -- Of the original, as it arrived.
  size_bytes bigint ENCODE az64,
  -- The beginning of the original, masked.
  preview varchar(4096) ENCODE zstd,
  -- Where the original lies, byte for byte; few may read it.
  original_uri varchar(1024) ENCODE zstd,
  -- As in every dataset's table. This raw file is the one that this row came in.
  _record_id varchar(64) NOT NULL ENCODE zstd,
  _received_at timestamp NOT NULL ENCODE az64,
  _raw_file varchar(1024) NOT NULL ENCODE zstd
) DISTSTYLE AUTO COMPOUND SORTKEY (first_failed_at);
