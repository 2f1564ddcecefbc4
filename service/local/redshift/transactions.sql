-- SVV_TRANSACTIONS (AWS: SVV_TRANSACTIONS): the locks of open transactions, from PostgreSQL's own. Redshift has three
-- modes for a table. Who writes holds ShareRowExclusiveLock there; here that is the turn of locks.sql, or the lock that
-- PostgreSQL gives a writer where no turn is taken (temporary tables) or it was not come to yet.
-- The number of a transaction is NULL until it has one here, which is when it first writes.

CREATE OR REPLACE FUNCTION redshift.held_locks() RETURNS TABLE (
    txn_owner text, txn_db text, xid bigint, pid integer, txn_start timestamp, lock_mode text,
    lockable_object_type text, relation integer, granted boolean
) LANGUAGE sql STABLE SECURITY DEFINER
BEGIN ATOMIC
    WITH named AS (
        SELECT l.pid, l.granted,
            CASE
                WHEN l.locktype = 'virtualxid' THEN 'ExclusiveLock'
                WHEN l.locktype = 'advisory' OR l.mode = 'RowExclusiveLock' THEN 'ShareRowExclusiveLock'
                ELSE l.mode
            END AS mode,
            CASE l.locktype WHEN 'virtualxid' THEN 'transactionid' ELSE 'relation' END AS kind,
            CASE l.locktype WHEN 'advisory' THEN l.objid WHEN 'relation' THEN l.relation END AS relation,
            l.locktype = 'advisory' AS is_turn
        FROM pg_catalog.pg_locks l
        WHERE (l.locktype = 'relation' AND l.mode IN ('AccessShareLock', 'RowExclusiveLock', 'AccessExclusiveLock'))
            OR (l.locktype = 'advisory' AND l.classid = 5439)
            OR (l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock')
    )
    SELECT a.usename::text, a.datname::text, a.backend_xid::text::bigint, a.pid, a.xact_start AT TIME ZONE 'UTC',
        n.mode, n.kind, n.relation::bigint::integer, n.granted
    FROM named n
    JOIN pg_catalog.pg_stat_activity a ON a.pid = n.pid
    LEFT JOIN pg_catalog.pg_class c ON c.oid = n.relation
    WHERE a.usename <> 'standin'
        AND (n.relation IS NULL OR (c.relkind IN ('r', 'v') AND c.relnamespace <> 'redshift'::regnamespace))
        AND (n.is_turn OR n.mode <> 'ShareRowExclusiveLock' OR NOT EXISTS (
            SELECT FROM named turn WHERE turn.is_turn AND turn.pid = n.pid AND turn.relation = n.relation
        ));
END;

CREATE OR REPLACE VIEW pg_catalog.svv_transactions AS
SELECT * FROM redshift.held_locks() WHERE txn_owner = current_user OR current_user = 'acequia';
GRANT SELECT ON pg_catalog.svv_transactions TO PUBLIC;
