-- What a producer missed in the last 24 h, by its own word.
SELECT DISTINCT f.producer AS producer, f.state AS state, f.ts_event AS ts_event, f.reason AS reason
FROM feed_status AS f FINAL
WHERE f.state NOT IN ('alive', 'connected') AND f.ts_event <= {at:DateTime64(6, 'UTC')}
    AND f.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalHour(24)
ORDER BY f.ts_event DESC, f.producer, f.state
LIMIT 50
