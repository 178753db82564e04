-- The last orders of each class of size, so that a filter by size finds some.
SELECT
    l.event_id AS event_id, l.ts_event AS ts_event, l.asset AS asset, l.venue AS venue,
    l.instrument AS instrument, l.position_side AS position_side,
    l.notional_usd AS notional_usd, l.quantity AS quantity, l.price AS price,
    l.price_kind AS price_kind, l.coverage AS coverage, l.orders AS orders,
    l.version AS version, l.removed AS removed
FROM liquidations AS l FINAL
WHERE l.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalHour(24) AND l.ts_event <= {at:DateTime64(6, 'UTC')}
    AND ifNull(l.notional_usd, 0) >= {usd:Float64}
ORDER BY l.ts_event DESC, l.event_id
LIMIT 100 BY multiIf(l.notional_usd >= 1e6, 3, l.notional_usd >= 1e5, 2, l.notional_usd >= 1e4, 1, 0)
