"""What the agents tell the metrics about themselves."""

import time
from typing import Any

import msgspec

from schemas import metrics
from streams.core.detectors import flow
from streams.detect.shards import LiveShard
from streams.process import clock

_FINDINGS = ("cascades", "whale_selling", "alerts")
_EVERY_S = 1.0
_told_at = [0.0]


def sent(topic: str, record: msgspec.Struct) -> None:
    """Count a record on its way out, and how late a finding is."""
    if topic == "dead_letters":
        metrics.DEAD_LETTERS.labels(record.topic).inc()  # type: ignore[attr-defined]
    elif topic in _FINDINGS:
        metrics.FINDINGS.labels(topic).inc()
        late = clock.now_us() - record.ts_detect  # type: ignore[attr-defined]
        metrics.DELAY.labels("detected").observe(max(0.0, late / 1e6))


def alive(app: Any, in_touch: bool) -> None:
    """Say that the worker's loop came round, and whether it has its partitions and a broker."""
    metrics.LAST_ROUND.set_to_current_time()
    metrics.READY.set(in_touch and not app.rebalancing)


def state(app: Any, live: dict[int, LiveShard], taken: dict[Any, int]) -> None:
    """Once a second: sizes, watermarks and lag of the partitions held."""
    if time.monotonic() - _told_at[0] < _EVERY_S:
        return
    _told_at[0] = time.monotonic()
    for number, one in live.items():
        assets = one.shard.assets.values()
        size = {
            "assets": len(one.shard.assets),
            "open_seconds": sum(len(asset.open.order) for asset in assets),
            "minutes": sum(flow.count(asset.flows) for asset in assets),
        }
        for what, count in size.items():
            metrics.STATE.labels(what, str(number)).set(count)
        for topic, input_clock in one.shard.inputs.items():
            age = (clock.now_us() - input_clock.now) / 1e6 if input_clock.now else 0.0
            metrics.WATERMARK_AGE.labels(topic, str(number)).set(age)
    for tp, offset in taken.items():
        end = app.consumer.highwater(tp)
        if end is not None:
            metrics.LAG.labels(tp.topic, str(tp.partition)).set(max(0, end - offset - 1))
