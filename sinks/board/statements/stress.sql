-- Price and takers running one way far beyond the usual, by minute bars alone: no liquidation.
SELECT
    s.episode_id AS episode_id, any(s.asset) AS asset,
    argMax(s.phase, s.ts_event) AS phase,
    min(s.ts_onset) AS ts_onset, min(s.ts_detect) AS ts_detected,
    maxOrNullIf(s.ts_event, s.phase = 'closed') AS ts_end,
    max(s.stress) AS stress, argMax(s.threshold, s.ts_event) AS threshold,
    max(s.threshold_is_default) AS threshold_is_default,
    argMax(s.cvd_usd, s.stress) AS cvd_usd, argMax(s.move_bps, s.stress) AS move_bps,
    arraySort(groupUniqArrayArray(s.venues)) AS venues
FROM stress AS s FINAL
WHERE s.ts_detect <= {at:DateTime64(6, 'UTC')}
    AND s.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalDay(7)
GROUP BY s.episode_id
HAVING ts_onset > {at:DateTime64(6, 'UTC')} - toIntervalHour(24) OR phase != 'closed'
ORDER BY ts_onset DESC, episode_id
LIMIT 50
