"""A tape as raw topics: records and their producers' words, in order of receipt.

Trades are one print a second, venue and side (what a venue's takers bought, what they sold),
so a day stays below a gigabyte. Each venue speaks for itself on `trades` and `liquidations`,
the chain watcher on `whale_transfers`, up to `LAG_S` behind; what comes later is late.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.market import Liquidation, Trade
from schemas.status import FeedStatus
from schemas.words import SECOND, FeedState, PositionSide, PriceKind, grid_usd
from streams.simulate.market import feeds
from streams.simulate.market.core import time_of_day
from streams.simulate.market.feeds import FeedRule, Orders
from streams.simulate.market.params import VENUE_SHARES, VENUES, Market
from streams.simulate.market.state import DAY, Floats, Rng, Tape

Item = tuple[str, msgspec.Struct]
#: 2025-11-21T00:00:00Z, as the generated night.
START_US = 1_763_683_200 * SECOND
LAG_S = 1
SIDES: tuple[PositionSide, ...] = ("long", "short")
ORDER_SIDE: dict[str, Any] = {"long": "sell", "short": "buy"}
#: What the price of each venue's liquidation record is (wire-formats.md, section 3).
PRICE_KIND: dict[str, PriceKind] = {
    "binance": "average_fill",
    "bybit": "bankruptcy",
    "okx": "bankruptcy",
}
#: Gross taker USD a second as a share of the 1 % depth, and its spread (log).
GROSS, GROSS_SD = 0.002, 0.6


class Faults(msgspec.Struct, frozen=True):
    """What goes wrong on the way: shares of messages, outages a venue and day; seconds."""

    late: float = 0.0005
    late_s: float = 8.0
    duplicate: float = 0.001
    delay_s: float = 0.08
    delay_sd: float = 0.8
    skew_s: tuple[float, ...] = (0.0, 0.12, -0.05)
    outages_a_day: float = 0.5
    outage_s: float = 300.0


NO_FAULTS = Faults(0.0, 0.0, 0.0, 0.02, 0.0, (0.0, 0.0, 0.0), 0.0, 0.0)


class Outage(NamedTuple):
    """A venue that sends nothing in seconds [start, stop)."""

    venue: int
    start: int
    stop: int


def outages(faults: Faults, seconds: int, venues: int, seed: int) -> list[Outage]:
    """Return the venues' outages in time order; outages of one venue do not overlap."""
    rng = feeds.generator(seed, 5)
    drawn = []
    for venue in range(venues):
        free = 0
        for at in np.sort(
            rng.integers(0, seconds, rng.poisson(faults.outages_a_day * seconds / DAY))
        ):
            stop = int(at) + 5 + int(rng.exponential(faults.outage_s))
            if at > free and stop < seconds:
                drawn.append(Outage(venue, int(at), stop))
                free = stop + 5
    return sorted(drawn, key=lambda o: o.start)


def orders(market: Market, tape: Tape, seed: int, giants: bool) -> dict[tuple[int, int], Orders]:
    """Return all true forced orders by (asset, side), planted giants among the longs."""
    seconds = tape.price.shape[1]
    by_key = {}
    for asset in range(len(market.assets)):
        for side in (0, 1):
            drawn = feeds.draw(market, tape, asset, side, seed)
            if giants and side == 0:
                drawn = feeds.with_giants(market, drawn, asset, seconds, seed)
            by_key[asset, side] = drawn
    return by_key


def liquidations(
    market: Market,
    tape: Tape,
    true_orders: dict[tuple[int, int], Orders],
    rule: FeedRule,
    faults: Faults,
    dark: list[Outage],
    seed: int,
    start_us: int = START_US,
) -> Iterator[Item]:
    """Yield what the feeds push, and each venue's word once a second."""
    rng = feeds.generator(seed, 6)
    rows = []
    for (asset, side), drawn in true_orders.items():
        kept = feeds.shown(drawn, rule, seed * 64 + asset * 2 + side)
        kept = _without(kept, dark)
        rows.append(_stamped(rng, kept, asset, side, faults))
    shown = np.concatenate(rows) if rows else np.empty(0, _ROW)
    again = shown[rng.random(len(shown)) < faults.duplicate].copy()
    again["recv"] += rng.integers(1_000, 2 * SECOND, len(again))
    shown = np.sort(np.concatenate([shown, again]), order=["recv", "asset", "side", "number"])
    ends = np.searchsorted(shown["recv"], np.arange(1, tape.price.shape[1] + 1) * SECOND)
    first = 0
    for second, last in enumerate(ends.tolist()):
        for row in shown[first:last].tolist():
            yield "liquidations", _liquidation(market, tape, rule, row, start_us)
        first = last
        yield from _words("liquidations", second, len(rule.shares), dark, start_us)
    yield from _closing("liquidations", len(ends), len(rule.shares), start_us)


_ROW = np.dtype(
    [
        ("recv", "i8"), ("event", "i8"), ("second", "i4"), ("asset", "i4"), ("side", "i4"),
        ("venue", "i4"), ("number", "i4"), ("usd", "f8"),
    ]
)  # fmt: skip


def _stamped(rng: Rng, kept: Orders, asset: int, side: int, faults: Faults) -> npt.NDArray[Any]:
    """Return orders as rows with event and receipt time, microseconds of the tape."""
    n = len(kept.at)
    rows = np.empty(n, _ROW)
    skew = np.array(faults.skew_s)[kept.venue] * SECOND
    true = kept.at.astype(np.int64) * SECOND + rng.integers(0, SECOND, n)
    wait = faults.delay_s * np.exp(faults.delay_sd * rng.normal(size=n))
    wait += np.where(rng.random(n) < faults.late, rng.exponential(faults.late_s, n), 0.0)
    rows["recv"] = true + (wait * SECOND).astype(np.int64)
    rows["event"] = np.maximum(true + skew.astype(np.int64), 0)
    rows["second"], rows["asset"], rows["side"] = kept.at, asset, side
    rows["venue"], rows["number"], rows["usd"] = kept.venue, np.arange(n), kept.usd
    return rows


def _without(kept: Orders, dark: list[Outage]) -> Orders:
    lost = np.zeros(len(kept.at), np.bool_)
    for o in dark:
        lost |= (kept.venue == o.venue) & (kept.at >= o.start) & (kept.at < o.stop)
    return feeds.picked(kept, ~lost)


def _liquidation(
    market: Market, tape: Tape, rule: FeedRule, row: tuple[Any, ...], start_us: int
) -> Liquidation:
    recv, event, second, asset, side, venue, number, usd = row
    base, name = market.assets[asset], VENUES[venue]
    fill = base.price * float(np.exp(tape.price[asset, second]))
    kind, price = PRICE_KIND[name], fill
    if kind == "bankruptcy" and tape.bankrupt[asset, side, second]:
        price = base.price * float(np.exp(tape.bankrupt[asset, side, second]))
    return Liquidation(
        event_id=f"sim:{name}:{base.asset}:{side}:{second}:{number}",
        venue=name,
        instrument=f"{base.asset}-USDT-PERP",
        venue_symbol=f"{base.asset}USDT",
        asset=base.asset,
        position_side=SIDES[side],
        order_side=ORDER_SIDE[SIDES[side]],
        price=price,
        price_kind=kind,
        quantity=usd / fill,
        notional_usd=grid_usd(usd),
        coverage=rule.coverage[venue],
        stream="simulated",
        ts_event=start_us + event,
        ts_recv=start_us + recv,
    )


def trades(
    market: Market,
    tape: Tape,
    venues: int,
    dark: list[Outage],
    seed: int,
    step_s: int = 1,
    start_us: int = START_US,
) -> Iterator[Item]:
    """Yield one print a side, venue and `step_s` seconds, and each venue's word a second.

    Minute sums of signed flow by venue are the tape's own.
    """
    rng = feeds.generator(seed, 7)
    seconds = tape.price.shape[1]
    for first in range(0, seconds, 3600):
        span = slice(first, min(first + 3600, seconds))
        sides = _taker_sides(rng, market, tape, span, venues, step_s)
        price = np.exp(tape.price[:, span].astype(np.float64))
        for i in range(span.stop - first):
            second = first + i
            if (second + 1) % step_s == 0:
                yield from _prints(
                    market, sides[..., i // step_s], price[:, i], second, start_us, dark
                )
            yield from _words("trades", second, venues, dark, start_us)
    yield from _closing("trades", seconds, venues, start_us)


def _taker_sides(
    rng: Rng, market: Market, tape: Tape, span: slice, venues: int, step_s: int
) -> Floats:
    """Return (asset, venue, side, step) USD bought (0) and sold (1) by takers."""
    length = (span.stop - span.start) // step_s
    sides = np.zeros((len(market.assets), venues, 2, length))
    shares = np.array([1.0]) if venues == 1 else np.array(VENUE_SHARES)
    minute = slice(span.start // 60, -(-span.stop // 60))
    for asset, row in enumerate(market.assets):
        taker = tape.taker[asset, span].astype(np.float64)
        flow = tape.flow[asset, :, minute]
        flow = flow.sum(axis=0, keepdims=True) if venues == 1 else flow
        whole = np.add.reduceat(taker, np.arange(0, len(taker), 60))
        for v in range(venues):
            of_minute = np.repeat((flow[v, : len(whole)] - shares[v] * whole) / 60, 60)[
                : len(taker)
            ]
            net = (
                (shares[v] * taker + of_minute)[: length * step_s]
                .reshape(length, step_s)
                .sum(axis=1)
            )
            gross = row.depth_usd * GROSS * shares[v] * step_s
            busy = time_of_day(span.start) * np.exp(GROSS_SD * rng.normal(size=length))
            gross = np.maximum(gross * busy, 1.05 * np.abs(net))
            sides[asset, v, 0], sides[asset, v, 1] = (gross + net) / 2, (gross - net) / 2
    return sides


def _prints(
    market: Market, usd: Floats, price: Floats, second: int, start_us: int, dark: list[Outage]
) -> Iterator[Item]:
    event = start_us + second * SECOND + 900_000
    for asset, row in enumerate(market.assets):
        at = row.price * float(price[asset])
        for v in range(usd.shape[1]):
            if _is_dark(dark, v, second):
                continue
            for side in (0, 1):
                quantity = float(usd[asset, v, side]) / at
                yield (
                    "trades",
                    Trade(
                        event_id=f"sim:{VENUES[v]}:{row.asset}:{second}:{side}",
                        venue=VENUES[v],
                        instrument=f"{row.asset}-USDT-PERP",
                        venue_symbol=f"{row.asset}USDT",
                        asset=row.asset,
                        aggressor_side="sell" if side else "buy",
                        price=at,
                        quantity=quantity,
                        notional_usd=grid_usd(at * quantity),
                        ts_event=event,
                        ts_recv=event + 50_000,
                    ),
                )


def _is_dark(dark: list[Outage], venue: int, second: int) -> bool:
    return any(o.venue == venue and o.start <= second < o.stop for o in dark)


def _words(
    topic: str, second: int, venues: int, dark: list[Outage], start_us: int
) -> Iterator[Item]:
    """Each venue's word at the end of `second`: all before the second just past is written."""
    at = start_us + (second + 1 - LAG_S) * SECOND
    for v in range(venues):
        if not _is_dark(dark, v, second):
            came_back = any(o.venue == v and o.stop == second for o in dark)
            yield topic, _status(VENUES[v], "recovered" if came_back else "alive", at)
        elif any(o.venue == v and o.start == second for o in dark):
            yield topic, _status(VENUES[v], "silent", at, "connection lost")


def _closing(topic: str, seconds: int, venues: int, start_us: int) -> Iterator[Item]:
    for v in range(venues):
        yield topic, _status(VENUES[v], "alive", start_us + (seconds + 60) * SECOND)


def _status(producer: str, state: FeedState, at: int, reason: str = "") -> FeedStatus:
    return FeedStatus(producer=f"sim-{producer}", state=state, ts_event=at, reason=reason)
