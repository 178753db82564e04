-- What findings say about the feeds behind them: silent ones, and throttled ones at their limit;
-- and where the orders' side was not told, what it was read from.
--
-- May stop at any statement and be run again from its first, as 0003 says.

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS silent Array(String) AFTER params_version;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS saturated Array(LowCardinality(String)) AFTER silent;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS side_reason String AFTER saturated;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS score_name LowCardinality(String) DEFAULT 'Z30' AFTER side_reason;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS estimate_usd Nullable(Float64) AFTER score_name;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS estimate_low_usd Nullable(Float64) AFTER estimate_usd;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS estimate_high_usd Nullable(Float64) AFTER estimate_low_usd;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS venue_usd Array(Float64) AFTER estimate_high_usd;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS venue_estimate_usd Array(Float64) AFTER venue_usd;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS venue_low_usd Array(Float64) AFTER venue_estimate_usd;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS venue_high_usd Array(Float64) AFTER venue_low_usd;

ALTER TABLE market_cascades
    ADD COLUMN IF NOT EXISTS coverage LowCardinality(String) DEFAULT 'unknown' AFTER params_version;

ALTER TABLE market_cascades ADD COLUMN IF NOT EXISTS silent Array(String) AFTER coverage;

ALTER TABLE whale_selling
    ADD COLUMN IF NOT EXISTS coverage LowCardinality(String) DEFAULT 'full' AFTER sender;

ALTER TABLE whale_selling ADD COLUMN IF NOT EXISTS silent Array(String) AFTER coverage;

-- One row an episode, as before, and what throttled feeds left out of it. The side is what was
-- made of it in the end. The impact is the whole move over the forced USD: it holds what else
-- moved the price, so it is from above; NULL without trades of the asset, or without an estimate.
CREATE OR REPLACE VIEW episodes AS
SELECT
    c.episode_id AS episode_id,
    any(c.asset) AS asset,
    argMax(c.position_side, (c.position_side != 'unknown', c.ts_event)) AS position_side,
    min(c.ts_onset) AS ts_onset,
    minOrNullIf(c.ts_detect, c.phase = 'onset') AS ts_detected,
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
    drawdown_bps / nullIf(estimate_usd / 1e6, 0) AS impact_bps_per_musd,
    drawdown_bps / nullIf(estimate_high_usd / 1e6, 0) AS impact_low,
    drawdown_bps / nullIf(estimate_low_usd / 1e6, 0) AS impact_high
FROM cascades AS c FINAL
GROUP BY c.episode_id;

-- What a dollar thought hidden was worth (2.5 %, median, 97.5 %), by rule and hidden / seen:
-- streams/params.py, from tests/bench/totals.py; a test holds the two together.
CREATE OR REPLACE VIEW hidden_multipliers AS
SELECT * FROM values('coverage String, from_share Float64, low Float64, middle Float64, high Float64',
        ('latest_per_second', 0.0, 0.0, 0.0, 8.22),
        ('latest_per_second', 0.1, 0.23, 2.11, 9.64),
        ('latest_per_second', 0.3, 0.58, 3.2, 11.41),
        ('latest_per_second', 0.7, 0.81, 4.2, 13.18),
        ('latest_per_second', 1.3, 1.31, 7.43, 32.62),
        ('latest_per_second', 2.0, 1.92, 8.21, 29.01),
        ('latest_per_second', 2.6, 1.27, 22.49, 71.66),
        ('largest_per_second', 0.0, 0.0, 0.0, 2.78),
        ('largest_per_second', 0.1, 0.08, 0.69, 2.47),
        ('largest_per_second', 0.3, 0.13, 0.79, 2.17),
        ('largest_per_second', 0.7, 0.25, 0.73, 1.51),
        ('largest_per_second', 1.3, 0.38, 0.75, 1.94),
        ('largest_per_second', 2.0, 0.25, 0.6, 0.96),
        ('largest_per_second', 2.6, 0.29, 1.06, 1.67));

-- What each stream showed in half a minute, and what its throttle hid by the share of seconds
-- with an order. NULL where that cannot be told: coverage not known, or a recorder's batches.
CREATE OR REPLACE VIEW shown_and_hidden AS
SELECT
    l.kafka_topic AS kafka_topic, l.asset AS asset, l.venue AS venue,
    l.instrument AS instrument, l.position_side AS position_side,
    toString(l.coverage) AS coverage,
    toStartOfInterval(l.ts_event, INTERVAL 30 SECOND) AS ts,
    sum(l.notional_usd) AS usd,
    least(uniqExact(toUnixTimestamp(l.ts_event)) / 30, 1 - 0.5 / 30) AS active,
    multiIf(
        l.coverage = 'full', toNullable(0.),
        l.coverage NOT IN ('latest_per_second', 'largest_per_second') OR max(l.orders) > 1, NULL,
        (-log(1 - active) / active - 1) * usd
    ) AS hidden_usd
FROM liquidations AS l FINAL
WHERE NOT l.removed
GROUP BY l.kafka_topic, l.asset, l.venue, l.instrument, l.position_side, l.coverage, ts;

-- The last 24 h of the data by venue: what was seen, which is certain, and what it was in all.
CREATE OR REPLACE VIEW totals_24h AS
SELECT
    t.asset AS asset, t.venue AS venue, sum(t.usd) AS notional_usd,
    if(countIf(t.hidden IS NULL) > 0, NULL, sum(t.usd + t.hidden * m.middle)) AS estimate_usd,
    if(countIf(t.hidden IS NULL) > 0, NULL, sum(t.usd + t.hidden * m.low)) AS estimate_low_usd,
    if(countIf(t.hidden IS NULL) > 0, NULL, sum(t.usd + t.hidden * m.high)) AS estimate_high_usd
FROM
(
    SELECT
        asset, venue, coverage, sum(usd) AS usd,
        if(countIf(hidden_usd IS NULL) > 0, NULL, sum(hidden_usd)) AS hidden,
        toFloat64(ifNull(hidden / nullIf(usd, 0), 0)) AS share
    FROM shown_and_hidden
    WHERE ts > (SELECT max(ts_event) FROM liquidations) - toIntervalHour(24)
    GROUP BY asset, venue, coverage, instrument
) AS t
ASOF LEFT JOIN hidden_multipliers AS m ON t.coverage = m.coverage AND t.share >= m.from_share
GROUP BY t.asset, t.venue;
