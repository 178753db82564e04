-- Feeds that fell silent and have not come back.
SELECT
    dedup_key, argMax(a.kind, a.ts_detect) AS kind, argMax(a.title, a.ts_detect) AS title,
    argMax(a.text, a.ts_detect) AS text, max(a.ts_event) AS ts_event
FROM alerts AS a FINAL
WHERE a.kind IN ('feed.silent', 'feed.recovered') AND a.ts_detect <= {at:DateTime64(6, 'UTC')}
GROUP BY dedup_key
HAVING kind = 'feed.silent'
ORDER BY title
