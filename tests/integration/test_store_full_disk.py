"""Rows that ClickHouse acknowledged while its disk filled up are there when it starts again."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chaos.disk_space import Small, may_mount
from nights import START, trade

from sinks.clickhouse.client import Batch, Writer, open_client
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.retry import Retry, SinkError

FILL = """
import contextlib, sys, time
time.sleep(float(sys.argv[2]))
with contextlib.suppress(OSError), open(sys.argv[1], "ab") as ballast:
    while True:
        ballast.write(bytes(65_536))
        ballast.flush()
"""
COUNT = """
import sys
from sinks.clickhouse.client import open_client
client = open_client(sys.argv[1])
print(client.query("SELECT uniqExact(kafka_offset) FROM trades").result_rows[0][0])
"""


@pytest.mark.skipif(bool(may_mount()), reason=may_mount() or "-")
def test_what_was_acknowledged_as_the_disk_filled_up_is_there_after_a_restart(
    tmp_path: Path,
) -> None:
    small, draw, offset = Small(tmp_path / "disk"), random.Random(3), 0
    try:
        url = f"chdb://{small.place}/clickhouse"
        client = open_client(url)
        migrate(client, "undertow")
        writer = Writer(client, Retry(give_up_after_s=0.01))
        for _ in range(10):
            filler = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    FILL,
                    str(small.place / "ballast"),
                    str(draw.uniform(0, 0.4)),
                ]
            )
            ends = time.monotonic() + 1.2
            while time.monotonic() < ends:
                count = draw.choice([20, 100, 400])
                rows = [trade(START + offset + n, "okx", draw, 0.0) for n in range(count)]
                offsets = range(offset, offset + count)
                batch = Batch("trades", "trades", 0, offset, offset + count - 1, rows, offsets)
                offset += count
                while True:
                    try:
                        writer.insert(batch)
                        break
                    except SinkError:
                        if filler.poll() is not None and time.monotonic() > ends:
                            small.free()
                        time.sleep(0.05)
            filler.wait()
            small.free()
        client.close()
        again = [sys.executable, "-c", COUNT, url]
        counted = subprocess.run(again, capture_output=True, text=True, check=True)
        assert int(counted.stdout) == offset
    finally:
        small.stop()
