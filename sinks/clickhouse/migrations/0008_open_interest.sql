-- What is open in an instrument, told beside the forced orders that close it.

CREATE TABLE IF NOT EXISTS open_interest
(
    event_id String,
    venue LowCardinality(String),
    instrument LowCardinality(String),
    venue_symbol LowCardinality(String),
    asset LowCardinality(String),
    quantity Float64,
    notional_usd Nullable(Float64),
    ts_event DateTime64(6, 'UTC'),
    ts_recv DateTime64(6, 'UTC'),
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_event)
ORDER BY (asset, venue, instrument, ts_event, event_id)
SETTINGS non_replicated_deduplication_window = 10000;
