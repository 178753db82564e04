-- How near is the next alarm? The last score of each position side within ten minutes.
SELECT
    s.asset AS asset, s.position_side AS position_side,
    argMax(s.log_rate, s.ts_event) AS log_rate,
    argMax(s.threshold, s.ts_event) AS threshold,
    threshold - log_rate AS distance,
    max(s.log_rate - s.threshold) AS largest_excess,
    argMax(s.threshold_is_default, s.ts_event) AS threshold_is_default,
    argMax(s.score_name, s.ts_event) AS score_name,
    argMax(s.coverage, s.ts_event) AS coverage,
    max(s.ts_event) AS ts_event
FROM scores AS s FINAL
WHERE s.ts_detect <= {at:DateTime64(6, 'UTC')}
    AND s.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalMinute(10)
GROUP BY s.asset, s.position_side
ORDER BY distance, asset, position_side
LIMIT 100
