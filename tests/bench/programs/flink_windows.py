"""(h) Flink SQL: one-second tumbling sums by event time, checkpoints a second, exactly once.

It is run by an interpreter of its own, which has apache-flink and nothing of ours, and ends
when it is told to: who started it looks at the offsets that its checkpoints commit.
"""

import sys
from pathlib import Path

from pyflink.table import EnvironmentSettings, TableEnvironment

SOURCE = """
CREATE TABLE trades (
  instrument STRING, ts_event BIGINT, notional_usd DOUBLE,
  happened AS TO_TIMESTAMP_LTZ(ts_event / 1000, 3),
  WATERMARK FOR happened AS happened - INTERVAL '1' SECOND
) WITH (
  'connector' = 'kafka', 'topic' = 'trades', 'format' = 'json',
  'properties.bootstrap.servers' = '{url}', 'properties.group.id' = '{name}',
  'scan.startup.mode' = 'earliest-offset'
)"""
SINK = """
CREATE TABLE sums (instrument STRING, opened TIMESTAMP(3), usd DOUBLE) WITH (
  'connector' = 'kafka', 'topic' = '{name}-sums', 'format' = 'json',
  'properties.bootstrap.servers' = '{url}', 'properties.transaction.timeout.ms' = '60000',
  'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '{name}'
)"""
QUERY = """
INSERT INTO sums SELECT instrument, window_start, SUM(notional_usd)
FROM TABLE(TUMBLE(TABLE trades, DESCRIPTOR(happened), INTERVAL '1' SECOND))
WHERE notional_usd IS NOT NULL GROUP BY instrument, window_start, window_end"""


def main() -> None:
    """Run the query until somebody stops us."""
    url, name, connector = sys.argv[1:4]
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for key, value in {
        "pipeline.jars": f"file://{connector}",
        "parallelism.default": "1",
        "execution.checkpointing.interval": "1 s",
        # By default checkpoints are kept in memory, of 5 MB at most, and a failed one begins the
        # job anew: one partition read ahead of another left more than that in open windows.
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": f"{Path.cwd().as_uri()}/checkpoints",
        "restart-strategy.type": "none",
    }.items():
        tables.get_config().set(key, value)
    tables.execute_sql(SOURCE.format(url=url, name=name))
    tables.execute_sql(SINK.format(url=url, name=name))
    tables.execute_sql(QUERY).wait()


main()
