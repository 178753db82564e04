-- The steps in the life of an asset's episodes.
SELECT
    c.episode_id AS episode_id, c.position_side AS position_side, c.phase AS phase,
    c.wave AS wave, c.ts_onset AS ts_onset, c.ts_event AS ts_event, c.log_rate AS log_rate
FROM cascades AS c FINAL
WHERE c.asset = {asset:String} AND c.ts_detect <= {at:DateTime64(6, 'UTC')}
    AND c.ts_event >= {since:DateTime64(6, 'UTC')} AND c.phase != 'corrected'
ORDER BY c.ts_event, c.finding_id
LIMIT 2000
