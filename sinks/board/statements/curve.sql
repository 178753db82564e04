-- The score of an asset's position sides against the threshold, over time.
SELECT
    toUnixTimestamp(toStartOfInterval(s.ts_event, toIntervalSecond({step:UInt32}))) AS t,
    maxOrNullIf(s.log_rate, s.position_side = 'long') AS long_score,
    maxOrNullIf(s.log_rate, s.position_side = 'short') AS short_score,
    maxOrNullIf(s.log_rate, s.position_side NOT IN ('long', 'short')) AS unknown_score,
    min(s.threshold) AS threshold
FROM scores AS s FINAL
WHERE s.asset = {asset:String}
    AND s.ts_event >= {since:DateTime64(6, 'UTC')} AND s.ts_detect <= {at:DateTime64(6, 'UTC')}
GROUP BY t
ORDER BY t
