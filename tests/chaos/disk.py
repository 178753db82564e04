"""A disk that fills up under the sink's and notify's data, and is given room again."""

import random
import time
from pathlib import Path

from say import say

from chaos.judge import judge
from chaos.outcome import Outcome
from chaos.rig import Rig

FULL_FOR_S = 25
SIGNS = (
    "No space left", "NOT_ENOUGH_SPACE", "enough free space", "disk is full", "no space left",
)  # fmt: skip


def fill_disk(rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float) -> None:
    """Fill the disk at a random moment, look for clear words, free it, and see all of it come."""
    assert rig.small, "this rig has a small disk"
    rig.begin((rounds + 1) * (FULL_FOR_S + 20))
    for number in range(1, rounds + 1):
        time.sleep(rng.uniform(1, 5))
        before = {stage.name: stage.log.stat().st_size for stage in rig.stages}
        rig.small.fill()
        time.sleep(FULL_FOR_S)
        words = {s.name: _said(s.log, before[s.name]) for s in rig.of("sink") + rig.of("notify")}
        rig.small.free()
        rig.time_resumption("sink").join(150)
        outcome.rounds = number
        outcome.notes.append(f"round {number}, full: {words}")
        for name in (name for name, said in words.items() if not said):
            outcome.blame(f"{name} said nothing of the full disk")
        ended = [stage.name for stage in rig.stages if stage.unasked]
        if ended:
            outcome.blame(f"ended where they should have waited: {ended}")
        say(f"round {number}/{rounds}: full, then free; on again after {rig.resumed[-1]:.1f} s")
    rig.settle(deadline)
    judge(rig, outcome)


def _said(log: Path, since: int) -> str:
    with log.open("rb") as file:
        file.seek(since)
        lines = file.read().decode(errors="replace").splitlines()
    return next((line[:200] for line in lines if any(sign in line for sign in SIGNS)), "")
