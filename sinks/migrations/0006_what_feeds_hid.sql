-- What findings say about the feeds behind them: silent ones, and throttled ones at their limit;
-- and where the orders' side was not told, what it was read from.
--
-- May stop at any statement and be run again from its first, as 0003 says.

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS silent Array(String) AFTER params_version;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS saturated Array(LowCardinality(String)) AFTER silent;

ALTER TABLE cascades ADD COLUMN IF NOT EXISTS side_reason String AFTER saturated;

ALTER TABLE market_cascades
    ADD COLUMN IF NOT EXISTS coverage LowCardinality(String) DEFAULT 'unknown' AFTER params_version;

ALTER TABLE market_cascades ADD COLUMN IF NOT EXISTS silent Array(String) AFTER coverage;

ALTER TABLE whale_selling
    ADD COLUMN IF NOT EXISTS coverage LowCardinality(String) DEFAULT 'full' AFTER sender;

ALTER TABLE whale_selling ADD COLUMN IF NOT EXISTS silent Array(String) AFTER coverage;
