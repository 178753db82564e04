"""Who speaks on which input, how far each has come, and who is waited for. Pure.

liquidations   binance  alive 12:00:09     bybit   alive 12:00:03   <- liquidations waits
bars           rollup   alive 12:00:08
whales         (nobody has ever spoken)                             <- and then all else does
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from schemas.words import SECOND
from streams.core.detectors import watermark
from streams.core.detectors.darkness import NOBODY, Darkness
from streams.core.detectors.watermark import UNHEARD, InputClock

#: Words come once a second or so: who is ahead by less than this is not held back by anybody.
NEAR = 3 * SECOND

#: `stale`: without a new word for longer than anybody is waited for. `new`: has not kept pace for
#: long enough to be waited for. `never`: nobody has spoken on this input. `unread`: its words lie
#: on the topic, and nobody has taken one.
FeedStanding = Literal["alive", "silent", "stale", "new", "never", "unread"]


class Attendance(msgspec.Struct, kw_only=True):
    """One producer on one partition of one input; times in microseconds, None where unknown.

    `ts_last` is its last word that is believed (of the part that lags, where it has parts),
    `ts_doubted` one that is not believed yet, `ts_written` its last one on the topic, taken or
    not; `behind_s` how far the first lies behind the furthest word on its input. `holds_back`
    names the inputs that could go on if this producer had come further. `left_out`: its input is
    gone on without.
    """

    topic: str
    partition: int
    producer: str
    standing: FeedStanding
    ts_last: int | None = None
    ts_doubted: int | None = None
    ts_written: int | None = None
    behind_s: float | None = None
    holds_back: list[str] = []
    left_out: bool = False


class InputPartition(msgspec.Struct, kw_only=True):
    """One partition of an input: what lies there, what is taken, and how long the rest has waited.

    `judged_until` is the event time up to which its seconds are judged, microseconds.
    """

    topic: str
    partition: int
    stage: str
    end: int
    taken: int
    lag: int
    behind_s: float | None = None
    judged_until: int | None = None


def of_clock(topic: str, partition: int, clock: InputClock, stale_after_s: int) -> list[Attendance]:
    """Return every producer of one input, and whom the input itself waits for."""
    if not clock.heard:
        [row] = of_nobody(topic, partition)
        row.ts_doubted = _doubted(clock, None)
        return [row]
    away = watermark.not_awaited_now(clock, stale_after_s)
    reached = {name: min(parts) for name, parts in clock.heard.items()}
    awaited = {n: at for n, at in reached.items() if n not in away and n not in clock.trial}
    furthest = max(awaited.values(), default=UNHEARD)
    rows = []
    for name, at in sorted(reached.items()):
        standing: FeedStanding = "alive"
        if name in away:
            standing = "silent" if name in clock.silent else "stale"
        elif name in clock.trial:
            standing = "new"
        lags = name in awaited and furthest - at > NEAR and at == min(awaited.values())
        rows.append(
            Attendance(
                topic=topic,
                partition=partition,
                producer=name,
                standing=standing,
                ts_last=None if at == UNHEARD else at,
                ts_doubted=_doubted(clock, name),
                behind_s=None if at == UNHEARD else max(0, clock.lead - at) / SECOND,
                holds_back=[topic] if lags else [],
            )
        )
    return rows


def of_nobody(topic: str, partition: int) -> list[Attendance]:
    """Return the row of an input on which nobody has ever spoken."""
    return [Attendance(topic=topic, partition=partition, producer=NOBODY, standing="never")]


def of_inputs(
    partition: int, inputs: Mapping[str, InputClock], away: Darkness, stale_after_s: int
) -> list[Attendance]:
    """Return the producers of all inputs of a shard, and whom the shard waits for.

    The slowest input that is waited for holds back those that have come further.
    """
    rows = {topic: of_clock(topic, partition, c, stale_after_s) for topic, c in inputs.items()}
    out = {topic for topic, dark in away.dark.items() if dark.left_out}
    now = {topic: clock.now for topic, clock in inputs.items() if topic not in out}
    slowest = min(now, key=now.__getitem__, default=None)
    for topic, of_topic in rows.items():
        for row in of_topic:
            row.left_out = topic in out
            if row.left_out:
                row.holds_back = []
    if slowest is not None:
        ahead = sorted(t for t, at in now.items() if at - now[slowest] > NEAR)
        for row in _at_the_input_s_time(rows[slowest], now[slowest]):
            row.holds_back = [*row.holds_back, *ahead]
    return [row for of_topic in rows.values() for row in of_topic]


def _at_the_input_s_time(rows: list[Attendance], now: int) -> list[Attendance]:
    """Return who keeps an input where it stands: all, while its producers are silent."""
    live = [r for r in rows if r.standing in ("alive", "never") and (r.ts_last or 0) <= now]
    return live or rows


def _doubted(clock: InputClock, producer: str | None) -> int | None:
    waiting = [
        p.status.ts_event
        for p in clock.pending.values()
        if producer is None or p.status.producer == producer
    ]
    return max(waiting, default=None)
