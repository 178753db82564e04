-- Market-wide cascades of the last 24 h, or still open.
SELECT
    m.episode_id AS episode_id,
    argMax(m.phase, m.ts_event) AS phase,
    min(m.ts_onset) AS ts_onset,
    min(m.ts_detect) AS ts_detected,
    maxOrNullIf(m.ts_event, m.phase = 'closed') AS ts_end,
    arraySort(groupUniqArrayArray(m.assets)) AS assets,
    argMax(m.excess, m.ts_event) AS excess,
    argMax(m.threshold, m.ts_event) AS threshold,
    max(m.threshold_is_default) AS threshold_is_default,
    argMax(m.lead_assets, m.ts_event) AS lead_assets,
    argMax(tuple(m.lead_p_value), m.ts_event).1 AS lead_p_value,
    argMax(m.coverage, m.ts_event) AS coverage,
    arraySort(groupUniqArrayArray(m.silent)) AS silent
FROM market_cascades AS m FINAL
WHERE m.ts_detect <= {at:DateTime64(6, 'UTC')} AND m.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalDay(7)
GROUP BY m.episode_id
HAVING ts_onset > {at:DateTime64(6, 'UTC')} - toIntervalHour(24) OR phase != 'closed'
ORDER BY ts_onset DESC
