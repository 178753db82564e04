-- Records that could not be used, by reason; of all time.
SELECT
    topic, splitByString(', first seen', d.reason)[1] AS reason, count() AS letters,
    max(d.ts_recv) AS ts_recv
FROM dead_letters AS d FINAL
GROUP BY topic, reason
ORDER BY letters DESC, topic, reason
LIMIT 10
