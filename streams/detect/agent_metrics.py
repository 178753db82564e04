"""What the agents tell the metrics about themselves."""

import logging
import time
from typing import Any

import msgspec

from schemas import metrics
from streams.core.detectors import flow
from streams.detect.shards import LiveShard
from streams.process import clock, health

log = logging.getLogger("undertow.detect")
_FINDINGS = ("cascades", "whale_selling", "alerts")
_EVERY_S = 1.0
#: Every asset is looked at for them.
_SIZES_EVERY_S = 15.0
_SAY_EVERY_S = 15.0


class Written(msgspec.Struct):
    """When watermarks and lag, when sizes were last written, and when being behind was logged.

    All in monotonic seconds.
    """

    at: float = 0.0
    sizes_at: float = 0.0
    logged_at: float = 0.0


_WRITTEN = Written()


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
    metrics.came_round()
    metrics.READY.set(in_touch and not app.rebalancing)


def state(app: Any, live: dict[int, LiveShard], taken: dict[Any, tuple[int, int | None]]) -> None:
    """Once a second: watermarks and lag of the partitions held, and now and then their sizes.

    `taken` has the last offset of each partition, and Kafka's stamp on it in milliseconds.
    """
    now = time.monotonic()
    if now - _WRITTEN.at < _EVERY_S:
        return
    _WRITTEN.at = now
    if now - _WRITTEN.sizes_at >= _SIZES_EVERY_S:
        _WRITTEN.sizes_at = now
        _sizes(live)
    for number, one in live.items():
        for topic, input_clock in one.shard.inputs.items():
            age = (clock.now_us() - input_clock.now) / 1e6 if input_clock.now else 0.0
            metrics.WATERMARK_AGE.labels(topic, str(number)).set(age)
    behind = 0.0
    for tp, (offset, stamp) in taken.items():
        end = app.consumer.highwater(tp)
        if end is None:
            continue
        lag = max(0, end - offset - 1)
        metrics.LAG.labels(tp.topic, str(tp.partition)).set(lag)
        # One may be a transaction's marker, which nobody takes.
        if lag > 1 and stamp is not None:
            behind = max(behind, time.time() - stamp / 1e3)
    metrics.BEHIND.set(behind)
    if behind >= health.NEAR_S and now - _WRITTEN.logged_at >= _SAY_EVERY_S:
        _WRITTEN.logged_at = now
        log.info("catching up: %.0f s behind what is on Kafka", behind)


def _sizes(live: dict[int, LiveShard]) -> None:
    for number, one in live.items():
        assets = one.shard.assets.values()
        size = {
            "assets": len(one.shard.assets),
            "forgotten": one.shard.forgotten,
            "open_seconds": sum(len(asset.open.order) for asset in assets),
            "minutes": sum(flow.count(asset.flows) for asset in assets),
        }
        for what, count in size.items():
            metrics.STATE.labels(what, str(number)).set(count)
