-- Of a market-wide cascade whose positions, which score decided, and what was forced; of every
-- cascade how long its usual was watched.

ALTER TABLE market_cascades
    ADD COLUMN IF NOT EXISTS position_side LowCardinality(String) AFTER lead_p_value,
    ADD COLUMN IF NOT EXISTS score_name LowCardinality(String) AFTER position_side,
    ADD COLUMN IF NOT EXISTS notional_usd Nullable(Float64) AFTER score_name;

ALTER TABLE cascades
    ADD COLUMN IF NOT EXISTS history_s UInt64 AFTER tier,
    ADD COLUMN IF NOT EXISTS young Bool AFTER history_s;

ALTER TABLE alerts
    ADD COLUMN IF NOT EXISTS history_s Nullable(UInt64) AFTER replayed;
