-- The questions people ask, under plain names. Each reads ReplacingMergeTree with FINAL.

CREATE OR REPLACE VIEW bars_1s AS
SELECT
    b.asset AS asset, b.venue AS venue, b.instrument AS instrument, b.ts_open AS ts_open,
    max(b.high) AS high,
    min(b.low) AS low,
    sum(b.quantity) AS quantity,
    sum(b.buy_usd) AS buy_usd,
    sum(b.sell_usd) AS sell_usd,
    sum(b.trades) AS trades,
    (sum(b.buy_usd) + sum(b.sell_usd)) / nullIf(sum(b.quantity), 0) AS vwap,
    (sum(b.buy_usd) - sum(b.sell_usd)) / nullIf(sum(b.buy_usd) + sum(b.sell_usd), 0)
        AS taker_imbalance
FROM bars AS b
WHERE b.width = 1000000
GROUP BY b.asset, b.venue, b.instrument, b.ts_open;

CREATE OR REPLACE VIEW bars_1m AS
SELECT
    b.asset AS asset, b.venue AS venue, b.instrument AS instrument,
    toStartOfMinute(b.ts_open) AS ts_open,
    max(b.high) AS high,
    min(b.low) AS low,
    sum(b.quantity) AS quantity,
    sum(b.buy_usd) AS buy_usd,
    sum(b.sell_usd) AS sell_usd,
    sum(b.trades) AS trades,
    (sum(b.buy_usd) + sum(b.sell_usd)) / nullIf(sum(b.quantity), 0) AS vwap,
    (sum(b.buy_usd) - sum(b.sell_usd)) / nullIf(sum(b.buy_usd) + sum(b.sell_usd), 0)
        AS taker_imbalance
FROM bars AS b
WHERE b.width <= 60000000
GROUP BY b.asset, b.venue, b.instrument, toStartOfMinute(b.ts_open);

-- The last 24 h of event time in the data, not of the clock: a replay lies in the past.
-- A row that stands for a batch of orders says nothing about the largest single one.
-- long_share is of what is known to be long or short; NULL where nothing is.
CREATE OR REPLACE VIEW board_24h AS
SELECT
    asset, venue, position_side, coverage, orders, notional_usd, largest_order_usd,
    sumIf(notional_usd, position_side = 'long') OVER (PARTITION BY asset, venue)
        / nullIf(sumIf(notional_usd, position_side IN ('long', 'short'))
            OVER (PARTITION BY asset, venue), 0) AS long_share
FROM
(
    SELECT
        l.asset AS asset, l.venue AS venue, l.position_side AS position_side,
        arrayStringConcat(arraySort(groupUniqArray(toString(l.coverage))), ', ') AS coverage,
        sum(l.orders) AS orders,
        sum(l.notional_usd) AS notional_usd,
        maxOrNullIf(l.notional_usd, l.orders = 1) AS largest_order_usd
    FROM liquidations AS l FINAL
    WHERE l.ts_event > (SELECT max(ts_event) FROM liquidations) - toIntervalHour(24)
    GROUP BY l.asset, l.venue, l.position_side
);

-- One row an episode. ts_detected is NULL while it was only watched, ts_end while it is open.
CREATE OR REPLACE VIEW episodes AS
SELECT
    c.episode_id AS episode_id,
    any(c.asset) AS asset,
    any(c.position_side) AS position_side,
    min(c.ts_onset) AS ts_onset,
    minOrNullIf(c.ts_detect, c.phase = 'onset') AS ts_detected,
    argMax(c.ts_peak, (c.ts_event, c.ts_detect, c.kafka_offset)) AS ts_peak,
    maxOrNullIf(c.ts_event, c.phase = 'closed') AS ts_end,
    max(c.orders) AS orders,
    max(c.notional_usd) AS notional_usd,
    max(c.peak_usd_per_s) AS peak_usd_per_s,
    max(c.drawdown_bps) AS drawdown_bps,
    max(c.wave) AS waves,
    argMax(c.phase, (c.ts_event, c.ts_detect, c.kafka_offset)) AS phase,
    argMax(c.coverage, (c.ts_event, c.ts_detect, c.kafka_offset)) AS coverage,
    arraySort(groupUniqArrayArray(c.venues)) AS venues
FROM cascades AS c FINAL
GROUP BY c.episode_id;

-- The latest verdict on each transfer, beside what its provider says about the owners.
CREATE OR REPLACE VIEW whale_verdicts AS
SELECT
    w.event_id AS event_id, w.asset AS asset, w.venue AS venue, w.verdict AS verdict,
    w.reason AS reason, w.notional_usd AS notional_usd,
    w.excess_selling_usd AS excess_selling_usd, w.statistic AS statistic,
    w.p_value AS p_value, w.placebos AS placebos, w.shared AS shared,
    w.onset_followed AS onset_followed, w.onset_placebo_rate AS onset_placebo_rate,
    w.ts_event AS ts_event, w.ts_window_end AS ts_window_end, w.ts_detect AS ts_detect,
    t.chain AS chain, t.tx_hash AS tx_hash, t.from_owner AS from_owner, t.to_owner AS to_owner
FROM
(
    SELECT * FROM whale_selling FINAL
    ORDER BY ts_detect DESC, finding_id
    LIMIT 1 BY event_id, venue
) AS w
LEFT JOIN
(
    SELECT event_id, chain, tx_hash, from_owner, to_owner FROM whale_transfers FINAL
) AS t ON t.event_id = w.event_id;

-- Each episode beside every labelled inflow to an exchange in the 45 minutes before its
-- onset; an episode without one has NULLs. What came before is not thereby the cause:
-- `verdict` says what the placebo test made of the inflow.
CREATE OR REPLACE VIEW what_triggered AS
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
        WHERE transfer_kind = 'transfer' AND to_kind = 'exchange' AND from_kind != 'exchange'
    ) AS t ON t.asset = p.asset
    LEFT JOIN
    (
        SELECT event_id, toNullable(toString(argMax(verdict, ts_detect))) AS verdict
        FROM whale_verdicts
        GROUP BY event_id
    ) AS v ON v.event_id = t.event_id
    WHERE t.ts_event <= p.ts_onset AND t.ts_event >= p.ts_onset - toIntervalMinute(45)
) AS i ON i.episode_id = e.episode_id;
