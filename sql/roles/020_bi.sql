-- acequia_bi: dashboards. Reads what is loaded, and the views about loads and failures; writes nothing.

CREATE ROLE acequia_bi;

GRANT USAGE ON SCHEMA lake, acequia TO ROLE acequia_bi;

GRANT SELECT ON ALL TABLES IN SCHEMA lake TO ROLE acequia_bi;

ALTER DEFAULT PRIVILEGES FOR USER {makers} IN SCHEMA lake GRANT SELECT ON TABLES TO ROLE acequia_bi;

-- Only where there is acequia.failures
GRANT SELECT ON acequia.failures TO ROLE acequia_bi;

-- Only where there is acequia.load_ledger
GRANT SELECT ON acequia.load_ledger TO ROLE acequia_bi;
