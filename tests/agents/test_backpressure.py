"""An input that runs ahead of the others waits for them, and never for itself."""

import asyncio
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from schemas.words import SECOND
from streams.core.shard import INPUTS, Shard
from streams.detect import backpressure
from streams.detect.backpressure import AHEAD_S, Inputs, next_input
from streams.detect.faust_transport import BESIDE_HELD_S, CommittedConsumer, Fetched

START = 1_763_683_200
ALL = INPUTS


def shard(**seconds: int) -> Shard:
    made = Shard()
    for name, second in seconds.items():
        made.inputs[name].now = (START + second) * SECOND
    return made


def record(size: int = 100) -> Any:
    return SimpleNamespace(value=b"x" * size)


def test_the_input_that_lags_goes_first_and_one_far_ahead_not_at_all() -> None:
    apart = shard(liquidations=AHEAD_S + 1, bars=0, whale_transfers=AHEAD_S)
    assert next_input(apart, ALL) == "bars"
    assert next_input(apart, ("liquidations", "whale_transfers")) == "whale_transfers"
    assert next_input(apart, ("liquidations",)) is None


def test_an_input_that_was_never_heard_holds_the_others() -> None:
    half = shard(liquidations=1, whale_transfers=1)
    assert next_input(half, ("liquidations", "whale_transfers")) is None
    assert next_input(half, ALL) == "bars"


def test_an_input_where_all_are_silent_is_waited_for_while_it_has_more_to_read() -> None:
    apart = shard(liquidations=9_000, bars=9_000, whale_transfers=0)
    apart.inputs["whale_transfers"].dark_since = START
    apart.inputs["whale_transfers"].heard["chain"] = [START * SECOND]
    others = ("liquidations", "bars")
    assert next_input(apart, others) is None
    assert next_input(apart, others, {"whale_transfers"}) == "liquidations"
    assert next_input(apart, others, {"bars"}) is None


def test_no_more_is_fetched_of_what_waits_in_number_or_in_bytes_until_it_is_taken() -> None:
    waiting = Inputs()
    waiting.add("bars", [record(backpressure.FULL_BYTES)])
    waiting.add("liquidations", [record() for _ in range(backpressure.FULL)])
    waiting.add("whale_transfers", [record()])
    assert waiting.full() == {"bars", "liquidations"}
    paused = {TP("bars", 1)}
    backpressure.hold(paused, 0, waiting.full())
    assert paused == {TP("bars", 1), TP("bars", 0), TP("liquidations", 0)}
    for topic in ("bars", "liquidations"):
        waiting.take(topic)
    backpressure.hold(paused, 0, waiting.full())
    assert paused == {TP("bars", 1)}


def test_an_input_on_which_nobody_speaks_is_waited_for_until_it_is_overdue() -> None:
    apart = shard(liquidations=9_000, bars=9_000)
    apart.inputs["whale_transfers"].dark_since = START
    others, nobody = ("liquidations", "bars"), {"whale_transfers"}
    assert next_input(apart, others, nobody) is None
    assert next_input(apart, others, nobody, nobody) == "liquidations"


def test_an_input_is_idle_when_nothing_of_it_waits_and_nothing_came() -> None:
    waiting = Inputs()
    waiting.add("bars", [record()])
    assert waiting.idle(60.0) == set()
    assert waiting.idle(-1.0) == {"liquidations", "whale_transfers"}


class Thread:
    """Has nothing to read; keeps what it was asked for, and for how long."""

    def __init__(self) -> None:
        self.asked: list[tuple[set[TP], float]] = []

    async def getmany(self, partitions: set[TP], timeout: float) -> Fetched:
        self.asked.append((partitions, timeout))
        return Fetched({}, 1, {})


def test_what_is_free_again_is_not_kept_waiting_by_a_fetch_of_what_has_nothing() -> None:
    bars, transfers = TP("bars", 0), TP("whale_transfers", 0)
    consumer: Any = object.__new__(CommittedConsumer)
    consumer.app = SimpleNamespace(consumer_generation_id=1, in_runs=frozenset())
    consumer._thread, consumer._held_in, consumer.unfetched = Thread(), 1, set()
    for full in (set(), {"bars"}, set()):
        backpressure.hold(consumer.unfetched, 0, full)
        asyncio.run(consumer._getmany({bars, transfers}, 1.0))
    both, beside = ({bars, transfers}, 1.0), ({transfers}, BESIDE_HELD_S)
    assert consumer._thread.asked == [both, beside, both]
