-- What the warehouse says about users, roles and what rights can be given on. Superusers see all of it.

-- name: login
-- Who we are, and whether as a superuser.
SELECT usename, usesuper FROM pg_user WHERE usename = current_user;

-- name: roles
SELECT role_name FROM svv_roles;

-- name: nested
-- Which role has which.
SELECT role_name, granted_role_name FROM svv_role_grants;

-- name: holders
-- Which users have which role.
SELECT user_name, role_name FROM svv_user_grants;

-- name: relations
-- Tables and views, and who owns them.
SELECT home.nspname, made.relname, owner.usename
FROM pg_class AS made
INNER JOIN pg_namespace AS home ON home.oid = made.relnamespace
INNER JOIN pg_user AS owner ON owner.usesysid = made.relowner
WHERE home.nspname IN ({schemas}) AND made.relkind IN ('r', 'v');

-- name: external_schemas
SELECT schemaname FROM svv_external_schemas;
