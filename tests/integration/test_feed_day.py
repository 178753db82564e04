"""A venue's ordinary day, compressed: whatever it does wrong, what it printed comes out once."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_venues import SCRIPTS
from scripted_venues.ears import Fast, hearing, until
from scripted_venues.garbage import GARBAGE
from scripted_venues.server import Event, ScriptedVenue, serving
from scripted_venues.tape import ids


class Day:
    """What a venue prints, in its order or not, once or twice, and what it does beside that."""

    def __init__(self, venue: ScriptedVenue, clock: Fast, seed: int) -> None:
        self._venue = venue
        self._clock = clock
        self._chance = random.Random(seed)
        self._number = 0
        self._due = clock.steady()

    def go_on(self) -> None:
        if self._clock.steady() >= self._due:
            self._due += 0.5
            events: list[Event] = []
            for symbol in self._venue.script.symbols:
                self._number += 1
                events.append(self._clock.event("trade", symbol, self._number))
                if self._number % 7 == 0:
                    events.append(self._clock.event("liquidation", symbol, self._number))
            self._chance.shuffle(events)
            self._venue.does.copies = self._chance.choice((1, 1, 2, 3))
            self._venue.emit(*events)
        time.sleep(0.002)

    def go_on_for(self, seconds: float) -> None:
        end = self._clock.steady() + seconds
        while self._clock.steady() < end:
            self.go_on()

    def until(self, true: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 60
        while not true():
            assert time.monotonic() < deadline, f"not within a minute: {what}"
            self.go_on()


@pytest.mark.parametrize("name", ["okx", "deribit", "dydx", "kraken"])
def test_what_a_venue_of_bad_manners_printed_comes_out_once(name: str, tmp_path: Path) -> None:
    clock = Fast(10)
    with serving(SCRIPTS[name]()) as venue, hearing(clock, tmp_path, (name, venue)) as kept:
        symbols = venue.script.symbols
        names = [
            venue.script.frame(clock.event(k, s, 0))[0]
            for k in ("trade", "liquidation")
            for s in symbols
        ]
        until(lambda: all(map(venue.subscribed, names)), "subscribed")
        day = Day(venue, clock, seed=7)
        day.until(lambda: kept.alive("trades") and kept.alive("liquidations"), "alive")
        old = clock.event("liquidation", symbols[0], 999_999)
        old = old._replace(ts=old.ts - 3_600_000)
        venue.does.on_subscribe = lambda stream: [
            frame for of, frame in [venue.script.frame(old)] if of == stream
        ]
        for frame in GARBAGE:
            venue.send_raw(frame)
        day.go_on_for(5)
        venue.close(1012)
        day.until(lambda: all(map(venue.subscribed, names)), "back after a close")
        day.go_on_for(20)
        venue.drop()
        day.until(lambda: all(map(venue.subscribed, names)), "back after a drop")
        day.go_on_for(20)
        stale = list(venue.clients)
        venue.does.half_open = True
        day.go_on_for(35)
        venue.does.half_open = False
        day.until(lambda: not set(stale) & set(venue.clients), "half-open ones are left")
        day.until(lambda: all(map(venue.subscribed, names)), "back after a half-open one")
        back = clock.micros()
        day.until(lambda: max(kept.alive("trades")) > back, "alive again")
        day.until(lambda: max(kept.alive("liquidations")) > back, "alive again")
        expected = set(ids(name, SCRIPTS[name](), venue.tape))
        until(lambda: expected <= set(kept.ids("trades") + kept.ids("liquidations")), "all of it")
    heard = kept.ids("trades") + kept.ids("liquidations")
    assert len(heard) == len(set(heard)), "something came out twice"
    assert set(heard) == expected, "something came out that was not printed"
    assert kept.states("gap") == []
    unreadable = [letter for letter in kept.letters if letter.field != "subscription"]
    assert {letter.topic for letter in unreadable} == {link.name for link in kept.links}
    assert 4 <= len(unreadable) / len(kept.links) <= len(GARBAGE)
