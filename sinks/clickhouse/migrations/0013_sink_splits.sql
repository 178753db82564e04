-- A range that ClickHouse refused as a whole, and which parts of it were refused too: told before
-- what is in them is tried in smaller parts, so that a sink started again takes the same ones.

CREATE TABLE IF NOT EXISTS sink_splits
(
    token String,
    part String,
    ts_written DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (token, part)
TTL toDateTime(ts_written) + INTERVAL 90 DAY;
