"""Every number that a process tells about itself: one list, named as Prometheus reads it.

A process exposes those of its own stage; all are served by `streams.process.health`. Counters
end in `_total`, times are seconds. Labels name topics, partitions, tables and endpoints' hashed
names: nothing that grows with the market.
"""

import time

from prometheus_client import Counter, Gauge, Histogram

# --- alive ---------------------------------------------------------------------------------
#: Unix time at which the stage's loop last came round; /healthz fails when it is old.
LAST_ROUND = Gauge("undertow_last_round_seconds", "unix time of the loop's last round")
#: The same on a clock that nobody sets, by which /healthz judges.
LAST_ROUND_STEADY = Gauge("undertow_last_round_steady_seconds", "steady time of the last round")
#: 1 while the stage does its work; 0 while it starts, recovers, or waits for a store that
#: does not answer. /readyz repeats it.
READY = Gauge("undertow_ready", "1 while the stage does its work, 0 while it cannot")

# --- in ------------------------------------------------------------------------------------
#: Messages taken from a topic, heartbeats included.
RECORDS = Counter("undertow_records_total", "messages taken from a topic", ["topic"])
#: Messages not taken in, by reason: invalid, duplicate, crowded (too many
#: producers), late, told (already in the state).
REFUSED = Counter("undertow_refused_total", "messages not taken in", ["topic", "why"])
#: Records on another partition than that of their key, where their bars are not.
MISPLACED = Counter("undertow_misplaced_total", "records on another key's partition", ["topic"])
#: How far records lie behind the words of their input when they come, by venue (or chain); of
#: trades, of a sample. Those beyond grace are late.
LATENESS = Histogram(
    "undertow_lateness_seconds",
    "how far records come behind the words of their input",
    ["topic", "venue"],
    buckets=(0.0, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600),
)
#: Dead letters written, by the topic of the message that was refused.
DEAD_LETTERS = Counter("undertow_dead_letters_total", "dead letters written", ["topic"])
#: Records of our own that nobody could have read as they were: shortened, with a dead letter.
UNREADABLE = Counter("undertow_unreadable_total", "own records made readable", ["topic"])
#: Messages between the stage's position and the end of the partition.
LAG = Gauge("undertow_lag_records", "messages not yet taken", ["topic", "partition"])
#: How old, by Kafka's stamp, the last record taken is while more of its partition waits; 0 at the
#: end. /readyz says it too.
BEHIND = Gauge("undertow_behind_seconds", "age of the last record taken, 0 at the end")
#: How far behind the wall clock event time has come; a replay of old data says how old.
WATERMARK_AGE = Gauge(
    "undertow_watermark_age_seconds", "wall clock less watermark", ["topic", "partition"]
)

# --- work ----------------------------------------------------------------------------------
#: Things held in memory: assets, open_seconds, minutes, bars, ids.
STATE = Gauge("undertow_state_entries", "things held in memory", ["what", "partition"])
#: Findings and alerts written, by topic.
FINDINGS = Counter("undertow_findings_total", "findings and alerts written", ["topic"])
#: Times an input was paused because it ran ahead of the others.
PAUSES = Counter("undertow_pauses_total", "pauses of an input that ran ahead", ["topic"])
#: Generations of the consumer group that this process has worked in.
REBALANCES = Counter("undertow_rebalances_total", "assignments received")

#: Times a topic was found deleted and made anew, or with other partitions.
TOPICS_CHANGED = Counter("undertow_topics_changed_total", "topics found changed", ["topic"])


# --- feed: by venue, and by stream or link of it ---------------------------------------------
class FEED:
    """What `feed` tells of its links; counts begin anew with the process."""

    #: Frames that came, records in them, and items that could not be read.
    frames = Gauge("undertow_feed_frames", "frames received", ["venue", "stream"])
    records = Gauge("undertow_feed_records", "records in them", ["venue", "stream"])
    refused = Gauge("undertow_feed_refused", "items that could not be read", ["venue", "stream"])
    #: Wall clock less receipt of the last frame that held records.
    age = Gauge("undertow_feed_age_seconds", "age of the last records", ["venue", "stream"])
    #: Times a link was lost, and spans declared missing.
    reconnects = Counter("undertow_feed_lost_total", "times a link was lost", ["venue"])
    gaps = Counter("undertow_feed_gaps_total", "spans declared missing", ["venue", "topic"])


# --- out -----------------------------------------------------------------------------------
#: Rows that ClickHouse has taken, by table.
ROWS = Counter("undertow_rows_total", "rows written", ["table"])
#: Inserts that ClickHouse has taken, by table.
BATCHES = Counter("undertow_batches_total", "inserts written", ["table"])
#: Attempts that failed and are made again: clickhouse, webhook.
RETRIES = Counter("undertow_retries_total", "attempts made again", ["what"])
#: Webhook attempts by endpoint and outcome: delivered, failed, dead.
WEBHOOKS = Counter("undertow_webhook_attempts_total", "webhook attempts", ["endpoint", "outcome"])
#: Deliveries that wait in the outbox.
OUTBOX = Gauge("undertow_outbox_pending", "deliveries that wait", ["endpoint"])
#: Rows of the outbox deleted as old or too many, by endpoint and state: delivered ones when
#: Kafka cannot redeliver them, dead and waiting ones when nobody has tried for a month.
FORGOTTEN = Counter("undertow_outbox_forgotten_total", "deliveries deleted", ["endpoint", "state"])

# --- how long ------------------------------------------------------------------------------
#: Seconds from one moment of a record's life to the next, by step:
#:   received   ts_recv  less ts_event, as the record says          (rollup, detect)
#:   detected   wall clock less ts_detect when a finding is written  (detect)
#:   written    wall clock less ts_recv (or ts_detect) in ClickHouse (sink)
#:   delivered  wall clock less the alert's ts_detect at a 2xx       (notify)
DELAY = Histogram(
    "undertow_delay_seconds",
    "seconds between two moments of a record",
    ["step"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600),
)


def came_round() -> None:
    """Note that the stage's loop came round."""
    LAST_ROUND.set_to_current_time()
    LAST_ROUND_STEADY.set(time.monotonic())
