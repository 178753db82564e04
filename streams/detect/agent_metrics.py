"""What the agents tell the metrics about themselves."""

import logging
import math
import time
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from schemas import metrics
from streams.core.detectors import darkness, flow
from streams.core.shard import INPUTS
from streams.detect.shards import LiveShard
from streams.process import clock, health, lateness

log = logging.getLogger("undertow.detect")
_FINDINGS = ("cascades", "whale_selling", "alerts")
_EVERY_S = 1.0
#: Every asset is looked at for them.
_SIZES_EVERY_S = 15.0
_SAY_EVERY_S = 15.0
#: An input on which nobody speaks is logged when it has been so for this long.
_UNSPOKEN_S = 10.0


class Written(msgspec.Struct):
    """When watermarks and lag, when sizes were last written, and when being behind was logged.

    All in monotonic seconds. `unspoken` is what is said of inputs on which nobody speaks, since
    `unspoken_at`, and `logged` what of that the log has.
    """

    at: float = 0.0
    sizes_at: float = 0.0
    logged_at: float = 0.0
    unspoken: str = ""
    unspoken_at: float = 0.0
    logged: str = ""


_WRITTEN = Written()


def sent(topic: str, record: msgspec.Struct) -> None:
    """Count a record on its way out, and how late a finding is."""
    if topic == "dead_letters":
        metrics.DEAD_LETTERS.labels(record.topic).inc()  # type: ignore[attr-defined]
    elif topic in _FINDINGS:
        metrics.FINDINGS.labels(topic).inc()
        late = clock.now_us() - record.ts_detect  # type: ignore[attr-defined]
        metrics.DELAY.labels("detected").observe(max(0.0, late / 1e6))


def alive(app: Any, live: dict[int, LiveShard], in_touch: bool) -> None:
    """Say that the worker's loop came round, whether it has partitions and a broker, and inputs."""
    metrics.came_round()
    metrics.READY.set(in_touch and not app.rebalancing)
    numbers = {tp.partition for tp in app.consumer.assignment() if tp.topic in INPUTS}
    blocked, without = unspoken(numbers, live)
    health.note_inputs(blocked, without)
    _log_unspoken(blocked)
    for topic in INPUTS:
        for number in numbers:
            if number not in live:
                metrics.WATERMARK_AGE.labels(topic, str(number)).set(math.inf)


def unspoken(numbers: Collection[int], live: dict[int, LiveShard]) -> tuple[str, str]:
    """Return why nothing can be concluded, as nobody speaks on an input; and what is left out.

    Without forced orders nothing is called, though the others be gone on with.
    """
    waiting: dict[str, list[int]] = {}
    left_out: dict[str, list[int]] = {}
    for number in sorted(numbers):
        shard = live[number].shard if number in live else None
        without = darkness.left_out(shard.away) if shard is not None else set()
        for topic in INPUTS:
            if shard is not None and shard.inputs[topic].heard:
                continue
            gone_on = topic in without and topic != "liquidations"
            (left_out if gone_on else waiting).setdefault(topic, []).append(number)
    return _listed("nobody has spoken yet on ", waiting), _listed("", left_out)


def _listed(before: str, numbers_of: dict[str, list[int]]) -> str:
    places = (f"{topic}{numbers}" for topic, numbers in numbers_of.items())
    return f"{before}{', '.join(places)}" if numbers_of else ""


def _log_unspoken(blocked: str) -> None:
    """Log once what has been so for a while."""
    now = time.monotonic()
    if blocked != _WRITTEN.unspoken:
        _WRITTEN.unspoken, _WRITTEN.unspoken_at = blocked, now
    if now - _WRITTEN.unspoken_at < _UNSPOKEN_S or blocked == _WRITTEN.logged:
        return
    _WRITTEN.logged = blocked
    if blocked:
        log.warning(
            "%s: nothing is concluded there before somebody writes `alive` to every partition of"
            " it, or the others' words have run on for 90 s; `undertow feeds` shows who speaks",
            blocked,
        )
    else:
        log.info("somebody speaks on every input, or it is left out")


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
            age = (clock.now_us() - input_clock.now) / 1e6 if input_clock.now else math.inf
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


def lateness_of(topic: str, records: Iterable[Any], now: int) -> None:
    """Count how far records come behind the words of their input, microseconds of `now`."""
    for record in records:
        venue = getattr(record, "venue", "") or getattr(record, "chain", "")
        if venue:
            lateness.note(topic, venue, record.ts_event, now)


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
