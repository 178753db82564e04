"""Processes killed, frozen and replaced; Kafka killed: nothing lost, nothing told twice."""

import random
import time

from say import say

from chaos.judge import judge
from chaos.outcome import Outcome
from chaos.process import freeze
from chaos.rig import Rig, pick

STAGES = ("rollup", "detect", "sink", "notify")
#: Longer than every session timeout in use.
FROZEN_S = 15.5
#: What one round takes, about, on two busy cores; the feed is paced by it.
ROUND_S = 10.0


def kill_stages(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Kill -9 one process at a random moment, again and again; a third while it comes back."""
    rig.begin((rounds + 1) * ROUND_S)
    kill_each(rig, rng, rounds, outcome, deadline)
    rig.settle(deadline)
    judge(rig, outcome)


def kill_two(rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float) -> None:
    """Kill -9 processes of two stages at the same instant, so that neither sees the other out."""
    rig.begin((rounds + 1) * ROUND_S)
    kill_each(rig, rng, rounds, outcome, deadline, at_once=2)
    rig.settle(deadline)
    judge(rig, outcome)


def kill_each(
    rig: Rig,
    rng: random.Random,
    rounds: int,
    outcome: Outcome,
    deadline: float,
    at_once: int = 1,
) -> None:
    """Kill a process of each kind in random order, one or more at once, until the rounds are over."""
    kinds: list[str] = []
    for number in range(1, rounds + 1):
        rig.feeder.limit = (number + 1) / (rounds + 1)
        kinds = kinds or rng.sample(STAGES, len(STAGES))
        stages = [pick(rng, rig, (kinds.pop(),)) for _ in range(at_once)]
        # Alerts are rare: how soon notify goes on cannot be seen from outside.
        resuming = [rig.time_resumption(s.kind) for s in stages if s.kind != "notify"]
        for stage in stages:
            stage.kill()
        if rng.random() < 0.3:
            time.sleep(rng.uniform(0.2, 4))
            for stage in stages:
                stage.kill()
        for thread in resuming:
            thread.join(max(1.0, min(120.0, deadline - time.monotonic())))
        _told(rig, number, rounds, f"killed {' and '.join(stage.name for stage in stages)}")
        _next(rig, rng, number, rounds, outcome, deadline)
        if time.monotonic() > deadline:
            break


def kill_broker(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Kill -9 Kafka's JVM, and start it on what it left."""
    rig.begin((rounds + 1) * ROUND_S * 2)
    for number in range(1, rounds + 1):
        rig.feeder.limit = (number + 1) / (rounds + 1)
        resuming = [rig.time_resumption(kind) for kind in ("rollup", "detect", "sink")]
        time.sleep(0.3)
        rig.kill_broker()
        for thread in resuming:
            thread.join(max(1.0, min(150.0, deadline - time.monotonic())))
        _told(rig, number, rounds, "killed the broker")
        _next(rig, rng, number, rounds, outcome, deadline)
        if time.monotonic() > deadline:
            break
    rig.settle(deadline)
    judge(rig, outcome)


def replace_detect(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """One of two detect workers ends for good and another comes, while a cascade runs."""
    rig.begin((rounds + 1) * ROUND_S * 3)
    for number in range(1, rounds + 1):
        rig.feeder.limit = (number + 1) / (rounds + 1)
        leaving = rng.choice(rig.of("detect"))
        resuming = rig.time_resumption("detect")
        leaving.stop(kill=True)
        rig.stages.remove(leaving)
        time.sleep(rng.uniform(0, 5))
        rig.add("detect", number + 1)
        resuming.join(max(1.0, min(150.0, deadline - time.monotonic())))
        _told(rig, number, rounds, f"{leaving.name} gone, detect-{number + 1} here")
        _next(rig, rng, number, rounds, outcome, deadline)
    rig.settle(deadline)
    judge(rig, outcome)


def freeze_stages(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Stop a process past its session, so that it wakes up in a world that has moved on."""
    rig.begin((rounds + 1) * ROUND_S * 3)
    for number in range(1, rounds + 1):
        rig.feeder.limit = (number + 1) / (rounds + 1)
        stage = pick(rng, rig, ("rollup", "detect", "sink"))
        resuming = rig.time_resumption(stage.kind)
        freeze(stage, FROZEN_S, rng)
        resuming.join(max(1.0, min(120.0, deadline - time.monotonic())))
        _told(rig, number, rounds, f"froze {stage.name}")
        _next(rig, rng, number, rounds, outcome, deadline)
        if time.monotonic() > deadline:
            break
    rig.settle(deadline)
    judge(rig, outcome)


def _next(
    rig: Rig, rng: random.Random, number: int, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Wait a random moment and pace the feed so that it lasts for the rounds that are left."""
    outcome.rounds = number
    spent = time.monotonic() - rig.feeder.started
    left = (rounds - number) * spent / number + ROUND_S
    rig.feeder.finish_in(max(1.0, min(left, deadline - time.monotonic() - 60)))
    time.sleep(rng.uniform(0, 3))


def _told(rig: Rig, number: int, rounds: int, what: str) -> None:
    took = f"{rig.resumed[-1]:.1f} s" if rig.resumed else "?"
    say(f"round {number}/{rounds}: {what}, on again after {took}, {rig.feeder.share:.0%} played")
