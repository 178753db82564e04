-- Tables are named as the topics that fill them and have the fields of schemas/ as columns.
--
-- Every record has a deterministic identity, so ReplacingMergeTree with that identity at the
-- end of the key makes a second telling the same row: read with FINAL (the views do, and the
-- SQL endpoint sets final=1). non_replicated_deduplication_window makes the retry of an insert
-- with the same token a no-op; without it tokens are ignored outside a replicated cluster.
-- kafka_* say where each row came from: count() against uniqExact(kafka_offset) audits a sink.

CREATE TABLE IF NOT EXISTS trades
(
    event_id String,
    venue LowCardinality(String),
    instrument LowCardinality(String),
    venue_symbol LowCardinality(String),
    asset LowCardinality(String),
    aggressor_side LowCardinality(String),
    price Float64,
    quantity Float64,
    notional_usd Nullable(Float64),
    ts_event DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    ts_recv DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(ts_event)
ORDER BY (asset, venue, instrument, ts_event, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS liquidations
(
    event_id String,
    venue LowCardinality(String),
    instrument LowCardinality(String),
    venue_symbol LowCardinality(String),
    asset LowCardinality(String),
    position_side LowCardinality(String),
    order_side LowCardinality(Nullable(String)),
    price Nullable(Float64),
    price_kind LowCardinality(Nullable(String)),
    quantity Nullable(Float64),
    notional_usd Nullable(Float64),
    coverage LowCardinality(String),
    stream LowCardinality(String),
    ts_event DateTime64(6, 'UTC'),
    ts_recv DateTime64(6, 'UTC'),
    orders UInt32,
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_event)
ORDER BY (asset, venue, ts_event, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- A correction or a reorg may move a transfer in time, so time is not in the key: a higher
-- version must land on the same key to replace what was told before.
CREATE TABLE IF NOT EXISTS whale_transfers
(
    event_id String,
    provider LowCardinality(String),
    chain LowCardinality(String),
    asset LowCardinality(String),
    transfer_kind LowCardinality(String),
    tx_hash String,
    leg UInt32,
    from_owner LowCardinality(String),
    from_kind LowCardinality(String),
    to_owner LowCardinality(String),
    to_kind LowCardinality(String),
    quantity Float64,
    quantity_raw Nullable(String),
    notional_usd Nullable(Float64),
    ts_event DateTime64(6, 'UTC'),
    ts_recv DateTime64(6, 'UTC'),
    version UInt32,
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts_event)
ORDER BY (asset, chain, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- A producer repeats its word on every partition; it is one fact, so one row.
CREATE TABLE IF NOT EXISTS feed_status
(
    producer LowCardinality(String),
    state LowCardinality(String),
    ts_event DateTime64(6, 'UTC'),
    part UInt32,
    parts UInt32,
    reason String,
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_event)
ORDER BY (producer, ts_event, state, parts, part)
SETTINGS non_replicated_deduplication_window = 10000;

-- Partial sums: two equal rows are two parts of one bar, so nothing may collapse here.
-- Read bars_1s and bars_1m, which add the parts up. `width` is in microseconds.
CREATE TABLE IF NOT EXISTS bars
(
    venue LowCardinality(String),
    instrument LowCardinality(String),
    asset LowCardinality(String),
    ts_open DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    width UInt32,
    high Float64,
    low Float64,
    quantity Float64,
    buy_usd Float64,
    sell_usd Float64,
    trades UInt64,
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts_open)
ORDER BY (asset, venue, instrument, ts_open, kafka_partition, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS cascades
(
    finding_id String,
    episode_id String,
    asset LowCardinality(String),
    position_side LowCardinality(String),
    phase LowCardinality(String),
    wave UInt64,
    ts_onset DateTime64(6, 'UTC'),
    ts_event DateTime64(6, 'UTC'),
    ts_detect DateTime64(6, 'UTC'),
    log_rate Float64,
    threshold Float64,
    threshold_is_default Bool,
    feed_class LowCardinality(String),
    coverage LowCardinality(String),
    orders UInt64,
    notional_usd Float64,
    peak_usd_per_s Float64,
    ts_peak Nullable(DateTime64(6, 'UTC')),
    drawdown_bps Nullable(Float64),
    price_onset Nullable(Float64),
    venues Array(LowCardinality(String)),
    params_version LowCardinality(String),
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_event)
ORDER BY (asset, position_side, ts_event, finding_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS market_cascades
(
    finding_id String,
    episode_id String,
    phase LowCardinality(String),
    ts_onset DateTime64(6, 'UTC'),
    ts_event DateTime64(6, 'UTC'),
    ts_detect DateTime64(6, 'UTC'),
    assets Array(LowCardinality(String)),
    excess Float64,
    threshold Float64,
    threshold_is_default Bool,
    params_version LowCardinality(String),
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_event)
ORDER BY (ts_event, finding_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS whale_selling
(
    finding_id String,
    event_id String,
    asset LowCardinality(String),
    venue LowCardinality(String),
    verdict LowCardinality(String),
    reason String,
    notional_usd Nullable(Float64),
    excess_selling_usd Nullable(Float64),
    statistic Nullable(Float64),
    p_value Nullable(Float64),
    placebos UInt64,
    shared Bool,
    onset_followed Bool,
    onset_placebo_rate Nullable(Float64),
    ts_event DateTime64(6, 'UTC'),
    ts_window_end DateTime64(6, 'UTC'),
    ts_detect DateTime64(6, 'UTC'),
    params_version LowCardinality(String),
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_event)
ORDER BY (asset, venue, ts_event, finding_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS alerts
(
    alert_id String,
    dedup_key String,
    kind LowCardinality(String),
    tier LowCardinality(String),
    severity LowCardinality(String),
    asset LowCardinality(String),
    title String,
    text String,
    finding_id String,
    ts_event DateTime64(6, 'UTC'),
    ts_detect DateTime64(6, 'UTC'),
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_event)
ORDER BY (asset, ts_event, alert_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- Identity is where the unreadable record stood (topic, partition, offset), not where its
-- letter stands (kafka_*): reading it twice is one letter.
CREATE TABLE IF NOT EXISTS dead_letters
(
    topic LowCardinality(String),
    partition Int64,
    offset Int64,
    field String,
    reason String,
    raw String,
    ts_recv DateTime64(6, 'UTC'),
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_recv)
ORDER BY (topic, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000;

-- The last range each writer meant to write, told before it wrote: after a crash the sink
-- forms exactly that range again, so its token is the same. The last insertion wins.
CREATE TABLE IF NOT EXISTS sink_intent
(
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    table LowCardinality(String),
    epoch String,
    lo Int64,
    hi Int64,
    ts_written DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (kafka_topic, kafka_partition, table);
