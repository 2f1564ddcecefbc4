-- What has been applied. Run at every migration before anything else, so it must change nothing the second time.

CREATE SCHEMA IF NOT EXISTS acequia;

CREATE TABLE IF NOT EXISTS acequia.schema_migrations (
  name varchar(128) NOT NULL ENCODE zstd,
  checksum varchar(64) NOT NULL ENCODE zstd,
  applied_at timestamp NOT NULL ENCODE raw
) DISTSTYLE ALL COMPOUND SORTKEY (applied_at);
