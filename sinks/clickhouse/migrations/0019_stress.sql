-- Stress by minute bars, a table of its own: it is no liquidation. And what an alert says of it,
-- or of its own age.

CREATE TABLE IF NOT EXISTS stress
(
    finding_id String,
    episode_id String,
    asset LowCardinality(String),
    phase LowCardinality(String),
    ts_onset DateTime64(6, 'UTC'),
    ts_event DateTime64(6, 'UTC'),
    ts_detect DateTime64(6, 'UTC'),
    stress Float64,
    threshold Float64,
    threshold_is_default Bool,
    cvd_usd Float64,
    move_bps Float64,
    venues Array(LowCardinality(String)),
    params_version LowCardinality(String),
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_event)
ORDER BY (asset, ts_event, finding_id)
SETTINGS non_replicated_deduplication_window = 10000;

ALTER TABLE alerts
    ADD COLUMN IF NOT EXISTS cvd_usd Nullable(Float64) AFTER posterior,
    ADD COLUMN IF NOT EXISTS move_bps Nullable(Float64) AFTER cvd_usd,
    ADD COLUMN IF NOT EXISTS replayed Bool DEFAULT false AFTER move_bps;
