-- Thresholds that the engine moved towards the budget by itself: what it was, is, and why.

CREATE TABLE IF NOT EXISTS thresholds
(
    finding_id String,
    asset LowCardinality(String),
    feed_class LowCardinality(String),
    threshold_before Float64,
    threshold Float64,
    blocks UInt64,
    budget_per_week Float64,
    ts_event DateTime64(6, 'UTC'),
    ts_detect DateTime64(6, 'UTC'),
    params_version LowCardinality(String),
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_event)
ORDER BY (asset, feed_class, ts_event, finding_id)
SETTINGS non_replicated_deduplication_window = 10000;
