-- What analysts read: one table a dataset.

CREATE SCHEMA IF NOT EXISTS lake;
