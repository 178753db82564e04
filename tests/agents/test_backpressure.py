"""An input that runs ahead of the others waits for them, and never for itself."""

from faust.types import TP

from schemas.words import SECOND
from streams.core import engine
from streams.detect import backpressure
from streams.detect.backpressure import GO_ON_S, STOP_S, ahead

START = 1_763_683_200


def shard(**seconds: int) -> engine.Shard:
    made = engine.Shard()
    for name, second in seconds.items():
        made.inputs[name].now = (START + second) * SECOND
    return made


def test_the_input_that_runs_ahead_waits_and_the_slowest_never_does() -> None:
    apart = shard(liquidations=STOP_S + 1, bars=0, whale_transfers=STOP_S)
    assert ahead(apart, set()) == {"liquidations"}


def test_it_waits_until_the_distance_is_well_below_the_limit() -> None:
    near = shard(liquidations=GO_ON_S + 1, bars=0, whale_transfers=0)
    assert ahead(near, {"liquidations"}) == {"liquidations"}
    assert ahead(near, set()) == set()
    assert ahead(shard(liquidations=GO_ON_S, bars=0, whale_transfers=0), {"liquidations"}) == set()


def test_an_input_that_was_never_heard_holds_the_others() -> None:
    assert ahead(shard(liquidations=1, whale_transfers=1), set()) == {
        "liquidations",
        "whale_transfers",
    }


def test_only_the_partition_that_is_ahead_is_held_and_it_is_let_go() -> None:
    held: set[TP] = set()
    backpressure.hold(held, 0, shard(liquidations=STOP_S + 1, bars=0, whale_transfers=0))
    backpressure.hold(held, 1, shard(liquidations=5, bars=0, whale_transfers=0))
    assert held == {TP("liquidations", 0)}
    backpressure.hold(held, 0, shard(liquidations=STOP_S + 1, bars=STOP_S, whale_transfers=STOP_S))
    assert held == set()


def test_an_input_where_all_are_silent_is_waited_for_while_it_has_more_to_read() -> None:
    apart = shard(liquidations=9_000, bars=9_000, whale_transfers=0)
    apart.inputs["whale_transfers"].dark_since = START
    apart.inputs["whale_transfers"].heard["chain"] = [START * SECOND]
    assert ahead(apart, set()) == {"liquidations", "bars"}
    assert ahead(apart, {"liquidations", "bars"}, {"whale_transfers"}) == set()
    assert ahead(apart, set(), {"bars"}) == {"liquidations", "bars"}


def test_an_input_on_which_nobody_speaks_is_waited_for_until_it_is_overdue() -> None:
    apart = shard(liquidations=9_000, bars=9_000)
    apart.inputs["whale_transfers"].dark_since = START
    assert ahead(apart, set(), {"whale_transfers"}) == {"liquidations", "bars"}
    assert ahead(apart, set(), {"whale_transfers"}, {"whale_transfers"}) == set()
