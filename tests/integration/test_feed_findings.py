"""A day of four venues through feed and detectors: what they do wrong changes no conclusion.

FEED_DAY_HOURS=24 make test ARGS=tests/integration/test_feed_findings.py is the long form.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from nights import PARAMS, START
from scripted_venues.garbage import GARBAGE
from scripted_venues.server import Event, ScriptedVenue
from scripted_venues.stepped import QUANTUM_S, Judged, Stepped, judged, served
from scripted_venues.tape import ids

from schemas.findings import CascadeFinding
from schemas.words import SECOND
from streams.feed.outages import Spoken

#: Venues that keep what they printed, forced orders too.
VENUES = ("okx", "deribit", "dydx", "kraken")
#: Forced orders a venue, symbol and quarter of a second: in calm, in a cascade. Shares as usual.
RATES = {"okx": (0.06, 6.0), "deribit": (0.002, 0.4), "dydx": (0.002, 0.4), "kraken": (0.002, 0.4)}
HOURS = float(os.environ.get("FEED_DAY_HOURS", "0.7"))
#: A cascade comes so far into each of so many stretches, for as long, seconds.
STRETCH_S, BURST_AT_S, BURST_S = 7_200, 1_500, 240
#: Nothing is done wrong at the end, so that the last of it can be made good.
WARM_UP_S, CALM_S = 20, 120
Misdeed = Callable[[ScriptedVenue, random.Random], Awaitable[None]]


def prints(seconds: float) -> Iterator[tuple[float, str, Event]]:
    """Yield (second of the day, venue, what it prints), in order."""
    draw, number, price = random.Random(7), 0, 90_000.0
    symbols = {
        "okx": ("BTC-USDT-SWAP", "ETH-USDT-SWAP"),
        "deribit": ("BTC-PERPETUAL", "ETH-PERPETUAL"),
        "dydx": ("BTC-USD", "ETH-USD"),
        "kraken": ("PF_XBTUSD", "PF_ETHUSD"),
    }
    for step in range(int(seconds / QUANTUM_S)):
        second = step * QUANTUM_S
        since = second % STRETCH_S - BURST_AT_S
        is_burning = 0 <= since < BURST_S
        price += draw.gauss(0, 2) - 5.0 * is_burning + 0.02 * (90_000 - price) * (since > 900)
        for place, venue in enumerate(VENUES):
            for symbol in symbols[venue]:
                orders = RATES[venue][is_burning]
                orders = int(orders) + (draw.random() < orders % 1)
                kinds = ["trade"] * (step % 8 == place) + ["liquidation"] * orders
                for kind in kinds:
                    number += 1
                    ts = (START + WARM_UP_S) * 1000 + int(second * 1000) + draw.randrange(200)
                    side = "sell" if is_burning or draw.random() < 0.6 else "buy"
                    size = round(draw.lognormvariate(1, 1) + 0.01, 3)
                    yield (
                        second,
                        venue,
                        Event(kind, symbol, number, side, round(price, 1), size, ts),
                    )


async def close(venue: ScriptedVenue, draw: random.Random) -> None:
    await venue.close_here(1012)


async def drop(venue: ScriptedVenue, draw: random.Random) -> None:
    await venue.drop_here(list(venue.clients))


async def garbage(venue: ScriptedVenue, draw: random.Random) -> None:
    await venue.push_here(None, draw.choice(GARBAGE))


async def repeat(venue: ScriptedVenue, draw: random.Random) -> None:
    """Push again what was printed minutes ago, as a snapshot would."""
    for event in venue.tape[-300:-280]:
        name, frame = venue.script.frame(event)
        await venue.push_here(name, frame)


async def half_open(venue: ScriptedVenue, draw: random.Random) -> None:
    venue.does.half_open = True


BABBLE: tuple[Misdeed, ...] = (garbage, repeat)
CUTS: tuple[Misdeed, ...] = (*BABBLE, close, drop, half_open)


class Disorder:
    """What venues do wrong, from time to time, and what they told out of its order."""

    def __init__(self, misdeeds: tuple[Misdeed, ...], every_s: float) -> None:
        self._misdeeds = misdeeds
        self._every_s = every_s
        self._draw = random.Random(11)
        self._due = every_s
        self._ends: dict[str, float] = {}

    async def at(self, second: float, venues: dict[str, ScriptedVenue]) -> None:
        for name in [name for name, end in self._ends.items() if end <= second]:
            venues[name].does.half_open = False
            del self._ends[name]
        for venue in venues.values():
            venue.does.copies = self._draw.choice((1, 1, 1, 2, 3))
        if self._misdeeds and self._due <= second < 3_600 * HOURS - CALM_S:
            self._due += self._draw.uniform(0.5, 1.5) * self._every_s
            name = self._draw.choice(list(venues))
            misdeed = self._draw.choice(self._misdeeds)
            await misdeed(venues[name], self._draw)
            if misdeed is half_open:
                self._ends[name] = second + 45

    def order(self, events: list[tuple[str, Event]]) -> list[tuple[str, Event]]:
        if self._misdeeds:
            self._draw.shuffle(events)
        return events


async def day(tmp_path: Path, disorder: Disorder) -> tuple[Judged, dict[str, ScriptedVenue]]:
    random.seed(1)  # the feed's jitter
    clock = Stepped(START * SECOND)
    async with (
        served(VENUES) as venues,
        judged(clock, venues, PARAMS, tmp_path / "instruments") as outlet,
    ):
        for _ in range(int(WARM_UP_S / QUANTUM_S)):
            await clock.pass_on(QUANTUM_S)
            # Listings come in pieces, by a clock that does not stand while a machine is busy.
            await asyncio.sleep(0.005 if all(venue.clients for venue in venues.values()) else 0.1)
        assert all(venue.clients for venue in venues.values())
        at, waiting = 0.0, []
        for second, name, event in prints(3_600 * HOURS):
            while second > at:
                for to, one in disorder.order(waiting):
                    await venues[to].emit_here((one,))
                waiting.clear()
                await disorder.at(at, venues)
                await clock.pass_on(QUANTUM_S)
                at += QUANTUM_S
            waiting.append((name, event))
        await clock.pass_on(10)
    return outlet, venues


def found(outlet: Judged) -> list[CascadeFinding]:
    """Return the cascades' findings; those of one second stand in no order of their own."""
    findings = [one for one in outlet.findings if isinstance(one, CascadeFinding)]
    return sorted(findings, key=lambda one: (one.ts_detect, one.asset, one.position_side))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[CascadeFinding]:
    outlet, _ = asyncio.run(day(tmp_path_factory.mktemp("day"), Disorder((), 0)))
    assert outlet.letters == []
    assert outlet.refused == []
    findings = found(outlet)
    assert {one.asset for one in findings if one.phase == "onset"} == {"BTC", "ETH"}
    return findings


def printed(venues: dict[str, ScriptedVenue]) -> list[str]:
    return [one for name, venue in venues.items() for one in ids(name, venue.script, venue.tape)]


def test_repeats_disorder_and_garbage_change_nothing_in_any_finding(
    undisturbed: list[CascadeFinding], tmp_path: Path
) -> None:
    outlet, venues = asyncio.run(day(tmp_path, Disorder(BABBLE, 20)))
    assert outlet.letters, "nothing was broken"
    assert sorted(outlet.event_ids) == sorted(printed(venues))
    assert found(outlet) == undisturbed


def test_cut_and_half_open_connections_change_no_conclusion(
    undisturbed: list[CascadeFinding], tmp_path: Path
) -> None:
    """Coverage and expectation may differ: who was away for long is named as silent.

    So a score may pass its threshold a second sooner or later; after hours of outages, which are
    no history, some seconds. In the same second, what it was called by is the same to the bit.
    """
    outlet, venues = asyncio.run(day(tmp_path, Disorder(CUTS, 60)))
    assert {spoken.status.state for spoken in outlet.said} >= {"silent", "recovered"}
    assert sorted(outlet.event_ids) == sorted(printed(venues))
    here, there = ({conclusion(one): one for one in of} for of in (found(outlet), undisturbed))
    assert here.keys() == there.keys()
    assert len(here) == len(undisturbed)
    for which, one in there.items():
        if one.phase in ("watch", "onset"):
            apart = abs(here[which].ts_detect - one.ts_detect)
            assert apart <= most_apart(one.ts_detect, outlet.said), which
            if not apart:
                assert figures(here[which]) == figures(one)


def figures(finding: CascadeFinding) -> tuple[object, ...]:
    return finding.orders, finding.notional_usd, finding.drawdown_bps, finding.venues


def conclusion(finding: CascadeFinding) -> tuple[object, ...]:
    """Name a finding by its burst; in the first stretch by its episode's id too.

    An episode's id has the very second of its onset.
    """
    burst = second_of_day(finding.ts_detect) // STRETCH_S
    which = burst, finding.asset, finding.position_side, finding.phase, finding.wave
    if burst:
        return which
    if finding.phase != "onset":
        return *which, finding.episode_id
    return *which, finding.episode_id, finding.ts_onset, tuple(finding.venues)


def most_apart(at: int, said: list[Spoken]) -> int:
    """Return how far from the undisturbed day's a finding may be, microseconds.

    A link that is half open is away for up to 45 s and said to be.
    """
    if second_of_day(at) < STRETCH_S:
        return SECOND
    states = [one.status for one in said if abs(one.status.ts_event - at) < 90 * SECOND]
    return (45 if any(one.state == "silent" for one in states) else 6) * SECOND


def second_of_day(at: int) -> int:
    return at // SECOND - START - WARM_UP_S
