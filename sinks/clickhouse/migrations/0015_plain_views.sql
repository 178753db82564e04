-- More of the questions that people ask, under plain names. What each table, view and column says
-- stands in comments.toml, from where `migrate` writes it into the database.
--
-- May stop at any statement and be run again from its first, as 0003 says.

-- As before, and what became of the episode (`tier`). `ts_detect` is its name in every table;
-- `ts_detected` is the same under its old name, for one more release.
CREATE OR REPLACE VIEW episodes AS
SELECT
    c.episode_id AS episode_id,
    any(c.asset) AS asset,
    argMax(c.position_side, (c.position_side != 'unknown', c.ts_event)) AS position_side,
    if(countIf(c.phase = 'onset') > 0, 'cascade', 'watch') AS tier,
    min(c.ts_onset) AS ts_onset,
    minOrNullIf(c.ts_detect, c.phase = 'onset') AS ts_detect,
    argMaxIf(c.ts_peak, (c.ts_event, c.ts_detect, c.kafka_offset), c.phase != 'corrected') AS ts_peak,
    maxOrNullIf(c.ts_event, c.phase = 'closed') AS ts_end,
    max(c.orders) AS orders,
    max(c.notional_usd) AS notional_usd,
    max(c.peak_usd_per_s) AS peak_usd_per_s,
    max(c.drawdown_bps) AS drawdown_bps,
    max(c.wave) AS waves,
    argMaxIf(c.phase, (c.ts_event, c.ts_detect, c.kafka_offset), c.phase != 'corrected') AS phase,
    argMaxIf(c.coverage, (c.ts_event, c.ts_detect, c.kafka_offset), c.phase != 'corrected') AS coverage,
    arraySort(groupUniqArrayArray(c.venues)) AS venues,
    countIf(c.phase = 'corrected') AS corrections,
    arraySort(groupUniqArrayArray(c.silent)) AS silent,
    arraySort(groupUniqArrayArray(c.saturated)) AS saturated,
    argMax(c.side_reason, (c.position_side != 'unknown', c.ts_event)) AS side_reason,
    argMax(tuple(c.estimate_usd), (c.ts_event, c.notional_usd)).1 AS estimate_usd,
    argMax(tuple(c.estimate_low_usd), (c.ts_event, c.notional_usd)).1 AS estimate_low_usd,
    argMax(tuple(c.estimate_high_usd), (c.ts_event, c.notional_usd)).1 AS estimate_high_usd,
    argMax(tuple(c.impact_bps_per_musd), (c.ts_event, c.notional_usd)).1 AS impact_bps_per_musd,
    argMax(tuple(c.impact_low_bps_per_musd), (c.ts_event, c.notional_usd)).1 AS impact_low,
    argMax(tuple(c.impact_high_bps_per_musd), (c.ts_event, c.notional_usd)).1 AS impact_high,
    argMax(c.reignition_probability, c.ts_event) AS reignition_probability,
    argMax(c.branching_ratio, c.ts_event) AS branching_ratio,
    argMax(c.branching_low, c.ts_event) AS branching_low,
    argMax(c.branching_high, c.ts_event) AS branching_high,
    max(c.levels_swept) AS levels_swept,
    argMax(tuple(c.price_before), (c.ts_event, c.notional_usd)).1 AS price_before,
    argMax(tuple(c.price_worst), (c.ts_event, c.notional_usd)).1 AS price_worst,
    argMax(c.lead_venues, (c.ts_event, c.notional_usd)) AS lead_venues,
    argMax(tuple(c.lead_p_value), (c.ts_event, c.notional_usd)).1 AS lead_p_value,
    argMax(tuple(c.open_interest_drop), (c.ts_event, c.notional_usd)).1 AS open_interest_drop,
    argMax(tuple(c.ts_open_interest), (c.ts_event, c.notional_usd)).1 AS ts_open_interest,
    max(c.missing_share) AS missing_share,
    max(c.threshold_is_default) AS threshold_is_default,
    ts_detect AS ts_detected
FROM cascades AS c FINAL
GROUP BY c.episode_id;

-- Each episode beside every labelled inflow to an exchange in the 45 minutes before its
-- onset; an episode without one has NULLs. What came before is not thereby the cause:
-- `verdict` says what the placebo test made of the inflow.
CREATE OR REPLACE VIEW inflows_before AS
SELECT
    e.episode_id AS episode_id, e.asset AS asset, e.position_side AS position_side,
    e.ts_onset AS ts_onset, e.notional_usd AS notional_usd, e.phase AS phase,
    i.event_id AS inflow_id, i.inflow_usd AS inflow_usd, i.from_owner AS from_owner,
    i.to_owner AS to_owner, i.minutes_before AS minutes_before, i.verdict AS verdict
FROM episodes AS e
LEFT JOIN
(
    SELECT
        p.episode_id AS episode_id,
        toNullable(t.event_id) AS event_id,
        t.notional_usd AS inflow_usd,
        toNullable(toString(t.from_owner)) AS from_owner,
        toNullable(toString(t.to_owner)) AS to_owner,
        toNullable(dateDiff('microsecond', t.ts_event, p.ts_onset) / 60000000)
            AS minutes_before,
        v.verdict AS verdict
    FROM episodes AS p
    INNER JOIN
    (
        SELECT asset, event_id, notional_usd, from_owner, to_owner, ts_event
        FROM whale_transfers FINAL
        WHERE NOT removed AND transfer_kind = 'transfer'
            AND to_kind = 'exchange' AND from_kind != 'exchange'
    ) AS t ON t.asset = p.asset
    LEFT JOIN
    (
        SELECT w.event_id AS event_id,
            toNullable(toString(argMax(w.verdict, w.ts_detect))) AS verdict
        FROM whale_verdicts AS w
        WHERE w.verdict != 'retracted'
        GROUP BY w.event_id
    ) AS v ON v.event_id = t.event_id
    WHERE t.ts_event <= p.ts_onset AND t.ts_event >= p.ts_onset - toIntervalMinute(45)
) AS i ON i.episode_id = e.episode_id;

-- The old name claims a cause. It goes with the next release.
CREATE OR REPLACE VIEW what_triggered AS
SELECT
    i.episode_id AS episode_id, i.asset AS asset, i.position_side AS position_side,
    i.ts_onset AS ts_onset, i.notional_usd AS notional_usd, i.phase AS phase,
    i.inflow_id AS inflow_id, i.inflow_usd AS inflow_usd, i.from_owner AS from_owner,
    i.to_owner AS to_owner, i.minutes_before AS minutes_before, i.verdict AS verdict
FROM inflows_before AS i;

-- A wave lasts from the second in which it was recognised to the next one's, the last to the
-- last step told. Findings have totals since onset, so a wave's are the difference.
CREATE OR REPLACE VIEW waves AS
SELECT
    episode_id, asset, position_side, wave, began_as, ts_begin, ts_end,
    orders_until - if(wave = first_wave, 0, orders_before) AS orders,
    usd_until - if(wave = first_wave, 0, usd_before) AS notional_usd,
    peak_usd_per_s, drawdown_bps, is_over
FROM
(
    SELECT
        s.episode_id AS episode_id, s.asset AS asset, s.position_side AS position_side,
        s.wave AS wave, s.began_as AS began_as, s.ts_begin AS ts_begin,
        s.orders_begin AS orders_before, s.usd_begin AS usd_before,
        s.peak_usd_per_s AS peak_usd_per_s, s.drawdown_bps AS drawdown_bps,
        min(s.wave) OVER whole AS first_wave,
        leadInFrame(s.ts_begin, 1, s.ts_last) OVER whole AS ts_end,
        leadInFrame(s.orders_begin, 1, s.orders_last) OVER whole AS orders_until,
        leadInFrame(s.usd_begin, 1, s.usd_last) OVER whole AS usd_until,
        s.is_closed OR s.wave < max(s.wave) OVER whole AS is_over
    FROM
    (
        SELECT
            c.episode_id AS episode_id,
            any(c.asset) AS asset,
            argMax(c.position_side, (c.position_side != 'unknown', c.ts_event)) AS position_side,
            c.wave AS wave,
            argMin(c.phase, (c.ts_event, c.kafka_offset)) AS began_as,
            min(c.ts_event) AS ts_begin, max(c.ts_event) AS ts_last,
            min(c.orders) AS orders_begin, max(c.orders) AS orders_last,
            min(c.notional_usd) AS usd_begin, max(c.notional_usd) AS usd_last,
            max(c.peak_usd_per_s) AS peak_usd_per_s,
            max(c.drawdown_bps) AS drawdown_bps,
            max(c.phase = 'closed') AS is_closed
        FROM cascades AS c FINAL
        WHERE c.phase != 'corrected'
        GROUP BY c.episode_id, c.wave
    ) AS s
    WINDOW whole AS (PARTITION BY s.episode_id ORDER BY s.wave
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
);

-- What a producer said of itself: from `silent` to its next word that is none. Heartbeats are not
-- stored, so a gap is one that was told.
CREATE OR REPLACE VIEW feed_gaps AS
SELECT
    producer, part, ts_from, ts_to,
    if(ts_to IS NULL, NULL, dateDiff('microsecond', ts_from, ts_to) / 1000000) AS seconds,
    reason
FROM
(
    SELECT
        f.producer AS producer, f.part AS part, f.state AS state, f.reason AS reason,
        f.ts_event AS ts_from,
        lagInFrame(toString(f.state), 1, '') OVER of_part AS state_before,
        if(countIf(f.state != 'silent') OVER behind > 0,
            minOrNullIf(f.ts_event, f.state != 'silent') OVER behind, NULL) AS ts_to
    FROM feed_status AS f FINAL
    WINDOW
        of_part AS (PARTITION BY f.producer, f.part ORDER BY f.ts_event
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING),
        behind AS (PARTITION BY f.producer, f.part ORDER BY f.ts_event
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
)
WHERE state = 'silent' AND state_before != 'silent';

-- What each venue's stream showed of an asset in the last 24 h of the data, and how much that
-- was: a stream that is cut to one order a second is at its limit where it shows one every second.
CREATE OR REPLACE VIEW venue_coverage AS
SELECT
    l.asset AS asset, l.venue AS venue, toString(l.coverage) AS coverage,
    sum(l.orders) AS orders,
    sum(l.notional_usd) AS notional_usd,
    countIf(l.notional_usd IS NULL) AS rows_without_usd,
    min(l.ts_event) AS ts_first, max(l.ts_event) AS ts_last,
    dateDiff('second', ts_last, (SELECT max(ts_event) FROM liquidations)) AS quiet_s,
    uniqExact(toUnixTimestamp(l.ts_event)) AS seconds_with_orders,
    quantileExact(0.5)(dateDiff('millisecond', l.ts_event, l.ts_recv)) AS median_delay_ms
FROM liquidations AS l FINAL
WHERE NOT l.removed
    AND l.ts_event > (SELECT max(ts_event) FROM liquidations) - toIntervalHour(24)
GROUP BY l.asset, l.venue, l.coverage;

-- Levels are 10 basis points apart in log price, as `levels_swept` counts them. Orders without a
-- price are not in it. An hour each, so that a question may be about a stretch of time.
CREATE OR REPLACE VIEW levels AS
SELECT
    l.asset AS asset, splitByChar('-', toString(l.instrument))[2] AS quote,
    l.position_side AS position_side,
    toStartOfHour(l.ts_event) AS ts_hour,
    exp(floor(log(l.price) * 1000) / 1000) AS price_from,
    exp((floor(log(l.price) * 1000) + 1) / 1000) AS price_to,
    sum(l.orders) AS orders,
    sum(l.notional_usd) AS notional_usd,
    arraySort(groupUniqArray(toString(l.venue))) AS venues,
    arraySort(groupUniqArray(toString(l.price_kind))) AS price_kinds
FROM liquidations AS l FINAL
WHERE NOT l.removed AND l.price IS NOT NULL
GROUP BY l.asset, quote, l.position_side, ts_hour, floor(log(l.price) * 1000);

-- Open interest of an asset after an episode: instruments with a reading in the hour up to its
-- end and one in the 24 h after it, in base units, beside the price over the same time. What
-- the fall closed is built up again where it grows faster than the price.
CREATE OR REPLACE VIEW leverage_rebuild AS
SELECT
    o.episode_id AS episode_id, o.asset AS asset, o.position_side AS position_side,
    o.ts_end AS ts_end, o.ts_last AS ts_last,
    o.quantity_end AS quantity_end, o.quantity_last AS quantity_last,
    o.quantity_last / nullIf(o.quantity_end, 0) - 1 AS open_interest_change,
    o.open_interest_drop AS open_interest_drop,
    if(o.open_interest_drop > 0,
        open_interest_change * (1 - o.open_interest_drop) / o.open_interest_drop, NULL)
        AS rebuilt_share,
    p.price_end AS price_end, p.price_last AS price_last,
    p.price_last / nullIf(p.price_end, 0) - 1 AS price_change,
    open_interest_change > 0 AND open_interest_change > price_change AS is_faster_than_price
FROM
(
    SELECT
        i.episode_id AS episode_id, any(i.asset) AS asset, any(i.position_side) AS position_side,
        any(i.ts_end) AS ts_end, any(i.open_interest_drop) AS open_interest_drop,
        max(i.ts_last) AS ts_last, sum(i.at_end) AS quantity_end, sum(i.at_last) AS quantity_last
    FROM
    (
        SELECT
            e.episode_id AS episode_id, any(e.asset) AS asset,
            any(e.position_side) AS position_side, any(assumeNotNull(e.ts_end)) AS ts_end,
            any(e.open_interest_drop) AS open_interest_drop,
            max(r.ts_event) AS ts_last,
            argMaxIf(r.quantity, r.ts_event, r.ts_event <= e.ts_end) AS at_end,
            argMax(r.quantity, r.ts_event) AS at_last
        FROM (SELECT * FROM episodes WHERE ts_end IS NOT NULL) AS e
        INNER JOIN
        (
            SELECT asset, venue, instrument, assumeNotNull(quantity) AS quantity, ts_event
            FROM open_interest FINAL WHERE quantity IS NOT NULL
        ) AS r ON r.asset = e.asset
        WHERE r.ts_event > e.ts_end - toIntervalHour(1)
            AND r.ts_event <= e.ts_end + toIntervalHour(24)
        GROUP BY e.episode_id, r.venue, r.instrument
        HAVING countIf(r.ts_event <= e.ts_end) > 0 AND countIf(r.ts_event > e.ts_end) > 0
    ) AS i
    GROUP BY i.episode_id
) AS o
LEFT JOIN
(
    SELECT
        e.episode_id AS episode_id,
        argMaxIf(toNullable(b.vwap), b.ts, b.ts <= e.ts_end) AS price_end,
        argMax(toNullable(b.vwap), b.ts) AS price_last
    FROM (SELECT * FROM episodes WHERE ts_end IS NOT NULL) AS e
    INNER JOIN
    (
        SELECT m.asset AS asset, m.ts_open AS ts,
            sum(m.buy_usd + m.sell_usd) / nullIf(sum(m.quantity), 0) AS vwap
        FROM bars_1m AS m
        GROUP BY m.asset, m.ts_open
    ) AS b ON b.asset = e.asset
    WHERE b.ts > e.ts_end - toIntervalHour(1) AND b.ts <= e.ts_end + toIntervalHour(24)
    GROUP BY e.episode_id
) AS p ON p.episode_id = o.episode_id;

-- What the press says of the last 24 h, and the figures it says it with. `at least` stands where
-- a feed leaves orders out; how many traders it was, no feed tells.
CREATE OR REPLACE VIEW press_24h AS
SELECT
    ts_from, ts_to, orders, notional_usd, long_usd, short_usd,
    long_usd / nullIf(long_usd + short_usd, 0) AS long_share,
    is_lower_bound, largest_order_usd, largest_order_instrument, largest_order_venue,
    top_assets, top_usd,
    concat(
        'In the 24 h to ', formatDateTime(ts_to, '%Y-%m-%d %H:%i', 'UTC'), ' UTC ',
        if(is_lower_bound, 'at least ', ''), '$', toString(round(notional_usd / 1e6, 1)),
        'M of positions were liquidated',
        if(long_share IS NULL, '', concat(', ', toString(round(100 * long_share, 1)),
            ' % of what has a known side were longs')),
        if(empty(top_assets), '', concat('; most in ', arrayStringConcat(arrayMap(
            (name, usd) -> concat(name, ' ($', toString(round(usd / 1e6, 1)), 'M)'),
            top_assets, top_usd), ' and '))),
        if(largest_order_usd IS NULL, '', concat('. The largest single order: $',
            toString(round(largest_order_usd / 1e6, 2)), 'M of ',
            ifNull(largest_order_instrument, ''), ' on ', ifNull(largest_order_venue, ''))),
        '.'
    ) AS sentence
FROM
(
    SELECT
        min(a.ts_first) AS ts_from, max(a.ts_last) AS ts_to,
        sum(a.orders) AS orders, sum(a.usd) AS notional_usd,
        sum(a.long) AS long_usd, sum(a.short) AS short_usd,
        max(a.is_lower) AS is_lower_bound,
        maxOrNull(a.largest) AS largest_order_usd,
        argMax(a.largest_of, a.largest) AS largest_order_instrument,
        argMax(a.largest_at, a.largest) AS largest_order_venue,
        arraySlice(arraySort((name, usd) -> (-usd, name),
            groupArray(a.asset), groupArray(a.usd)), 1, 2) AS top_assets,
        arraySlice(arrayReverseSort(groupArray(a.usd)), 1, 2) AS top_usd
    FROM
    (
        SELECT
            toString(l.asset) AS asset, min(l.ts_event) AS ts_first, max(l.ts_event) AS ts_last,
            sum(l.orders) AS orders, ifNull(sum(l.notional_usd), 0) AS usd,
            ifNull(sumIf(l.notional_usd, l.position_side = 'long'), 0) AS long,
            ifNull(sumIf(l.notional_usd, l.position_side = 'short'), 0) AS short,
            max(l.coverage != 'full' OR l.notional_usd IS NULL) AS is_lower,
            maxOrNullIf(l.notional_usd, l.orders = 1) AS largest,
            argMaxIf(toNullable(toString(l.instrument)), l.notional_usd, l.orders = 1)
                AS largest_of,
            argMaxIf(toNullable(toString(l.venue)), l.notional_usd, l.orders = 1) AS largest_at
        FROM liquidations AS l FINAL
        WHERE NOT l.removed
            AND l.ts_event > (SELECT max(ts_event) FROM liquidations) - toIntervalHour(24)
        GROUP BY l.asset
    ) AS a
    HAVING sum(a.orders) > 0
);

-- The nights that people compare with, as they were reported: figures of others, each with what
-- it is of and who says so. None was counted by us, and no two were counted alike.
CREATE OR REPLACE VIEW known_nights AS
SELECT * FROM values('night String, day Date, notional_usd Nullable(Float64), long_share Nullable(Float64), traders Nullable(UInt32), price_high Nullable(Float64), price_low Nullable(Float64), scope String, source String',
    ('312 (Black Thursday)', '2020-03-12', 1.184e9, 0.988, NULL, 7300, 3900,
        'BitMEX alone, 12 March (Datamish); BTC until 13 March 02:15 UTC',
        'https://cryptoglobe.com/latest/2020/03/bitcoins-crash-led-to-over-1-6-billion-in-liquidations-on-bitmex https://blog.btcmex.com/black-thursday-what-actually-happened-to-bitcoin/'),
    ('519', '2021-05-19', 8.6e9, NULL, 804242, NULL, NULL,
        'all venues that Bybt counts, 24 h',
        'https://www.newsbreak.com/news/2263120909471/mastercard-exec-shares-thoughts-on-crypto-rewards-stablecoin-and-cbdc-plans https://beincrypto.com/thousands-of-crypto-traders-liquidated'),
    ('Luna', '2022-05-12', 2.24e9, NULL, 287959, NULL, 26700,
        'all venues that CoinGlass counts, 24 h; 1.33e9 of it one order on Bitfinex',
        'https://technext24.com/2022/05/12/turmoil-as-crypto-traders-lose-over-2bn-in-the-past-24-hours/'),
    ('10-10', '2025-10-10', 19.3e9, 0.87, 1660000, 122000, 101000,
        'all venues that CoinGlass counts, 24 h; venues told late, and CoinGlass thinks 30e9 to 40e9 possible',
        'https://cryptopotato.com/bitcoin-crash-sparks-largest-liquidation-in-crypto-history-19b-gone-and-counting/ https://t.signalplus.com/crypto-news/detail/coinglass-crypto-derivatives-liquidations-150b-oct10-spike?lang=en-US'));

-- The last 24 h of the data beside them: ours as a lower bound and with the estimate's bounds.
CREATE OR REPLACE VIEW compare_nights AS
SELECT
    night, day, notional_usd, estimate_low_usd, estimate_high_usd, long_share, traders,
    price_high, price_low, (price_high - price_low) / price_high * 1e4 AS fall_bps, scope, source
FROM
(
    SELECT
        'this data' AS night, toDate(p.ts_to) AS day, toNullable(p.notional_usd) AS notional_usd,
        (SELECT if(countIf(estimate_low_usd IS NULL) > 0, NULL, sum(estimate_low_usd))
            FROM totals_24h) AS estimate_low_usd,
        (SELECT if(countIf(estimate_high_usd IS NULL) > 0, NULL, sum(estimate_high_usd))
            FROM totals_24h) AS estimate_high_usd,
        p.long_share AS long_share, CAST(NULL AS Nullable(UInt32)) AS traders,
        (SELECT maxOrNull(high) FROM bars_1m WHERE asset = 'BTC' AND ts_open >
            (SELECT max(ts_event) FROM liquidations) - toIntervalHour(24)) AS price_high,
        (SELECT minOrNull(low) FROM bars_1m WHERE asset = 'BTC' AND ts_open >
            (SELECT max(ts_event) FROM liquidations) - toIntervalHour(24)) AS price_low,
        'the feeds stored here, the last 24 h of the data' AS scope, '' AS source
    FROM press_24h AS p
    UNION ALL
    SELECT night, day, notional_usd, NULL, NULL, long_share, traders, price_high, price_low,
        scope, source
    FROM known_nights
);
