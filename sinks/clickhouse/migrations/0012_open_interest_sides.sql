-- Whether one side or both is counted; and money alone, where a venue tells no price beside it.

ALTER TABLE open_interest ADD COLUMN IF NOT EXISTS
    sides LowCardinality(String) DEFAULT 'unknown' AFTER ts_recv;

ALTER TABLE open_interest MODIFY COLUMN quantity Nullable(Float64);
