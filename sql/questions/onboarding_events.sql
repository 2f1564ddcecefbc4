-- What analysts ask about onboarding. Valid in Amazon Redshift and in PostgreSQL, times are UTC.

-- question: How many applicants reach each step, and what share is that of all who opened an account?
WITH reached AS (
    SELECT step, COUNT(DISTINCT applicant_id) AS applicants
    FROM lake.onboarding_events
    GROUP BY step
),
opened AS (
    SELECT COUNT(DISTINCT applicant_id) AS applicants
    FROM lake.onboarding_events
    WHERE step = 'account_opened'
)
SELECT
    reached.step,
    reached.applicants,
    CAST(100.0 * reached.applicants / NULLIF(opened.applicants, 0) AS DECIMAL(5, 1)) AS percent_of_opened
FROM reached
CROSS JOIN opened
ORDER BY reached.applicants DESC, reached.step
LIMIT 10;

-- question: How long does it take from opening an account to a signed contract, by the week of opening?
WITH onboardings AS (
    SELECT
        applicant_id,
        MIN(CASE WHEN step = 'account_opened' THEN event_time END) AS opened_at,
        MIN(signed_at) AS signed_at
    FROM lake.onboarding_events
    GROUP BY applicant_id
)
SELECT
    CAST(DATE_TRUNC('week', opened_at) AS DATE) AS week_opened,
    COUNT(*) AS applicants,
    COUNT(signed_at) AS contracts,
    CAST(AVG(EXTRACT(EPOCH FROM (signed_at - opened_at)) / 3600.0) AS DECIMAL(10, 1)) AS average_hours,
    CAST(MAX(EXTRACT(EPOCH FROM (signed_at - opened_at)) / 3600.0) AS DECIMAL(10, 1)) AS longest_hours
FROM onboardings
WHERE opened_at IS NOT NULL
GROUP BY DATE_TRUNC('week', opened_at)
ORDER BY week_opened DESC
LIMIT 10;

-- question: Which documents are refused most, through which channel, and how often because the picture is unreadable?
WITH checks AS (
    SELECT
        document_kind,
        channel,
        CASE WHEN check_result = 'refused' THEN 1 ELSE 0 END AS refused,
        -- Reported for refusals only, without a column of its own.
        JSON_EXTRACT_PATH_TEXT(JSON_SERIALIZE(rest), 'check', 'reason') AS reason
    FROM lake.onboarding_events
    WHERE step = 'document_checked'
)
SELECT
    document_kind,
    channel,
    COUNT(*) AS checks,
    SUM(refused) AS refusals,
    CAST(100.0 * SUM(refused) / COUNT(*) AS DECIMAL(5, 1)) AS percent_refused,
    SUM(CASE WHEN reason IN ('blurred', 'cropped', 'glare') THEN 1 ELSE 0 END) AS unreadable_pictures
FROM checks
GROUP BY document_kind, channel
ORDER BY percent_refused DESC, document_kind, channel
LIMIT 10;
