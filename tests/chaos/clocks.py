"""The clock of every process set forward and back, and processes killed while it is wrong."""

import random
import time
from pathlib import Path

from say import say

from chaos.judge import judge
from chaos.outcome import Outcome
from chaos.rig import Rig, pick

DAY_S = 86_400.0
#: Kafka takes no record from more than an hour ahead: Faust stamps its own.
DETECT_AHEAD_S = 3_000.0
ROUND_S = 10.0


def set_clocks(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Set one process's clock wrong, kill it half of the times, and set it right again."""
    rig.begin((rounds + 1) * ROUND_S)
    for number in range(1, rounds + 1):
        rig.feeder.limit = (number + 1) / (rounds + 1)
        # Every other time the one that waits by the clock for hours.
        kind = "notify" if number % 2 else rng.choice(("rollup", "detect", "sink"))
        stage = pick(rng, rig, (kind,))
        ahead_s = DETECT_AHEAD_S if kind == "detect" else 365 * DAY_S
        wrong_s = rng.choice((-365 * DAY_S, -3_600.0, ahead_s))
        clock = Path(stage.environ["CHAOS_CLOCK"])
        clock.write_text(str(wrong_s))
        time.sleep(rng.uniform(0.5, ROUND_S / 3))
        if killed := rng.random() < 0.5:
            stage.kill()
        time.sleep(rng.uniform(0.5, ROUND_S / 3))
        clock.write_text("0")
        outcome.rounds = number
        how = ", killed meanwhile" if killed else ""
        say(f"round {number}/{rounds}: {stage.name} was {wrong_s:+,.0f} s wrong{how}")
        if time.monotonic() > deadline:
            break
    rig.settle(deadline)
    judge(rig, outcome)
