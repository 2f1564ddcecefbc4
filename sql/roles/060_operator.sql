-- acequia_operator: who migrates, reconciles, replays and sends back. Makes tables, and alters and drops those that are
-- its own: Redshift leaves that to a table's owner. The other commands read.

CREATE ROLE acequia_operator;

GRANT ROLE acequia_bi TO ROLE acequia_operator;

GRANT CREATE ON DATABASE {database} TO ROLE acequia_operator;

GRANT USAGE, CREATE ON SCHEMA lake, acequia TO ROLE acequia_operator;

GRANT SELECT ON ALL TABLES IN SCHEMA acequia TO ROLE acequia_operator;

ALTER DEFAULT PRIVILEGES FOR USER {makers} IN SCHEMA acequia GRANT SELECT ON TABLES TO ROLE acequia_operator;

-- Only where there is acequia.schema_migrations
GRANT INSERT, DELETE ON acequia.schema_migrations TO ROLE acequia_operator;
