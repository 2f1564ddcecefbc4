-- acequia_analyst: people with SQL. Reads what BI reads and the rejected records; makes tables in the sandbox alone.

CREATE ROLE acequia_analyst;

GRANT ROLE acequia_bi TO ROLE acequia_analyst;

GRANT USAGE, CREATE ON SCHEMA sandbox TO ROLE acequia_analyst;

GRANT TEMP ON DATABASE {database} TO ROLE acequia_analyst;

-- Only where there is acequia.errors
GRANT SELECT ON acequia.errors TO ROLE acequia_analyst;
