-- Where the last 24 h of an asset's forced orders stood, by price: levels of a quarter of a per
-- cent, the highest first. Orders whose price no feed told stand behind them, without a level.
SELECT
    quote,
    exp(level / 400) AS price_from,
    exp((level + 1) / 400) AS price_to,
    sumIf(usd, position_side = 'long') AS long_usd,
    sumIf(usd, position_side = 'short') AS short_usd,
    sumIf(usd, position_side NOT IN ('long', 'short')) AS unknown_usd,
    sum(usd) AS notional_usd,
    sum(n) AS orders,
    arraySort(groupUniqArrayIf(price_kind, price_kind != '')) AS price_kinds,
    arrayStringConcat(arraySort(groupUniqArray(one_coverage)), ', ') AS coverage
FROM
(
    SELECT
        if(l.price IS NULL, '', splitByChar('-', toString(l.instrument))[2]) AS quote,
        floor(log(l.price) * 400) AS level,
        toString(l.position_side) AS position_side,
        ifNull(l.notional_usd, 0) AS usd,
        l.orders AS n,
        ifNull(toString(l.price_kind), '') AS price_kind,
        toString(l.coverage) AS one_coverage
    FROM liquidations AS l FINAL
    WHERE l.asset = {asset:String} AND NOT l.removed
        AND l.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalHour(24)
        AND l.ts_event <= {at:DateTime64(6, 'UTC')}
)
GROUP BY quote, level
ORDER BY quote = '', level DESC, quote
LIMIT 500
