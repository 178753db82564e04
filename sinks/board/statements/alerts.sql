-- What people were told in the last 24 h, and what became of it: of the latter as of now.
SELECT
    a.alert_id AS alert_id, a.ts_detect AS ts_detect, a.ts_event AS ts_event, a.kind AS kind,
    a.tier AS tier, a.severity AS severity, a.asset AS asset, a.title AS title, a.text AS text,
    a.dedup_key AS dedup_key, d.delivery AS delivery
FROM alerts AS a FINAL
LEFT JOIN
(
    SELECT
        alert_id,
        arrayStringConcat(arraySort(groupUniqArray(concat(
            if(endpoint = '', '', concat(endpoint, ': ')),
            multiIf(
                state = 'delivered', 'delivered',
                state = 'dead', concat('given up, ', error),
                state = 'held', concat('kept back, ', why),
                error = '', 'waiting', concat('waiting, ', error)
            )
        ))), '; ') AS delivery
    FROM deliveries
    ARRAY JOIN alert_ids AS alert_id
    GROUP BY alert_id
) AS d ON d.alert_id = a.alert_id
WHERE a.ts_detect <= {at:DateTime64(6, 'UTC')}
    AND a.ts_detect > {at:DateTime64(6, 'UTC')} - toIntervalHour(24)
ORDER BY a.ts_detect DESC, a.alert_id
LIMIT 200
