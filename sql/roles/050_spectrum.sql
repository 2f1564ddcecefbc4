-- acequia_spectrum: asks the errors zone itself, through the external schema of sql/spectrum/errors.sql. Rights on
-- external tables come with the schema; Spectrum makes temporary tables of its own.

CREATE ROLE acequia_spectrum;

GRANT TEMP ON DATABASE {database} TO ROLE acequia_spectrum;

-- Only where there is errors_lake
GRANT USAGE ON SCHEMA errors_lake TO ROLE acequia_spectrum;
