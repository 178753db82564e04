-- When each venue last told a forced order and a trade.
SELECT
    if(l.venue != '', l.venue, b.venue) AS venue,
    l.coverage AS coverage,
    if(l.orders > 0, toNullable(l.last), NULL) AS ts_forced,
    l.lately AS orders_5m,
    l.usd_lately AS usd_5m,
    if(b.bars > 0, toNullable(b.last), NULL) AS ts_trades
FROM
(
    SELECT
        toString(venue) AS venue,
        arrayStringConcat(arraySort(groupUniqArray(toString(f.coverage))), ', ') AS coverage,
        count() AS orders, max(f.ts_event) AS last,
        sumIf(f.orders, f.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalMinute(5)) AS lately,
        sumIf(f.notional_usd, f.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalMinute(5)) AS usd_lately
    FROM liquidations AS f FINAL
    WHERE f.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalHour(24) AND f.ts_event <= {at:DateTime64(6, 'UTC')} AND NOT f.removed
    GROUP BY venue
) AS l
FULL JOIN
(
    SELECT toString(venue) AS venue, count() AS bars, max(ts_open) AS last FROM bars
    WHERE ts_open > {at:DateTime64(6, 'UTC')} - toIntervalHour(24) AND ts_open <= {at:DateTime64(6, 'UTC')}
    GROUP BY venue
) AS b ON l.venue = b.venue
ORDER BY venue
