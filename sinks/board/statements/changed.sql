-- What was counted of an episode, and what a sum over its orders as they are told now gives.
SELECT
    e.episode_id AS episode_id,
    any(e.counted_usd) AS counted_usd,
    sumIf(l.notional_usd, NOT l.removed) AS now_usd,
    countIf(l.version > 1 AND NOT l.removed) AS changed,
    countIf(l.removed) AS removed
FROM
(
    SELECT
        episode_id, any(asset) AS asset, any(c.position_side) AS position_side,
        min(ts_onset) AS began,
        ifNull(maxOrNullIf(c.ts_event, c.phase = 'closed') + toIntervalSecond(1),
            {at:DateTime64(6, 'UTC')}) AS ended,
        max(notional_usd) AS counted_usd
    FROM cascades AS c FINAL
    WHERE c.ts_detect <= {at:DateTime64(6, 'UTC')} AND c.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalDay(7)
    GROUP BY episode_id
    HAVING countIf(c.phase = 'corrected') > 0
) AS e
INNER JOIN
(
    SELECT asset, position_side, ts_event, notional_usd, version, removed
    FROM liquidations FINAL
    WHERE ts_event <= {at:DateTime64(6, 'UTC')} AND ts_event > {at:DateTime64(6, 'UTC')} - toIntervalDay(8)
) AS l ON l.asset = e.asset AND l.position_side = e.position_side
WHERE l.ts_event >= e.began AND l.ts_event < e.ended
GROUP BY e.episode_id
