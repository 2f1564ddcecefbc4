-- name: service_schema
-- The service's own tables: ledgers.
CREATE SCHEMA IF NOT EXISTS acequia;

-- name: lake_schema
-- What analysts read: one table a dataset.
CREATE SCHEMA IF NOT EXISTS lake;
