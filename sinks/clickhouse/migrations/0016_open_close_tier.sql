-- First and last price of a bar, and the tier of each step of an episode.
--
-- May stop at any statement and be run again from its first, as 0003 says.

ALTER TABLE bars
    ADD COLUMN IF NOT EXISTS open Nullable(Float64) AFTER trades,
    ADD COLUMN IF NOT EXISTS close Nullable(Float64) AFTER open,
    ADD COLUMN IF NOT EXISTS ts_first Nullable(DateTime64(6, 'UTC')) AFTER close,
    ADD COLUMN IF NOT EXISTS ts_last Nullable(DateTime64(6, 'UTC')) AFTER ts_first;

-- Of steps stored before, those say it that only a cascade has.
ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS tier LowCardinality(Nullable(String))
    DEFAULT multiIf(phase = 'watch', 'watch',
        phase IN ('onset', 'wave', 'peak', 'exhausted', 'reignited'), 'cascade', NULL)
    AFTER usual_usd_per_min;

-- As before, with the first and last price. Of parts that were told at one time the later written
-- one has the last; a bar with a part that does not tell has neither.
CREATE OR REPLACE VIEW bars_1s AS
SELECT
    b.asset AS asset, b.venue AS venue, b.instrument AS instrument, b.ts_open AS ts_open,
    if(countIf(b.open IS NULL) > 0, NULL, argMin(b.open, (b.ts_first, b.kafka_offset))) AS open,
    max(b.high) AS high,
    min(b.low) AS low,
    if(countIf(b.close IS NULL) > 0, NULL, argMax(b.close, (b.ts_last, b.kafka_offset))) AS close,
    sum(b.quantity) AS quantity,
    sum(b.buy_usd) AS buy_usd,
    sum(b.sell_usd) AS sell_usd,
    sum(b.trades) AS trades,
    (sum(b.buy_usd) + sum(b.sell_usd)) / nullIf(sum(b.quantity), 0) AS vwap,
    (sum(b.buy_usd) - sum(b.sell_usd)) / nullIf(sum(b.buy_usd) + sum(b.sell_usd), 0)
        AS taker_imbalance
FROM bars AS b FINAL
WHERE b.width = 1000000
GROUP BY b.asset, b.venue, b.instrument, b.ts_open;

CREATE OR REPLACE VIEW bars_1m AS
SELECT
    b.asset AS asset, b.venue AS venue, b.instrument AS instrument,
    toStartOfMinute(b.ts_open) AS ts_open,
    if(countIf(b.open IS NULL) > 0, NULL, argMin(b.open, (b.ts_first, b.kafka_offset))) AS open,
    max(b.high) AS high,
    min(b.low) AS low,
    if(countIf(b.close IS NULL) > 0, NULL, argMax(b.close, (b.ts_last, b.kafka_offset))) AS close,
    sum(b.quantity) AS quantity,
    sum(b.buy_usd) AS buy_usd,
    sum(b.sell_usd) AS sell_usd,
    sum(b.trades) AS trades,
    (sum(b.buy_usd) + sum(b.sell_usd)) / nullIf(sum(b.quantity), 0) AS vwap,
    (sum(b.buy_usd) - sum(b.sell_usd)) / nullIf(sum(b.buy_usd) + sum(b.sell_usd), 0)
        AS taker_imbalance
FROM bars AS b FINAL
WHERE b.width <= 60000000
GROUP BY b.asset, b.venue, b.instrument, toStartOfMinute(b.ts_open);
