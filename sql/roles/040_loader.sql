-- acequia_loader: the tasks of the service. COPY goes into temporary tables; INSERT adds to the dataset's table and its
-- ledger, DELETE is for what a replay or a higher version replaces, and LOCK of the ledger needs it.

CREATE ROLE acequia_loader;

GRANT TEMP ON DATABASE {database} TO ROLE acequia_loader;

GRANT USAGE ON SCHEMA lake, acequia TO ROLE acequia_loader;

GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA lake, acequia TO ROLE acequia_loader;

ALTER DEFAULT PRIVILEGES FOR USER {makers} IN SCHEMA lake, acequia
GRANT SELECT, INSERT, DELETE ON TABLES TO ROLE acequia_loader;

-- What migrations have done is none of its business. Only where there is acequia.schema_migrations
REVOKE ALL ON acequia.schema_migrations FROM ROLE acequia_loader;

-- Counts only where the admin has taken ASSUMEROLE from PUBLIC.
GRANT ASSUMEROLE ON {copy_role} TO ROLE acequia_loader FOR COPY;
