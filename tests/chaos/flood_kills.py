"""Stages killed in a flood: of trades on one instrument, and of bars.

flood ──trades──> rollup ──bars──> detect, sink
                    †                †      †
"""

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from say import say

from chaos.flood import (
    MANY_BARS,
    ONE_INSTRUMENT,
    UNTIL,
    Flood,
    FloodFeeder,
    flooded_share,
    record_flood,
)
from chaos.judge import judge, measure
from chaos.lag import PARTITIONS
from chaos.outcome import Outcome
from chaos.process import Stage
from chaos.recording import Recording, rows
from chaos.rig import Rig
from schemas import codec
from schemas.bars import Bar
from schemas.words import SECOND

#: Of the table of bars, as `undertow sql` gives no more than a million rows.
SECONDS_AT_ONCE = 180
#: A trade's venue, instrument and second, which are its bar's.
Cell = tuple[str, str, int]


class Blows(NamedTuple):
    """Who dies of a flood: kinds that die at the same instant; the first's return is timed."""

    flood: Flood
    kinds: tuple[tuple[str, ...], ...]
    #: How soon after more of the flood has begun to come, seconds.
    within_s: float


TRADES = Blows(
    ONE_INSTRUMENT,
    (("rollup",), ("rollup",), ("rollup", "rollup"), ("rollup", "detect")),
    within_s=1.5,
)
BARS = Blows(
    MANY_BARS,
    (("detect",), ("detect", "detect"), ("sink",), ("detect", "rollup")),
    within_s=2.0,
)


def _kill_in(
    blows: Blows,
    folder: Path,
    _: Recording,
    rng: random.Random,
    rounds: int,
    outcome: Outcome,
    deadline: float,
) -> None:
    """Kill -9 in every stretch of the flood, a third of the times while it comes back."""
    say("a flooded night, undisturbed, for comparison")
    flood = blows.flood
    recording = record_flood(folder / "flood", flood)
    outcome.notes.append(f"undisturbed: { {k: len(v) for k, v in recording.findings.items()} }")
    again = random.Random(rng.random())
    feeder = partial(FloodFeeder, rng=again, partitions=PARTITIONS, flood=flood)
    with Rig(folder, recording, feeder=feeder) as rig:
        try:
            died_at = _kill(rig, blows, rng, rounds, outcome, deadline)
            rig.settle(deadline)
            judge(rig, outcome, {"trades": rig.feeder.again})
            _judge_bars(rig, outcome, died_at)
            fed = rig.feeder.flooded * flood.step
            outcome.notes.append(
                f"gave the producer {fed:,} trades of the flood at"
                f" {fed / rig.feeder.busy_s:,.0f} a second"
            )
        finally:
            measure(rig, outcome)


kill_flooded = partial(_kill_in, TRADES)
kill_many_bars = partial(_kill_in, BARS)


def _kill(
    rig: Rig,
    blows: Blows,
    rng: random.Random,
    rounds: int,
    outcome: Outcome,
    deadline: float,
) -> list[float]:
    """Return when something died, seconds of the epoch."""
    first, last = flooded_share(blows.flood)
    rig.feeder.limit = first
    rig.begin(5)
    died_at: list[float] = []
    left: list[tuple[str, ...]] = []
    for number in range(1, rounds + 1):
        rig.feeder.limit = first + (last - first) * number / rounds
        rig.feeder.finish_in(0)
        time.sleep(rng.uniform(0.05, blows.within_s))
        left = left or rng.sample(blows.kinds, len(blows.kinds))
        kinds = left.pop()
        stages = _some(rig, rng, kinds)
        resuming = rig.time_resumption(kinds[0])
        for times in range(1 + (rng.random() < 0.3)):
            time.sleep(times * rng.uniform(0.2, 3))
            died_at.append(time.time())
            for stage in stages:
                stage.kill()
        resuming.join(max(1.0, min(120.0, deadline - time.monotonic())))
        outcome.rounds = number
        names = " and ".join(stage.name for stage in stages)
        took = f"{rig.resumed[-1]:.1f} s" if rig.resumed else "?"
        say(f"round {number}/{rounds}: killed {names}, on again after {took}")
        if time.monotonic() > deadline:
            break
    return died_at


def _some(rig: Rig, rng: random.Random, kinds: Sequence[str]) -> list[Stage]:
    """Choose as many processes of each kind as it is named."""
    stages: list[Stage] = []
    for kind, count in Counter(kinds).items():
        stages += rng.sample(rig.of(kind), count)
    return stages


def _judge_bars(rig: Rig, outcome: Outcome, died_at: list[float]) -> None:
    """What one bar lost another may have doubled: each on its own, as written and as stored."""
    sent: Counter[Cell] = Counter()
    for line in (rig.recording.source / "trades.ndjson").open("rb"):
        trade = json.loads(line)
        sent[trade["venue"], trade["instrument"], trade["ts_event"] // SECOND] += 1
    written: Counter[Cell] = Counter()
    by_tenth: Counter[int] = Counter()
    for message in rig.watcher.messages("bars"):
        tenth = message.timestamp()[1] // 100
        for bar in codec.decode_many("bars", message.value())[0]:
            if isinstance(bar, Bar):
                written[bar.venue, bar.instrument, bar.ts_open // SECOND] += bar.trades
                by_tenth[tenth] += 1
    _compare(outcome, "written", sent, written)
    _compare(outcome, "stored", sent, _stored(rig, min(at for _, _, at in sent)))
    fullest = _fullest(by_tenth, by_tenth)
    around = [_fullest(by_tenth, [int(at * 10)]) for at in died_at]
    outcome.notes.append(
        f"{by_tenth.total():,} bars written, {fullest:,} in the fullest second;"
        f" in the fullest with each death {', '.join(f'{bars:,}' for bars in around)}"
    )


def _fullest(by_tenth: Counter[int], tenths: Iterable[int]) -> int:
    """How many there are in the fullest second that holds one of some tenths of a second."""
    begins = {tenth - before for tenth in tenths for before in range(10)}
    return max(sum(by_tenth[begin + after] for after in range(10)) for begin in begins)


def _stored(rig: Rig, first: int) -> Counter[Cell]:
    stored: Counter[Cell] = Counter()
    for begin in range(first, first + UNTIL, SECONDS_AT_ONCE):
        end = begin + SECONDS_AT_ONCE
        sql = (
            "SELECT venue, instrument, toInt64(toUnixTimestamp(ts_open)) AS second,"
            " sum(trades) AS counted FROM bars"
            f" WHERE second >= {begin} AND second < {end} GROUP BY venue, instrument, second"
        )
        for row in map(json.loads, rows(sql, **rig.sink_environ)):
            cell = row["venue"], row["instrument"], int(row["second"])
            stored[cell] += int(row["counted"])
    return stored


def _compare(outcome: Outcome, how: str, sent: Counter[Cell], bars: Counter[Cell]) -> None:
    lost, doubled = sent - bars, bars - sent
    if lost or doubled:
        outcome.blame(
            f"{lost.total()} trades lost in {len(lost)} bars as {how},"
            f" {doubled.total()} doubled in {len(doubled)}"
        )
