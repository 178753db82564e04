-- The last 24 h by asset and venue: what was seen, which is a lower bound wherever coverage is not
-- full, and what it was in all with what throttles hid, as the view totals_24h has it.
SELECT
    b.asset AS asset, b.venue AS venue, b.coverage AS coverage, b.orders AS orders,
    b.long_usd AS long_usd, b.short_usd AS short_usd, b.unknown_usd AS unknown_usd,
    b.usd AS notional_usd,
    t.estimate_usd AS estimate_usd, t.estimate_low_usd AS estimate_low_usd,
    t.estimate_high_usd AS estimate_high_usd,
    b.largest AS largest_order_usd, b.largest_at AS ts_largest
FROM
(
    SELECT
        asset, venue,
        arrayStringConcat(arraySort(groupUniqArray(toString(l.coverage))), ', ') AS coverage,
        sum(l.orders) AS orders,
        sumIf(l.notional_usd, l.position_side = 'long') AS long_usd,
        sumIf(l.notional_usd, l.position_side = 'short') AS short_usd,
        sumIf(l.notional_usd, l.position_side NOT IN ('long', 'short')) AS unknown_usd,
        sum(l.notional_usd) AS usd,
        maxOrNullIf(l.notional_usd, l.orders = 1) AS largest,
        argMaxIf(l.ts_event, l.notional_usd, l.orders = 1) AS largest_at
    FROM liquidations AS l FINAL
    WHERE NOT l.removed AND l.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalHour(24) AND l.ts_event <= {at:DateTime64(6, 'UTC')}
    GROUP BY asset, venue
) AS b
LEFT JOIN
(
    SELECT
        s.asset AS asset, s.venue AS venue,
        if(countIf(s.hidden IS NULL) > 0, NULL, sum(s.usd + s.hidden * m.middle)) AS estimate_usd,
        if(countIf(s.hidden IS NULL) > 0, NULL, sum(s.usd + s.hidden * m.low)) AS estimate_low_usd,
        if(countIf(s.hidden IS NULL) > 0, NULL, sum(s.usd + s.hidden * m.high)) AS estimate_high_usd
    FROM
    (
        SELECT
            asset, venue, coverage, sum(usd) AS usd,
            if(countIf(hidden_usd IS NULL) > 0, NULL, sum(hidden_usd)) AS hidden,
            toFloat64(ifNull(hidden / nullIf(usd, 0), 0)) AS share
        FROM
        (
            SELECT
                l.asset AS asset, l.venue AS venue, l.instrument AS instrument,
                toString(l.coverage) AS coverage,
                sum(l.notional_usd) AS usd,
                least(uniqExact(toUnixTimestamp(l.ts_event)) / 30, 1 - 0.5 / 30) AS active,
                multiIf(
                    l.coverage = 'full', toNullable(0.),
                    l.coverage NOT IN ('latest_per_second', 'largest_per_second')
                        OR max(l.orders) > 1, NULL,
                    (-log(1 - active) / active - 1) * usd
                ) AS hidden_usd
            FROM liquidations AS l FINAL
            WHERE NOT l.removed
                AND l.ts_event > {at:DateTime64(6, 'UTC')} - toIntervalHour(24)
                AND l.ts_event <= {at:DateTime64(6, 'UTC')}
            GROUP BY
                l.kafka_topic, l.asset, l.venue, l.instrument, l.position_side, l.coverage,
                toStartOfInterval(l.ts_event, INTERVAL 30 SECOND)
        )
        GROUP BY asset, venue, coverage, instrument
    ) AS s
    ASOF LEFT JOIN hidden_multipliers AS m ON s.coverage = m.coverage AND s.share >= m.from_share
    GROUP BY s.asset, s.venue
) AS t ON t.asset = b.asset AND t.venue = b.venue
ORDER BY b.usd DESC, b.asset, b.venue
