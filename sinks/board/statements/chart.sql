-- Price, taker flow and forced USD of one asset on one time axis.
SELECT
    toUnixTimestamp(t) AS t,
    sum(traded_usd) / nullIf(sum(quantity), 0) AS price,
    maxOrNull(high) AS high,
    minOrNull(low) AS low,
    sum(long_usd) AS long_usd,
    sum(short_usd) AS short_usd,
    sum(unknown_usd) AS unknown_usd,
    sum(buy_usd) AS buy_usd,
    sum(sell_usd) AS sell_usd
FROM
(
    SELECT
        toStartOfInterval(b.ts_open, toIntervalSecond({step:UInt32})) AS t,
        b.buy_usd + b.sell_usd AS traded_usd, b.quantity AS quantity,
        toNullable(b.high) AS high, toNullable(b.low) AS low,
        b.buy_usd AS buy_usd, b.sell_usd AS sell_usd,
        0. AS long_usd, 0. AS short_usd, 0. AS unknown_usd
    FROM bars AS b FINAL
    WHERE b.asset = {asset:String} AND b.width <= 60000000
        AND b.ts_open >= {since:DateTime64(6, 'UTC')} AND b.ts_open <= {at:DateTime64(6, 'UTC')}
    UNION ALL
    SELECT
        toStartOfInterval(l.ts_event, toIntervalSecond({step:UInt32})) AS t,
        0., 0., NULL, NULL, 0., 0.,
        if(l.position_side = 'long', ifNull(l.notional_usd, 0), 0),
        if(l.position_side = 'short', ifNull(l.notional_usd, 0), 0),
        if(l.position_side NOT IN ('long', 'short'), ifNull(l.notional_usd, 0), 0)
    FROM liquidations AS l FINAL
    WHERE l.asset = {asset:String} AND NOT l.removed
        AND l.ts_event >= {since:DateTime64(6, 'UTC')} AND l.ts_event <= {at:DateTime64(6, 'UTC')}
)
GROUP BY t
ORDER BY t
