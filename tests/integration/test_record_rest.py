"""What `undertow record` keeps of REST: history and open interest, played with the ids of live."""

from pathlib import Path

import pytest
from scripted_venues import SCRIPTS
from scripted_venues.binance import Binance
from scripted_venues.ears import Fast, hearing, until
from scripted_venues.server import serving
from scripted_venues.tape import ids

from streams.feed.recording import keeping
from streams.feed.venues import PROTOCOLS
from streams.sources.open import open_source
from streams.sources.raw_frames import FrameWriter

#: These keep no trades for who was away.
VENUES = sorted(PROTOCOLS.keys() - {"bitget", "htx"})


def played(folder: Path) -> list[str]:
    items = open_source(folder).items
    return [record.event_id for topic, record in items if topic != "dead_letters"]


@pytest.mark.parametrize("venue", VENUES)
def test_what_was_asked_of_rest_after_an_outage_is_played_with_the_ids_of_live(
    venue: str, tmp_path: Path
) -> None:
    clock, folder, failed = Fast(4), tmp_path / "frames", []
    writer = FrameWriter(folder)
    keep_frame = keeping(writer, tmp_path / "instruments", failed)
    with (
        serving(SCRIPTS[venue]()) as server,
        hearing(clock, tmp_path, (venue, server), keep_frame=keep_frame) as kept,
    ):
        symbol = server.script.symbols[0]
        old = clock.event("trade", symbol, 1)
        server.emit(old._replace(ts=old.ts - 600_000), to_clients=False)  # before we began
        name = server.script.frame(clock.event("trade", symbol, 0))[0]
        until(lambda: server.subscribed(name), "subscribed")
        server.emit(clock.event("trade", symbol, 2))
        until(lambda: len(kept.ids("trades")) == 1, "heard")
        until(lambda: kept.alive("trades"), "alive")
        server.drop()
        server.emit(*(clock.event("trade", symbol, n) for n in range(3, 9)), to_clients=False)
        until(lambda: server.subscribed(name), "subscribed again")
        server.emit(clock.event("trade", symbol, 9))
        until(lambda: len(kept.ids("trades")) == 8, "history asked for")
        expected = ids(venue, SCRIPTS[venue](), server.tape[1:])
    writer.close()
    assert sorted(kept.ids("trades")) == sorted(expected)
    trades = [name for name in played(folder) if name in expected]
    assert sorted(trades) == sorted(expected)
    assert set(played(folder)) == {*kept.ids("trades"), *kept.ids("liquidations")}
    assert failed == []


def test_open_interest_that_was_asked_for_is_played_with_the_ids_of_live(tmp_path: Path) -> None:
    clock, folder, failed = Fast(20), tmp_path / "frames", []
    writer = FrameWriter(folder)
    script = Binance()
    script.clock = lambda: clock.micros() // 1000
    keep_frame = keeping(writer, tmp_path / "instruments", failed)
    with (
        serving(script) as server,
        hearing(clock, tmp_path, ("binance", server), keep_frame=keep_frame) as kept,
    ):
        until(lambda: len(kept.ids("liquidations")) >= 4, "two readings of two")
    writer.close()
    assert played(folder) == kept.ids("liquidations")
