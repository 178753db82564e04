-- What was told may be corrected or taken back: a higher version supersedes, `removed` takes
-- back. Rows of superseded versions collapse; removed ones stay, and the views leave them out.
--
-- May stop at any statement and be run again from its first, as 0003 says.

ALTER TABLE whale_transfers ADD COLUMN IF NOT EXISTS removed Bool DEFAULT false AFTER version;

ALTER TABLE whale_selling ADD COLUMN IF NOT EXISTS version UInt32 DEFAULT 1 AFTER params_version;

ALTER TABLE whale_selling ADD COLUMN IF NOT EXISTS retracts Nullable(String) AFTER version;

ALTER TABLE whale_selling
    ADD COLUMN IF NOT EXISTS retracted_verdict LowCardinality(Nullable(String)) AFTER retracts;

-- Time stays in the key of liquidations (a correction keeps its ts_event): by event_id alone
-- every question about a stretch of time would read whole months.
CREATE TABLE IF NOT EXISTS liquidations_replacing
(
    event_id String,
    venue LowCardinality(String),
    instrument LowCardinality(String),
    venue_symbol LowCardinality(String),
    asset LowCardinality(String),
    position_side LowCardinality(String),
    order_side LowCardinality(Nullable(String)),
    price Nullable(Float64),
    price_kind LowCardinality(Nullable(String)),
    quantity Nullable(Float64),
    notional_usd Nullable(Float64),
    coverage LowCardinality(String),
    stream LowCardinality(String),
    ts_event DateTime64(6, 'UTC'),
    ts_recv DateTime64(6, 'UTC'),
    orders UInt32,
    version UInt32 DEFAULT 1,
    removed Bool DEFAULT false,
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts_event)
ORDER BY (asset, venue, ts_event, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS liquidations AS liquidations_replacing;

ALTER TABLE liquidations ADD COLUMN IF NOT EXISTS version UInt32 DEFAULT 1 AFTER orders;

ALTER TABLE liquidations ADD COLUMN IF NOT EXISTS removed Bool DEFAULT false AFTER version;

INSERT INTO liquidations_replacing SELECT * FROM liquidations SETTINGS async_insert = 0, insert_deduplicate = 0, max_partitions_per_insert_block = 0;

DROP TABLE IF EXISTS liquidations;

RENAME TABLE liquidations_replacing TO liquidations;

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
    WHERE NOT l.removed
        AND l.ts_event > (SELECT max(ts_event) FROM liquidations) - toIntervalHour(24)
    GROUP BY l.asset, l.venue, l.position_side
);

-- One row an episode. ts_detected is NULL while it was only watched, ts_end while it is open.
-- Where `corrections` is above 0, orders were changed after they were counted: a sum over
-- `liquidations` of [ts_onset, ts_end] is then the better total.
CREATE OR REPLACE VIEW episodes AS
SELECT
    c.episode_id AS episode_id,
    any(c.asset) AS asset,
    any(c.position_side) AS position_side,
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
    countIf(c.phase = 'corrected') AS corrections
FROM cascades AS c FINAL
GROUP BY c.episode_id;

-- The latest verdict on each transfer and venue, beside what its provider says about the
-- owners; `retracted` where the transfer was removed, or corrected and not judged anew.
-- A correction is retracted and may be judged in one second: the verdict is then the later.
CREATE OR REPLACE VIEW whale_verdicts AS
SELECT
    w.event_id AS event_id, w.asset AS asset, w.venue AS venue, w.verdict AS verdict,
    w.reason AS reason, w.notional_usd AS notional_usd,
    w.excess_selling_usd AS excess_selling_usd, w.statistic AS statistic,
    w.p_value AS p_value, w.placebos AS placebos, w.shared AS shared,
    w.onset_followed AS onset_followed, w.onset_placebo_rate AS onset_placebo_rate,
    w.ts_event AS ts_event, w.ts_window_end AS ts_window_end, w.ts_detect AS ts_detect,
    w.version AS version, w.retracts AS retracts,
    t.chain AS chain, t.tx_hash AS tx_hash, t.from_owner AS from_owner, t.to_owner AS to_owner
FROM
(
    SELECT * FROM whale_selling FINAL
    ORDER BY version DESC, verdict = 'retracted', ts_detect DESC, finding_id
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
