-- An episode by price: levels of 10 basis points, in the order in which orders were forced there.
WITH episode AS
(
    SELECT
        any(c.asset) AS asset, any(c.position_side) AS position_side,
        toStartOfSecond(min(c.ts_onset)) AS began,
        ifNull(maxOrNullIf(c.ts_event, c.phase = 'closed') + toIntervalSecond(1),
            {at:DateTime64(6, 'UTC')}) AS ended,
        argMax(tuple(c.price_before), (c.ts_event, c.notional_usd)).1 AS price_before
    FROM cascades AS c FINAL
    WHERE c.episode_id = {episode:String} AND c.ts_detect <= {at:DateTime64(6, 'UTC')}
)
SELECT
    round((p.price / p.price_before - 1) * 1000) * 10 AS level_bps,
    p.price_before * (1 + level_bps / 10000) AS price,
    min(f.t) AS ts_first,
    sum(f.usd) AS notional_usd,
    sum(f.orders) AS orders
FROM
(
    SELECT
        toStartOfSecond(l.ts_event) AS t, sum(l.notional_usd) AS usd, sum(l.orders) AS orders,
        1 AS one
    FROM liquidations AS l FINAL
    WHERE NOT l.removed AND l.asset = (SELECT asset FROM episode)
        AND l.position_side = (SELECT position_side FROM episode)
        AND l.ts_event >= (SELECT began FROM episode) AND l.ts_event < (SELECT ended FROM episode)
    GROUP BY t
) AS f
ASOF INNER JOIN
(
    SELECT
        b.ts_open AS t, sum(b.buy_usd + b.sell_usd) / sum(b.quantity) AS price, 1 AS one,
        (SELECT price_before FROM episode) AS price_before
    FROM bars AS b FINAL
    WHERE b.asset = (SELECT asset FROM episode)
        AND b.ts_open >= (SELECT began FROM episode) - toIntervalMinute(2)
        AND b.ts_open < (SELECT ended FROM episode)
    GROUP BY b.ts_open
    HAVING sum(b.quantity) > 0
) AS p ON f.one = p.one AND f.t >= p.t
WHERE p.price_before IS NOT NULL
GROUP BY level_bps, p.price_before
ORDER BY ts_first, level_bps
LIMIT 200
