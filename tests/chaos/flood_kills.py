"""Rollup killed while a hundred thousand trades a second come on one partition."""

import json
import random
import time
from collections import Counter
from pathlib import Path

from say import say

from chaos.flood import FLOODED_SHARE, STEP, FloodFeeder, record_flood
from chaos.judge import judge, measure
from chaos.lag import PARTITIONS
from chaos.outcome import Outcome
from chaos.recording import Recording
from chaos.rig import Rig
from schemas import codec
from schemas.bars import Bar
from schemas.words import SECOND

#: Who dies: one of the two rollups, both at the same instant, or one and a detect with it.
BLOWS = ("one", "one", "both", "with detect")


def kill_flooded(
    folder: Path,
    _: Recording,
    rng: random.Random,
    rounds: int,
    outcome: Outcome,
    deadline: float,
) -> None:
    """Kill -9 rollup in every stretch of the flood, a third of the times while it comes back."""
    say("a flooded night, undisturbed, for comparison")
    recording = record_flood(folder / "flood")
    again = random.Random(rng.random())
    with Rig(folder, recording, feeder=lambda url: FloodFeeder(url, again, PARTITIONS)) as rig:
        try:
            _kill(rig, rng, rounds, outcome, deadline)
            rig.settle(deadline)
            judge(rig, outcome, {"trades": rig.feeder.again})
            _judge_seconds(rig, outcome)
        finally:
            measure(rig, outcome)


def _kill(rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float) -> None:
    first, last = FLOODED_SHARE
    rig.feeder.limit = first
    rig.begin(5)
    for number in range(1, rounds + 1):
        rig.feeder.limit = first + (last - first) * number / rounds
        rig.feeder.finish_in(0)
        time.sleep(rng.uniform(0.05, 1.5))
        blow, rollups = rng.choice(BLOWS), rig.of("rollup")
        stages = rollups if blow == "both" else [rng.choice(rollups)]
        stages += [rng.choice(rig.of("detect"))] if blow == "with detect" else []
        resuming = rig.time_resumption("rollup")
        for times in range(1 + (rng.random() < 0.3)):
            time.sleep(times * rng.uniform(0.2, 3))
            for stage in stages:
                stage.kill()
        resuming.join(max(1.0, min(120.0, deadline - time.monotonic())))
        outcome.rounds = number
        names = " and ".join(stage.name for stage in stages)
        took = f"{rig.resumed[-1]:.1f} s" if rig.resumed else "?"
        say(f"round {number}/{rounds}: killed {names}, on again after {took}")
        if time.monotonic() > deadline:
            break
    outcome.notes.append(
        f"fed {rig.feeder.flooded * STEP:,} trades of the flood"
        f" at {rig.feeder.flooded * STEP / rig.feeder.busy_s:,.0f} a second"
    )


def _judge_seconds(rig: Rig, outcome: Outcome) -> None:
    """What one second lost another may have doubled: each venue's seconds, one by one."""
    sent: Counter[tuple[str, int]] = Counter()
    for line in (rig.recording.source / "trades.ndjson").open("rb"):
        trade = json.loads(line)
        sent[trade["venue"], trade["ts_event"] // SECOND] += 1
    counts: Counter[tuple[str, int]] = Counter()
    for _, _, value in rig.watcher.read_all("bars"):
        for bar in codec.decode_many("bars", value)[0]:
            if isinstance(bar, Bar):
                counts[bar.venue, bar.ts_open // SECOND] += bar.trades
    lost, doubled = sent - counts, counts - sent
    if lost or doubled:
        outcome.blame(
            f"{lost.total()} trades lost in {len(lost)} seconds of a venue,"
            f" {doubled.total()} doubled in {len(doubled)}"
        )
