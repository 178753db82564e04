-- Fields that explain an episode.
--
-- May stop at any statement and be run again from its first, as 0003 says.

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS reignition_probability Nullable(Float64) AFTER venue_high_usd;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS reignition_is_default Bool DEFAULT true AFTER reignition_probability;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS branching_ratio Nullable(Float64) AFTER reignition_is_default;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS branching_low Nullable(Float64) AFTER branching_ratio;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS branching_high Nullable(Float64) AFTER branching_low;

-- Rows from before are given what the view computed then.
ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS impact_bps_per_musd Nullable(Float64)
    DEFAULT drawdown_bps / nullIf(estimate_usd / 1e6, 0) AFTER branching_high;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS impact_low_bps_per_musd Nullable(Float64)
    DEFAULT drawdown_bps / nullIf(estimate_high_usd / 1e6, 0) AFTER impact_bps_per_musd;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS impact_high_bps_per_musd Nullable(Float64)
    DEFAULT drawdown_bps / nullIf(coalesce(estimate_low_usd, notional_usd) / 1e6, 0)
    AFTER impact_low_bps_per_musd;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS levels_swept Nullable(UInt64) AFTER impact_high_bps_per_musd;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS price_before Nullable(Float64) AFTER levels_swept;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS price_worst Nullable(Float64) AFTER price_before;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS lead_venues Array(LowCardinality(String)) AFTER price_worst;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS lead_p_value Nullable(Float64) AFTER lead_venues;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS open_interest_drop Nullable(Float64) AFTER lead_p_value;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS ts_open_interest Nullable(DateTime64(6, 'UTC'))
    AFTER open_interest_drop;

ALTER TABLE market_cascades
    ADD COLUMN IF NOT EXISTS lead_assets Array(LowCardinality(String)) AFTER silent;

ALTER TABLE market_cascades
    ADD COLUMN IF NOT EXISTS lead_p_value Nullable(Float64) AFTER lead_assets;

-- One row an episode, as before, with the fields that explain it as they were told last: argMax
-- passes over NULLs, unless in a tuple. The impact is now the findings' own.
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
    argMax(tuple(c.ts_open_interest), (c.ts_event, c.notional_usd)).1 AS ts_open_interest
FROM cascades AS c FINAL
GROUP BY c.episode_id;
