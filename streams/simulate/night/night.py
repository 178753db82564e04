"""A generated night, 2025-11-21 UTC: raw venue messages, and what was planted in them.

The frames are what the venues would have sent, so the real parsers read them; the truth is
kept beside them for scoring alone. Everything follows from the seed; no clock is read.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np

from streams.simulate.night import orders, tape, wire
from streams.simulate.night.forced import Forced, force
from streams.simulate.night.prices import log_prices, pressed
from streams.simulate.night.setting import (
    BY_ASSET,
    DAY,
    PROFILES,
    START_US,
    VENUES,
    Floats,
    generator,
)
from streams.simulate.night.transfers import Transfer, alert, sold, transfers, truth

#: Seconds generated at a time: bounds memory, and time to the first frame.
BLOCK_S = 900

Frame = wire.Row


@dataclass(frozen=True)
class Night:
    """One pass over a generated night.

    `frames`: (ts_recv microseconds, venue, kind, message), in order of receipt, once.
    `span`: first and last possible event time. `planted`: the truth, for scoring only.
    """

    frames: Iterator[Frame]
    span: tuple[int, int]
    planted: list[dict[str, Any]]


@dataclass(frozen=True)
class _Script:
    """All that is decided before a message is written: a few numbers for each second."""

    seed: int
    forced: Forced
    transfers: list[Transfer]
    log_price: dict[str, Floats] = field(default_factory=dict)
    flow: dict[str, dict[str, tape.Flow]] = field(default_factory=dict)


def generate(seed: int = 20251121, hours: float = 24.0) -> Night:
    """Generate the first `hours` (at most 24) of the night that `seed` stands for."""
    if not 0 < hours <= 24:
        raise ValueError(f"hours are above 0 and at most 24, not {hours:g}")
    seconds = round(hours * 3600)
    script = _write(seed)
    until = START_US + seconds * 1_000_000
    planted: list[dict[str, Any]] = [d for d in script.forced.planted if d["end_us"] < until]
    planted += [truth(t) for t in script.transfers if t.venue and t.at < seconds]
    return Night(_frames(script, seconds), (START_US, until), planted)


def _write(seed: int) -> _Script:
    """Decide prices, forced orders, transfers and flows of the whole day."""
    forced = force(seed)
    before = log_prices(seed, forced)
    script = _Script(seed, forced, transfers(seed, before["BTC"]))
    for k, profile in enumerate(PROFILES):
        asset = profile.asset
        selling = {v: sold(script.transfers, asset, v) for v in VENUES}
        price = before[asset] + pressed(profile, np.sum(list(selling.values()), axis=0))
        script.log_price[asset] = price
        script.flow[asset] = tape.flows(
            generator(seed, 40, k), profile, price, forced.taken_usd(asset), selling
        )
    return script


def _frames(script: _Script, seconds: int) -> Iterator[Frame]:
    """Yield every message of the night in order of receipt."""
    lines = wire.Lines()
    waiting: list[Frame] = []
    for lo in range(0, seconds, BLOCK_S):
        hi = min(lo + BLOCK_S, seconds)
        rows = waiting + _block(script, lines, lo, hi)
        rows.sort(key=itemgetter(0))
        # What arrives after the block's end may yet be preceded by the next block's first.
        cut = bisect_left(rows, START_US + hi * 1_000_000, key=itemgetter(0))
        yield from rows[:cut]
        waiting = rows[cut:]
    yield from waiting


def _block(script: _Script, lines: wire.Lines, lo: int, hi: int) -> list[Frame]:
    """Write the messages of seconds [lo, hi), stream by stream."""
    rows: list[Frame] = []
    for k, profile in enumerate(PROFILES):
        price = script.log_price[profile.asset]
        for v, venue in enumerate(VENUES):
            rng = generator(script.seed, 50, lo, k, v)
            trades = tape.draw(rng, profile, script.flow[profile.asset][venue], price, lo, hi)
            drawn = orders.draw(rng, profile, script.forced, venue, lo, hi)
            if venue == "binance":
                rows += wire.agg_trades(rng, lines, profile, trades)
                rows += wire.force_orders(rng, lines, profile, price, drawn)
            else:
                rows += wire.public_trades(rng, lines, profile, trades)
                rows += wire.all_liquidations(rng, lines, profile, price, drawn)
    return rows + _alerts(script, lo, hi)


def _alerts(script: _Script, lo: int, hi: int) -> list[Frame]:
    """Write the whale alerts of seconds [lo, hi), each received within the second after."""
    rng = generator(script.seed, 60, lo)
    rows: list[Frame] = []
    for t in script.transfers:
        if lo <= t.at < hi:
            known = t.asset in BY_ASSET
            price = float(np.exp(script.log_price[t.asset][min(t.at, DAY - 1)])) if known else 1.0
            at = START_US + t.at * 1_000_000 + int(rng.integers(100_000, 900_000))
            rows.append((at, "whale_alert", "alert", alert(t, price)))
    return rows
