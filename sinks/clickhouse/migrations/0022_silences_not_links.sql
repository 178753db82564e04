-- A feed of live venues also tells when a link stands and what is missing for good (`connected`,
-- `gap`): neither ends a silence.
CREATE OR REPLACE VIEW feed_gaps AS
SELECT
    producer, part, ts_from, ts_to,
    if(ts_to IS NULL, NULL, dateDiff('microsecond', ts_from, ts_to) / 1000000) AS seconds,
    reason
FROM
(
    SELECT
        f.producer AS producer, f.part AS part, f.state AS state, f.reason AS reason,
        f.ts_event AS ts_from,
        lagInFrame(toString(f.state), 1, '') OVER of_part AS state_before,
        if(countIf(f.state != 'silent') OVER behind > 0,
            minOrNullIf(f.ts_event, f.state != 'silent') OVER behind, NULL) AS ts_to
    FROM feed_status AS f FINAL
    WHERE f.state NOT IN ('connected', 'gap')
    WINDOW
        of_part AS (PARTITION BY f.producer, f.part ORDER BY f.ts_event
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING),
        behind AS (PARTITION BY f.producer, f.part ORDER BY f.ts_event
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
)
WHERE state = 'silent' AND state_before != 'silent';
