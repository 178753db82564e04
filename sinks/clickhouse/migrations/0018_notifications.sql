-- What people were told: each step of a notification, and one row for each in a view.

CREATE TABLE IF NOT EXISTS notifications
(
    notification_id String,
    endpoint LowCardinality(String),
    state LowCardinality(String),
    ts_noted DateTime64(6, 'UTC'),
    ts_due Nullable(DateTime64(6, 'UTC')),
    key String,
    target LowCardinality(String),
    action LowCardinality(String),
    why LowCardinality(String),
    severity LowCardinality(Nullable(String)),
    title String,
    alert_ids Array(String),
    episodes UInt64,
    ts_event Nullable(DateTime64(6, 'UTC')),
    attempts UInt64,
    error String,
    kafka_topic LowCardinality(String),
    kafka_partition UInt32,
    kafka_offset Int64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts_noted)
ORDER BY (notification_id, endpoint, state, ts_noted)
SETTINGS non_replicated_deduplication_window = 10000;

-- Each notification and receiver: what it says, how many alerts and of them put off, and when it
-- was decided, due and taken. The latest decision has what was told in the end.
CREATE OR REPLACE VIEW deliveries AS
SELECT
    notification_id,
    endpoint,
    argMaxIf(n.key, n.ts_noted, n.action != '') AS key,
    argMaxIf(n.target, n.ts_noted, n.action != '') AS target,
    argMaxIf(n.action, n.ts_noted, n.action != '') AS action,
    argMaxIf(n.why, n.ts_noted, n.why != '') AS why,
    argMaxIf(n.severity, n.ts_noted, n.action != '') AS severity,
    argMaxIf(n.title, n.ts_noted, n.action != '') AS title,
    argMaxIf(n.alert_ids, n.ts_noted, notEmpty(n.alert_ids)) AS alert_ids,
    argMaxIf(n.episodes, n.ts_noted, n.action != '') AS episodes,
    argMax(n.state, (n.ts_noted, n.state != 'waiting')) AS state,
    minIf(n.ts_noted, n.state = 'waiting') AS ts_decided,
    argMaxIf(n.ts_due, n.ts_noted, n.state = 'waiting') AS ts_due,
    maxOrNullIf(n.ts_noted, n.state = 'delivered') AS ts_delivered,
    argMaxIf(n.error, n.ts_noted, n.state != 'waiting') AS error
FROM notifications AS n FINAL
GROUP BY notification_id, endpoint;
