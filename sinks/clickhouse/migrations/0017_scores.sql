-- How near each position side is to its next alarm: what AssetPulse never told of all assets.
-- One row a second in which the score was higher than before in the same ten seconds.

CREATE TABLE IF NOT EXISTS scores
(
    asset LowCardinality(String),
    position_side LowCardinality(String),
    ts_event DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    ts_detect DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    log_rate Float64,
    threshold Float64,
    threshold_is_default Bool,
    score_name LowCardinality(String),
    feed_class LowCardinality(String),
    coverage LowCardinality(String),
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_event)
ORDER BY (asset, position_side, ts_event)
SETTINGS non_replicated_deduplication_window = 10000;
