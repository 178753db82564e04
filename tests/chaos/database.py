"""ClickHouse as a server that fails in every way a server can, while the sink writes to it."""

import random
import time
from contextlib import suppress
from typing import Any

from say import say

from chaos.judge import judge
from chaos.outcome import Outcome
from chaos.rig import Rig

#: Each fault, how many requests it hits (or seconds it lasts), and how long we watch.
FAULTS: tuple[tuple[dict[str, Any], float], ...] = (
    ({"kind": "down", "seconds": 60}, 62),
    ({"kind": "503", "count": 25}, 15),
    ({"kind": "reset_after", "count": 8}, 15),
    ({"kind": "reset_before", "count": 8}, 15),
    # The driver waits a minute for an answer.
    ({"kind": "timeout_after", "count": 1}, 65),
)


def spoil_clickhouse(
    rig: Rig, rng: random.Random, rounds: int, outcome: Outcome, deadline: float
) -> None:
    """Each fault in turn; the sink may be killed while it waits."""
    faults = (FAULTS * rounds)[:rounds]
    rig.begin(sum(watched for _, watched in faults) + 30)
    for number, (fault, watched) in enumerate(faults, 1):
        rig.database.fault(fault)
        began = time.monotonic()
        time.sleep(watched * rng.uniform(0.3, 0.7))
        if rng.random() < 0.5:
            rng.choice(rig.of("sink")).kill()
        time.sleep(max(0.0, began + watched - time.monotonic()))
        with suppress(OSError):
            rig.database.fault({"kind": "none"})
        rig.time_resumption("sink").join(150)
        outcome.rounds = number
        after = f"{rig.resumed[-1]:.1f} s" if rig.resumed else "?"
        say(f"round {number}/{rounds}: {fault['kind']}, on again {after} after its end")
    rig.settle(deadline)
    judge(rig, outcome)
