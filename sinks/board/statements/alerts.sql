-- What people were told in the last 24 h.
SELECT
    alert_id, ts_detect, ts_event, kind, tier, severity, asset, title, text, dedup_key
FROM alerts FINAL
WHERE ts_detect <= {at:DateTime64(6, 'UTC')} AND ts_detect > {at:DateTime64(6, 'UTC')} - toIntervalHour(24)
ORDER BY ts_detect DESC, alert_id
LIMIT 200
