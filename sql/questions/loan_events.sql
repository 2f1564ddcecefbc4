-- What analysts ask about loan applications. Valid in Amazon Redshift and in PostgreSQL, times are UTC.

-- question: How many applications reach each state, and what share is that of all that were submitted?
WITH reached AS (
    SELECT step, COUNT(DISTINCT application_id) AS applications
    FROM lake.loan_events
    WHERE SUBSTRING(step, 1, 2) = 'A_'
    GROUP BY step
),
submitted AS (
    SELECT COUNT(DISTINCT application_id) AS applications
    FROM lake.loan_events
    WHERE step = 'A_SUBMITTED'
)
SELECT
    reached.step AS application_state,
    reached.applications,
    CAST(100.0 * reached.applications / NULLIF(submitted.applications, 0) AS DECIMAL(5, 1)) AS percent_of_submitted
FROM reached
CROSS JOIN submitted
ORDER BY reached.applications DESC, reached.step
LIMIT 10;

-- question: How much money is asked for each month, how much of it is approved, and after how many days?
WITH applications AS (
    SELECT
        application_id,
        MAX(amount_requested) AS amount_requested,
        MIN(registered_at) AS registered_at,
        MIN(CASE WHEN step = 'A_APPROVED' THEN event_time END) AS approved_at
    FROM lake.loan_events
    GROUP BY application_id
)
SELECT
    CAST(DATE_TRUNC('month', registered_at) AS DATE) AS month_registered,
    COUNT(*) AS applications,
    SUM(amount_requested) AS amount_asked,
    COUNT(approved_at) AS approved,
    SUM(CASE WHEN approved_at IS NOT NULL THEN amount_requested ELSE 0 END) AS amount_approved,
    CAST(AVG(EXTRACT(EPOCH FROM (approved_at - registered_at)) / 86400.0) AS DECIMAL(10, 1)) AS average_days
FROM applications
WHERE registered_at IS NOT NULL
GROUP BY DATE_TRUNC('month', registered_at)
ORDER BY month_registered DESC
LIMIT 10;

-- question: Which work queues hold the most work, for how many applications, and how often is nobody named?
WITH work AS (
    SELECT
        -- The queue has no column of its own.
        JSON_EXTRACT_PATH_TEXT(JSON_SERIALIZE(rest), 'work_item', 'queue') AS work_queue,
        application_id,
        transition,
        user_id
    FROM lake.loan_events
    WHERE SUBSTRING(step, 1, 2) = 'W_'
)
SELECT
    work_queue,
    COUNT(DISTINCT application_id) AS applications,
    SUM(CASE WHEN transition = 'START' THEN 1 ELSE 0 END) AS sessions,
    CAST(100.0 * SUM(CASE WHEN user_id IS NULL THEN 1 ELSE 0 END) / COUNT(*) AS DECIMAL(5, 1)) AS percent_nobody_named
FROM work
GROUP BY work_queue
ORDER BY sessions DESC, work_queue
LIMIT 10;
