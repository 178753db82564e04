-- Every number of an alert's words as a field, and what forced orders are worth in a usual minute.

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS usual_usd_per_min Nullable(Float64) AFTER missing_share;

ALTER TABLE alerts
    ADD COLUMN IF NOT EXISTS ts_onset Nullable(DateTime64(6, 'UTC')) AFTER ts_detect,
    ADD COLUMN IF NOT EXISTS position_side LowCardinality(Nullable(String)) AFTER ts_onset,
    ADD COLUMN IF NOT EXISTS venues Array(LowCardinality(String)) AFTER position_side,
    ADD COLUMN IF NOT EXISTS assets Array(LowCardinality(String)) AFTER venues,
    ADD COLUMN IF NOT EXISTS coverage LowCardinality(Nullable(String)) AFTER assets,
    ADD COLUMN IF NOT EXISTS silent Array(String) AFTER coverage,
    ADD COLUMN IF NOT EXISTS threshold_is_default Nullable(Bool) AFTER silent,
    ADD COLUMN IF NOT EXISTS orders Nullable(UInt64) AFTER threshold_is_default,
    ADD COLUMN IF NOT EXISTS notional_usd Nullable(Float64) AFTER orders,
    ADD COLUMN IF NOT EXISTS estimate_usd Nullable(Float64) AFTER notional_usd,
    ADD COLUMN IF NOT EXISTS estimate_low_usd Nullable(Float64) AFTER estimate_usd,
    ADD COLUMN IF NOT EXISTS estimate_high_usd Nullable(Float64) AFTER estimate_low_usd,
    ADD COLUMN IF NOT EXISTS pace_usd_per_min Nullable(Float64) AFTER estimate_high_usd,
    ADD COLUMN IF NOT EXISTS usual_usd_per_min Nullable(Float64) AFTER pace_usd_per_min,
    ADD COLUMN IF NOT EXISTS price_before Nullable(Float64) AFTER usual_usd_per_min,
    ADD COLUMN IF NOT EXISTS price_worst Nullable(Float64) AFTER price_before,
    ADD COLUMN IF NOT EXISTS drawdown_bps Nullable(Float64) AFTER price_worst,
    ADD COLUMN IF NOT EXISTS reignition_probability Nullable(Float64) AFTER drawdown_bps,
    ADD COLUMN IF NOT EXISTS excess_selling_usd Nullable(Float64) AFTER reignition_probability,
    ADD COLUMN IF NOT EXISTS p_value Nullable(Float64) AFTER excess_selling_usd,
    ADD COLUMN IF NOT EXISTS posterior Nullable(Float64) AFTER p_value;
